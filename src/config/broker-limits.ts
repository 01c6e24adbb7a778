import { option } from "./option.ts";
import { defaultSpoolDir } from "./paths.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const GIB = 1024 ** 3;

/** Times and sizes of requests. */
export const limitOptions = {
  requestTimeoutMs: option.seconds({
    env: "REQUEST_TIMEOUT",
    default: undefined,
    defaultNote: "10m; for asr and docling 1h",
    min: 1_000,
    max: DAY,
    help: "Idle timeout of a request, in seconds: it fails when its worker sends nothing for this long. A module's own option (LLM_REQUEST_TIMEOUT …) takes precedence.",
  }),
  retryLost: option.int({
    env: "RETRY_LOST",
    default: 1,
    min: 0,
    max: 2,
    help: "Number of retries on another worker when a request's worker is lost, for requests without side effects (chat, embeddings, transcription, conversion).",
  }),
  drainTimeoutMs: option.duration({
    env: "DRAIN_TIMEOUT",
    default: "5m",
    max: DAY,
    allowForever: true,
    help: "Time for running requests, transfers and claimed jobs to finish after SIGTERM. 0 exits immediately, -1 waits indefinitely. A second SIGTERM exits immediately.",
  }),
  maxBodyBytes: option.bytes({
    env: "MAX_BODY_BYTES",
    default: 104_857_600,
    min: 1024,
    max: 4 * GIB,
    help: "Maximum size of a JSON request body. Larger bodies get 413.",
  }),
  maxUploadBytes: option.bytes({
    env: "MAX_UPLOAD_BYTES",
    default: 4 * GIB,
    min: 1024,
    max: 1024 * GIB,
    help: "Maximum size of an upload (a recording, a document). Larger uploads get 413.",
  }),
  maxBufferedBytes: option.bytes({
    env: "MAX_BUFFERED_BYTES",
    default: 1_073_741_824,
    min: 1024,
    max: 1024 * GIB,
    help: "Maximum memory for request bodies, over all requests.",
  }),
  bodyMinRate: option.int({
    env: "BODY_MIN_RATE",
    default: 1024,
    min: 0,
    max: GIB,
    help: "Minimum upload speed of a request body, in bytes per second, averaged over 30 seconds of waiting for the caller. Slower uploads get 408. 0 disables the check. Transfers have TRANSFER_IDLE instead.",
  }),
  uploadSpoolDir: option.text({
    env: "UPLOAD_SPOOL_DIR",
    path: "folder",
    default: "",
    defaultOn: defaultSpoolDir,
    defaultNote: "TMPDIR, else /var/tmp on Linux, /tmp on macOS, TEMP on Windows",
    help: "Directory for large request bodies whose model field comes late, such as after a long recording. It should not be on a RAM disk.",
  }),
  maxSpooledBytes: option.bytes({
    env: "MAX_SPOOLED_BYTES",
    default: 16 * GIB,
    min: 1024,
    max: 1024 * GIB,
    help: "Maximum disk space for request bodies, over all requests.",
  }),
  startGraceMs: option.duration({
    env: "START_GRACE",
    default: "40s",
    max: HOUR,
    help: "Time after start during which unknown models and workers get 503 with Retry-After instead of 404, because agents may still be reconnecting. 0 disables it.",
  }),
  maxWorkers: option.int({
    env: "MAX_WORKERS",
    default: 10_000,
    min: 1,
    max: 1_000_000,
    help: "Maximum number of connected agents.",
  }),
};
