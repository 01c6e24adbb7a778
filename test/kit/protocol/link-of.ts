import type { Worker } from "../../../src/broker/pool/worker.ts";
import { Link } from "../../../src/protocol/link.ts";

/** The link under a worker's upstream, for a test that plays its socket. */
export function linkOf({ upstream }: Worker): Link {
  if (!(upstream instanceof Link)) throw new Error("this worker is not connected through a link");
  return upstream;
}
