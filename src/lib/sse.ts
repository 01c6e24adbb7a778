/** Interval between keep-alive comments on an idle event stream, in milliseconds. */
export const KEEP_ALIVE_MS = 15_000;
/** The keep-alive comment of an idle event stream. */
export const KEEP_ALIVE = ": keep-alive\n\n";

/** One server-sent event. `data` is one line, as JSON is. */
export function sseEvent(data: string, { event, id }: { event?: string; id?: string | number } = {}): string {
  const named = event === undefined ? "" : `event: ${event}\n`;
  return `${named}${id === undefined ? "" : `id: ${id}\n`}data: ${data}\n\n`;
}
