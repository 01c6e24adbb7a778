/** Models, and ids of workers, that are remembered after they have left; the one that left first is forgotten beyond it. */
export const SEEN_MAX = 10_000;
/** Milliseconds for which a model or worker that has left counts as one that comes back. */
export const SEEN_MS = 3_600_000;
/** Models whose first sight is remembered; the oldest is forgotten beyond it. */
export const REMEMBERED_MODELS = 10_000;
/** Ids of workers that an operator has drained and that are remembered; the one drained longest ago is forgotten beyond it. */
export const DRAINED_IDS_MAX = 1_000;
/** Workers of a module that are gone and still shown; the one that left first goes beyond it. */
export const GONE_SHOWN_MAX = 20;
/** Milliseconds for which a worker that is gone is shown. */
export const GONE_SHOWN_MS = 300_000;
/** Milliseconds for which a route that a backend has answered with "no such route" counts as missing there. */
export const MISSING_ROUTE_MS = 600_000;
/** Routes that are remembered as missing at one worker; the one that was noted first is forgotten beyond it. */
export const MISSING_ROUTES_MAX = 64;
