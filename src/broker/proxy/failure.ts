// Converts a failure between broker and worker to the client's error.
import { NfrxError } from "../../lib/errors.ts";
import { BUSY } from "../../protocol/limits.ts";
import { busy } from "../pool/refusals.ts";

/** The failure that an answer of this status is, though it goes to the client as it came; undefined when it is none. */
export function backendFailure(status: number): NfrxError | undefined {
  return status < 500 ? undefined : new NfrxError("upstream_error", `the backend responded with status ${status}`);
}

/** True when an agent refused a request because other brokers have taken its slots. */
export function isBusy(error: NfrxError | undefined): boolean {
  return error?.code === "refused" && error.message === BUSY;
}

/** The client's error for a failure between broker and worker, which is its cause. */
export function outward(error: NfrxError): NfrxError {
  const detail = { cause: error };
  if (isBusy(error)) return busy("every worker is busy");
  if (error.code === "refused")
    return new NfrxError("upstream_error", `the worker rejected the request: ${error.message}`, detail);
  if (error.code === "link_lost") return new NfrxError("upstream_error", "the worker was lost", detail);
  if (error.code === "protocol")
    return new NfrxError("upstream_error", "the worker violated the wire protocol", detail);
  return error;
}
