// The fixed limits of the transfer channels; those an operator may want to change are options.

/** Transfer channels that have ended whose ids still tell why; the oldest is forgotten, and then not found. */
export const TRANSFER_ENDED_MAX = 10_000;
/** Milliseconds for which they do. */
export const TRANSFER_ENDED_MS = 600_000;
/** Milliseconds between two words about a running transfer's progress at least. */
export const TRANSFER_PROGRESS_MS = 1000;

/** The part of the transfer channels that is kept for jobs: callers open the others. */
export const TRANSFER_JOBS_RESERVE = 0.25;

/** What an operator says. */
export interface TransferLimits {
  /** Milliseconds that the ends of a channel have to meet, when its maker does not say. */
  ttlMs: number;
  /** Milliseconds without a byte after which a transfer fails; 0 waits for ever. */
  idleMs: number;
  /** Channels that are open at once, waiting or running. */
  channels: number;
}
