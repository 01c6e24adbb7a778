// Common code of all APIs' event streams.
import { sseEvent } from "../../lib/sse.ts";
import type { WholeAnswer } from "../module.ts";

/** One event of an API that names its events by their type. */
export function typedEvent(event: { readonly type: string; readonly [field: string]: unknown }): string {
  return sseEvent(JSON.stringify(event), { event: event.type });
}

/** The JSON of a response, whatever its content type; undefined if it is not JSON. */
export function jsonOf({ text }: WholeAnswer): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
