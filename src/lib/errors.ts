/**
 * The one error type of nfrx. Code throws it with a machine-readable `code`; only the border (an HTTP route or a
 * frame) turns it into a status and a body.
 */
export class NfrxError extends Error {
  override readonly name = "NfrxError";

  constructor(
    readonly code: ErrorCode,
    message: string,
    /**
     * Names the offending request field, and how long a client should wait, where there is such a thing. `foreign`: the
     * message is a backend's own, or repeats what a client sent, and so nothing for a log. `temporary`: it is expected to be
     * otherwise soon, so a client may ask again: the status is 503, whatever the code's own is.
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

/** HTTP status of every code. The words of the first two groups are what clients of the Go series already match on. */
const STATUS = {
  no_worker: 404,
  worker_busy: 503,
  timeout: 504,
  upstream_error: 502,
  draining: 503,
  unauthorized: 401,
  /** Too many wrong keys came from one address. */
  too_many_attempts: 429,

  model_not_found: 404,
  /** OpenAI's word for a `previous_response_id` that is unknown. */
  previous_response_not_found: 404,
  invalid_request: 400,
  not_found: 404,
  method_not_allowed: 405,
  too_large: 413,
  /** A session id that is not the caller's, or no longer anybody's. */
  session_not_found: 404,
  /** More calls at once than are allowed. */
  limit_exceeded: 429,
  /** The client sent nothing for too long. */
  request_timeout: 408,
  unsupported_media_type: 415,
  headers_too_large: 431,
  forbidden: 403,
  overloaded: 503,
  provider_unavailable: 503,
  internal: 500,

  transfer_not_found: 404,
  /** The other end did not come in time. */
  transfer_expired: 410,
  /** The channel has served, or is not wanted any more. */
  transfer_closed: 410,
  /** The channel has a reader, or a writer, already. */
  transfer_in_use: 409,
  /** The other end went away, or was silent for too long. */
  transfer_failed: 502,

  /** What a job's client or worker may have forgotten, or may not do to the job as it is. */
  missing_type: 400,
  missing_state: 400,
  unknown_state: 400,
  invalid_state: 409,
  idempotency_conflict: 409,

  /** The caller went away, or this end no longer wants the answer (499 is nginx's word for it; nobody is left to read it). */
  canceled: 499,
  /** The peer would not take the stream and has done nothing with it: safe to ask somebody else. */
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

/** True when `word` is one of our codes; a peer may send any word. */
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
