// Converts a failure between broker and worker to the client's error.
import { NfrxError } from "../../lib/errors.ts";

/** The failure that an answer of this status is, though it goes to the client as it came; undefined when it is none. */
export function backendFailure(status: number): NfrxError | undefined {
  return status < 500 ? undefined : new NfrxError("upstream_error", `the backend responded with status ${status}`);
}

/** The client's error for a failure between broker and worker, which is its cause. */
export function outward(error: NfrxError): NfrxError {
  const detail = { cause: error };
  if (error.code === "refused")
    return new NfrxError("upstream_error", `the worker rejected the request: ${error.message}`, detail);
  if (error.code === "link_lost") return new NfrxError("upstream_error", "the worker was lost", detail);
  if (error.code === "protocol")
    return new NfrxError("upstream_error", "the worker violated the wire protocol", detail);
  return error;
}
