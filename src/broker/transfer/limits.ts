// The fixed limits of the transfer channels, which whoever makes them may set otherwise.

/** Milliseconds that the two ends of a transfer channel have to meet. */
export const TRANSFER_MEET_MS = 60_000;
/** Milliseconds without a byte after which a transfer fails. The kernel tells of a slow reader's progress in large steps. */
export const TRANSFER_IDLE_MS = 300_000;
/** Transfer channels that are open at once, waiting or running; more are refused with 503. */
export const TRANSFER_CHANNELS_MAX = 10_000;
/** Transfer channels that have ended whose ids still tell why; the oldest is forgotten, and then not found. */
export const TRANSFER_ENDED_MAX = 10_000;
/** Milliseconds for which they do. */
export const TRANSFER_ENDED_MS = 600_000;
/** Milliseconds between two words about a running transfer's progress at least. */
export const TRANSFER_PROGRESS_MS = 1000;
/** Bytes of a refused upload that are taken to its end, so that its connection serves on. */
export const REFUSED_UPLOAD_BYTES = 1024 * 1024;
/** Milliseconds that a larger refused upload is taken for: so long its sender has to read the answer and to stop. */
export const REFUSED_UPLOAD_MS = 1000;

export interface TransferLimits {
  /** How long the ends of a channel have to meet, when its maker does not say. */
  meetMs: number;
  /** 0 waits for ever. */
  idleMs: number;
  channels: number;
}

export const TRANSFER_LIMITS: TransferLimits = {
  meetMs: TRANSFER_MEET_MS,
  idleMs: TRANSFER_IDLE_MS,
  channels: TRANSFER_CHANNELS_MAX,
};
