// The fixed limits of the jobs queue; those an operator may want to change are options.

/** Maximum request to the jobs API, in bytes. Larger requests get 413. */
export const JOB_BODY_BYTES = 1024 * 1024;
/** Maximum size of a job's metadata, its progress, or a transfer's properties, in bytes of JSON each. */
export const JOB_JSON_BYTES = 64 * 1024;
/** Maximum nesting of each of these; serializing thousands of levels takes seconds. */
export const JOB_JSON_LEVELS = 100;
/** Maximum size of the properties of all transfers of one job together, in bytes. */
export const JOB_PROPERTIES_BYTES = 256 * 1024;
/** Maximum number of keyed transfers per job. */
export const JOB_TRANSFERS_MAX = 256;
/** Maximum length of a job's type, a worker's ID or group, or a transfer's key, in characters. */
export const JOB_NAME_MAX = 256;
/** Maximum length of an Idempotency-Key, in characters. */
export const IDEMPOTENCY_KEY_MAX = 255;
/**
 * Maximum length of a job's error message, in characters; the rest is cut off, so that long reports are not rejected.
 */
export const JOB_ERROR_MAX = 16 * 1024;
/** Maximum number of types in one claim. A claim without types accepts all. */
export const CLAIM_TYPES_MAX = 256;
/** Maximum wait of a claim, in seconds. */
export const CLAIM_WAIT_MAX_SECONDS = 600;
/** Maximum number of waiting claims and job streams. Further ones get 503. */
export const CLAIM_WAITERS_MAX = 4096;
/** Maximum number of open job event streams. Further ones get 503. */
export const JOB_LISTENERS_MAX = 10_000;
/**
 * Maximum unread events of a client, in bytes. Beyond it the stream is closed; the client can resume with
 * Last-Event-ID.
 */
export const JOB_UNREAD_BYTES = 1024 * 1024;
/** Maximum stored events per job, for clients that resume. */
export const JOB_LOG_EVENTS = 64;
/** Maximum size of stored events over all jobs, in bytes; the longest inactive jobs are dropped first. */
export const JOB_LOG_BYTES = 16 * 1024 * 1024;
/** Minimum lease that a claim can request, in seconds. */
export const LEASE_MIN_SECONDS = 1;
/** Maximum lease that a claim can request, in seconds. */
export const LEASE_MAX_SECONDS = 86_400;
/** Default maximum of unfinished jobs per job stream. */
export const JOB_STREAM_DEFAULT = 1;
/** Upper limit of this maximum. */
export const JOB_STREAM_MAX = 256;
/**
 * Time in milliseconds that a job with `cancel_when_unwatched` waits for its client, unless `JOBS_CLIENT_TTL` is
 * shorter.
 */
export const CLIENT_UNWATCHED_MS = 30_000;
/** Default number of jobs in one list. */
export const JOB_LIST_DEFAULT = 50;
/** Maximum number of jobs in one list. */
export const JOB_LIST_MAX = 100;
/** Maximum number of jobs in the state. */
export const JOB_STATE_VIEWS = 12;
/** Maximum number of job workers in the state; the longest inactive one is dropped first. */
export const JOB_WORKERS_MAX = 1000;
/** Time in milliseconds after its last call for which a job worker counts as active. */
export const JOB_WORKER_ACTIVE_MS = 60_000;
/** Time in milliseconds after its last call for which the state shows a job worker. */
export const JOB_WORKER_RECENT_MS = 600_000;
/** Maximum retries of a change on concurrent changes of the same job. */
export const JOB_SWAPS_MAX = 100;
/** Minimum interval between two runs of the retention, in milliseconds. */
export const RETENTION_GAP_MS = 1000;
/** Jobs that one run deletes in a batch. */
export const RETENTION_BATCH = 1000;
