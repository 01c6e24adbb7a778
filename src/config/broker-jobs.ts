import { option } from "./option.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const GIB = 1024 ** 3;

/** The jobs queue. */
export const jobOptions = {
  jobsStore: option.text({
    env: "JOBS_STORE",
    path: "file",
    words: ["memory"],
    default: "",
    defaultNote:
      "jobs.db in $STATE_DIRECTORY or /var/lib/nfrx, in ~/.local/state/nfrx for users other than root, ~/Library/Application Support/nfrx on macOS, %ProgramData%\\nfrx on Windows",
    help: "Where jobs are stored: a file, which only one broker can use, or memory. If the file cannot be written, jobs are stored in memory.",
  }),
  jobsLeaseMs: option.duration({
    env: "JOBS_LEASE",
    default: "15m",
    min: 1_000,
    max: DAY,
    help: "Lease of a claimed job: a job worker that reports nothing for this long is considered lost. A claim can ask for a different lease.",
  }),
  jobsMaxAttempts: option.int({
    env: "JOBS_MAX_ATTEMPTS",
    default: 3,
    min: 1,
    max: 100,
    help: "Number of times a job is handed out before it fails, if its workers are lost.",
  }),
  jobsRetentionMs: option.duration({
    env: "JOBS_RETENTION",
    default: "24h",
    help: "Retention time of finished jobs.",
  }),
  jobsMaxEnded: option.int({
    env: "JOBS_MAX_ENDED",
    default: 10_000,
    min: 0,
    max: 10_000_000,
    help: "Maximum number of finished jobs to keep; the oldest are deleted first.",
  }),
  jobsMax: option.int({
    env: "JOBS_MAX",
    default: 100_000,
    min: 1,
    max: 10_000_000,
    help: "Maximum number of jobs, finished ones included. Beyond it new jobs get 503. One caller (a key at an address) can have at most half.",
  }),
  jobsMaxBytes: option.bytes({
    env: "JOBS_MAX_BYTES",
    default: 536_870_912,
    min: 1_048_576,
    max: 1024 * GIB,
    help: "Maximum size of all jobs together, on disk or in memory. Beyond it new jobs get 503. One caller can have at most half.",
  }),
  jobsSseCloseDelayMs: option.duration({
    env: "JOBS_SSE_CLOSE_DELAY",
    default: "5s",
    max: HOUR,
    help: "Time that a job's event stream stays open after the final status.",
  }),
  jobsClientTtlMs: option.duration({
    env: "JOBS_CLIENT_TTL",
    default: "24h",
    max: DAY,
    help: "Cancels a job when its client neither follows its events nor polls it for this long. 0 disables it. Jobs created with cancel_when_unwatched are canceled after 30 s, or after this time if it is shorter.",
  }),
};

/** The transfer channels. */
export const transferOptions = {
  transferTtlMs: option.duration({
    env: "TRANSFER_TTL",
    default: "60s",
    min: 1_000,
    max: DAY,
    help: "Time within which both reader and writer of a transfer channel must connect.",
  }),
  // The kernel reports a slow reader's progress in large steps: a short timeout would cut it off.
  transferIdleMs: option.duration({
    env: "TRANSFER_IDLE",
    default: "5m",
    max: DAY,
    help: "Idle timeout of a transfer: it fails when no byte passes for this long. 0 disables it.",
  }),
  transferMaxChannels: option.int({
    env: "TRANSFER_MAX_CHANNELS",
    default: 10_000,
    min: 1,
    max: 1_000_000,
    help: "Maximum number of open transfer channels. Beyond it new channels get 503. One caller can have at most half; a quarter is reserved for jobs.",
  }),
};
