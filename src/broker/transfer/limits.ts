// The fixed limits of the transfer channels; those an operator may want to change are options.

/** Maximum number of finished transfer channels whose outcome is remembered; the oldest is dropped. */
export const TRANSFER_ENDED_MAX = 10_000;
/** Time in milliseconds for which the outcome is remembered. */
export const TRANSFER_ENDED_MS = 600_000;
/** Minimum interval between two progress reports of a transfer, in milliseconds. */
export const TRANSFER_PROGRESS_MS = 1000;

/** The part of the transfer channels that is kept for jobs: callers open the others. */
export const TRANSFER_JOBS_RESERVE = 0.25;

/** The operator's settings. */
export interface TransferLimits {
  /** Milliseconds that the ends of a channel have to meet, when its maker does not say. */
  ttlMs: number;
  /** Milliseconds without a byte after which a transfer fails; 0 waits for ever. */
  idleMs: number;
  /** Channels that are open at once, waiting or running. */
  channels: number;
}
