/** Maximum number of remembered departed models and worker IDs; the oldest is dropped. */
export const SEEN_MAX = 10_000;
/** Time in milliseconds for which a departed model or worker is expected to return. */
export const SEEN_MS = 3_600_000;
/** Maximum number of models whose first appearance is remembered; the oldest is dropped. */
export const REMEMBERED_MODELS = 10_000;
/** Maximum number of remembered IDs of drained workers; the oldest is dropped. */
export const DRAINED_IDS_MAX = 1_000;
/** Maximum number of departed workers shown per module; the oldest is dropped. */
export const GONE_SHOWN_MAX = 20;
/** Time in milliseconds for which a departed worker is shown. */
export const GONE_SHOWN_MS = 300_000;
/** Time in milliseconds for which a route is considered missing after the backend responded "no such route". */
export const MISSING_ROUTE_MS = 600_000;
/** Maximum number of missing routes remembered per worker; the oldest is dropped. */
export const MISSING_ROUTES_MAX = 64;
/** Maximum number of model names whose workers are remembered; the oldest is dropped. */
export const REMEMBERED_OFFERS = 1_000;
