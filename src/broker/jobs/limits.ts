// The fixed limits of the jobs queue; those an operator may want to change are options.

/** Bytes of a request to the jobs API at most; a larger one is answered with 413. */
export const JOB_BODY_BYTES = 1024 * 1024;
/** Bytes of a job's metadata, of its progress, or of a transfer's properties at most, each as JSON. */
export const JOB_JSON_BYTES = 64 * 1024;
/** Levels of objects and lists in each of them; to write thousands of levels takes seconds. */
export const JOB_JSON_LEVELS = 100;
/** Bytes of the properties of all transfers of one job together. */
export const JOB_PROPERTIES_BYTES = 256 * 1024;
/** Transfers of one job that are known by their keys at once. */
export const JOB_TRANSFERS_MAX = 256;
/** Characters of a job's type, a worker's id or group, or a transfer's key. */
export const JOB_NAME_MAX = 256;
/** Characters of an Idempotency-Key. */
export const IDEMPOTENCY_KEY_MAX = 255;
/** Characters of the message of a job's error; the rest is cut off, so that no report is lost for its length. */
export const JOB_ERROR_MAX = 16 * 1024;
/** Types that one claim may name; without any it takes every type. */
export const CLAIM_TYPES_MAX = 256;
/** Seconds that a claim waits at most, whatever it asks for. */
export const CLAIM_WAIT_MAX_SECONDS = 600;
/** Claims and streams of workers that wait at once; more are answered with 503. */
export const CLAIMERS_MAX = 4096;
/** Streams of job events that are open at once; more are answered with 503. */
export const JOB_LISTENERS_MAX = 10_000;
/** Bytes of events that may wait for a client that does not read; when more come its stream is cut, and it resumes with Last-Event-ID. */
export const JOB_UNREAD_BYTES = 1024 * 1024;
/** Events of one job that are kept for clients that resume. */
export const JOB_LOG_EVENTS = 64;
/** Bytes of kept events, all jobs together; the jobs that were silent longest go first. */
export const JOB_LOG_BYTES = 16 * 1024 * 1024;
/** Shortest and longest lease, in seconds, that a claim may ask for. */
export const LEASE_MIN_SECONDS = 1;
/** Longest lease, in seconds, that a claim may ask for. */
export const LEASE_MAX_SECONDS = 86_400;
/** Jobs that a worker's stream holds at once, claimed and not ended, when it does not say how many. */
export const JOB_STREAM_DEFAULT = 1;
/** Jobs that it may hold at most. */
export const JOB_STREAM_MAX = 256;
/** Milliseconds for which a job with `cancel_when_unwatched` waits for its client, unless `JOBS_CLIENT_TTL` is shorter. */
export const CLIENT_UNWATCHED_MS = 30_000;
/** Jobs in one list when the caller does not say how many. */
export const JOB_LIST_DEFAULT = 50;
/** Jobs in one list at most. */
export const JOB_LIST_MAX = 100;
/** Job views in the state. */
export const JOB_STATE_VIEWS = 12;
/** Workers of jobs that the state knows at most; the one that was silent longest goes first. */
export const JOB_WORKERS_MAX = 1000;
/** Milliseconds after its last call for which a worker of jobs counts as active. */
export const JOB_WORKER_ACTIVE_MS = 60_000;
/** Milliseconds after its last call for which the state shows a worker of jobs. */
export const JOB_WORKER_RECENT_MS = 600_000;
/** Times a change is tried again when others change the same job. */
export const JOB_SWAPS_MAX = 100;
/** Milliseconds between two looks for jobs that have been kept long enough, at least. */
export const RETENTION_GAP_MS = 1000;
/** Jobs that one such look deletes at once. */
export const RETENTION_BATCH = 1000;
