/**
 * The error type of nfrx. Code throws it with a machine-readable `code`; only the HTTP and wire layers convert it to a
 * status and a body.
 */
export class NfrxError extends Error {
  override readonly name = "NfrxError";

  constructor(
    readonly code: ErrorCode,
    message: string,
    /**
     * `param`: the invalid request field. `retryAfter`: seconds to wait. `foreign`: the message is a backend's own or
     * repeats client input, so it is not logged. `temporary`: the client can retry, so the status is 503, whatever the
     * code's.
     */
    readonly detail: {
      param?: string;
      /** The methods that there are, for the header of that name. */
      allow?: string;
      retryAfterSeconds?: number;
      cause?: unknown;
      foreign?: boolean;
      temporary?: boolean;
    } = {},
  ) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause });
  }

  get status(): number {
    return this.detail.temporary ? STATUS.overloaded : STATUS[this.code];
  }
}

/** HTTP status of every code. Clients of 0.9 already match on the codes of the first two groups. */
const STATUS = {
  no_worker: 404,
  worker_busy: 503,
  timeout: 504,
  upstream_error: 502,
  draining: 503,
  unauthorized: 401,
  /** Too many wrong keys from one address. */
  too_many_attempts: 429,

  model_not_found: 404,
  /** OpenAI's code for an unknown `previous_response_id`. */
  previous_response_not_found: 404,
  invalid_request: 400,
  not_found: 404,
  method_not_allowed: 405,
  too_large: 413,
  /** A session ID that belongs to another caller or has expired. */
  session_not_found: 404,
  /** Too many concurrent calls. */
  limit_exceeded: 429,
  /** A limit of the key for a minute, or for requests at once, is used up. */
  rate_limit_exceeded: 429,
  /** A limit of the key for a day or a month is used up. */
  insufficient_quota: 429,
  /** The client sent nothing for too long. */
  request_timeout: 408,
  unsupported_media_type: 415,
  headers_too_large: 431,
  forbidden: 403,
  /** Something with this name is there already. */
  exists: 409,
  overloaded: 503,
  provider_unavailable: 503,
  internal: 500,

  transfer_not_found: 404,
  /** The other end did not connect in time. */
  transfer_expired: 410,
  /** The channel has served, or is not wanted any more. */
  transfer_closed: 410,
  /** The channel has a reader, or a writer, already. */
  transfer_in_use: 409,
  /** The other end disconnected, or was idle for too long. */
  transfer_failed: 502,

  /** A missing field of a job's client or worker, or a change that the job's state does not allow. */
  missing_type: 400,
  missing_state: 400,
  unknown_state: 400,
  invalid_state: 409,
  idempotency_conflict: 409,

  /**
   * The caller disconnected, or this end no longer needs the response (499 is nginx's status for it; nobody reads it).
   */
  canceled: 499,
  /** The peer rejected the stream without side effects: it is safe to retry elsewhere. */
  refused: 503,
  /** The connection under the stream broke. */
  link_lost: 502,
  /** The peer broke the wire protocol. */
  protocol: 502,
} as const;

export type ErrorCode = keyof typeof STATUS;

/** The error as an NfrxError: itself, or wrapped as `internal` without showing its message to clients. */
export function toNfrxError(error: unknown): NfrxError {
  if (error instanceof NfrxError) return error;
  return new NfrxError("internal", "internal error", { cause: error });
}

/** True if `word` is one of our codes; a peer can send any text. */
export function isErrorCode(word: string): word is ErrorCode {
  return Object.hasOwn(STATUS, word);
}

/** The system's own code of an error, such as ECONNREFUSED; empty without one. */
export function codeOf(error: unknown): string {
  return typeof error === "object" && error !== null && "code" in error ? String(error.code) : "";
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
