// Settings of a module's pool and of MCP relays.

/** Settings of MCP relays. */
export interface RelaySettings {
  maxReqBytes: number;
  maxRespBytes: number;
  wsHeartbeatMs: number;
  wsDeadAfterMs: number;
  maxConcurrencyPerClient: number;
  /** Milliseconds that a call waits for its relay; none when there is no such time. */
  queueTimeoutMs?: number;
  requireApiKey: boolean;
  /** Relays that ask for it may be called without credentials; not when left out. */
  allowOpen?: boolean;
}

/**
 * How a waiting stream learns its position in the queue: as an event, as a comment, not at all, or as its client can read
 * it.
 */
export type QueueEvents = "auto" | "event" | "comment" | "off";

/** Settings of the queue and the scheduler of a pool. */
export interface PoolSettings {
  queueSize: number;
  queueTimeoutMs: number;
  /** Milliseconds between position events; 0 sends none. */
  queueUpdateMs: number;
  /** How a stream learns its position; `auto` unless given. */
  queueEvents?: QueueEvents | undefined;
  /** How long a request waits for a worker that has just gone. */
  graceMs: number;
  /** The least score that may serve: 1 is the exact model, 0.5 its alias. */
  minScore: number;
  /** The model of a request that names none, where it need not. */
  defaultModel?: string | undefined;
  /** Workers one request may be split over. */
  maxParallel: number;
  /** Maximum concurrent requests per worker that use no slot. */
  maxSlotExempt: number;
  /** Maximum slots per worker, whatever it reports. */
  maxSlots: number;
  /** Milliseconds that a request may be silent; REQUEST_TIMEOUT unless given. */
  requestTimeoutMs?: number | undefined;
}
