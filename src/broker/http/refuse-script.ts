import { NfrxError } from "../../lib/errors.ts";

/** Destinations that browsers fetch as scripts; the content comes from a worker or relay. */
const RUN: ReadonlySet<string> = new Set([
  "script",
  "worker",
  "sharedworker",
  "serviceworker",
  "audioworklet",
  "paintworklet",
  "xslt",
]);

/**
 * Throws `forbidden` for a request by which a browser would run the answer as a script of the broker's origin, above all
 * for a service worker's. For every route whose answers come from workers or relays.
 */
export function refuseScript(headers: Headers): void {
  const run = headers.has("service-worker") || RUN.has(headers.get("sec-fetch-dest") ?? "");
  if (run) throw new NfrxError("forbidden", "responses of workers and relays cannot be loaded as scripts");
}
