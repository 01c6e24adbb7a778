// What all APIs' event streams share.
import type { WholeAnswer } from "../module.ts";

/** One event of an API that names its events by their type. */
export function typedEvent(event: { readonly type: string; readonly [field: string]: unknown }): string {
  return `event: ${event.type}\n${dataEvent(event)}`;
}

/** One event without a name. */
export function dataEvent(data: unknown): string {
  return `data: ${JSON.stringify(data)}\n\n`;
}

/** The JSON of an answer, whatever its content type says; undefined when it is not JSON. */
export function jsonOf({ text }: WholeAnswer): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
