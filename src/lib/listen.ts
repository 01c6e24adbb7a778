import { messageOf } from "./errors.ts";

/** An address to listen on. An empty host means every interface. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Starts a server. Throws an error that names the option whose address cannot be had, and why. */
export function listening<S>(option: string, { host, port }: Address, start: () => S): S {
  try {
    return start();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    const why = WHY[code] ?? messageOf(error);
    throw new Error(`${option}: cannot listen on ${host === "" ? "" : `${host}:`}${port}: ${why}`, { cause: error });
  }
}

const WHY: Readonly<Record<string, string>> = {
  EADDRINUSE: "another program listens there",
  EADDRNOTAVAIL: "no interface of this machine has that address",
  EACCES: "that is not allowed",
};

/** Serves /metrics, and nothing else, on an address of its own. Throws when that cannot be had. */
export function serveMetrics({ host, port }: Address, answer: () => Promise<Response>): Bun.Server<undefined> {
  return listening("METRICS_PORT", { host, port }, () =>
    Bun.serve({
      port,
      ...(host !== "" && { hostname: host }),
      reusePort: false,
      fetch: request =>
        new URL(request.url).pathname === "/metrics" ? answer() : new Response("not found", { status: 404 }),
    }),
  );
}
