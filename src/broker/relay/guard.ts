import { NfrxError } from "../../lib/errors.ts";
import type { Cors } from "../cors.ts";

/**
 * Keeps web pages out that nobody has allowed. A page can make a browser call any address, and by DNS rebinding even
 * under a name of its own: then `Origin` or `Host` tells.
 */
export class Guard {
  readonly #hosts: ReadonlySet<string>;

  /** `hosts` are the names that the broker is called by; none allows any, unless it listens on this machine alone. */
  constructor(
    private readonly cors: Cors,
    hosts: readonly string[],
    private readonly listensOn: string,
  ) {
    this.#hosts = new Set(hosts.map(host => host.toLowerCase()));
  }

  /** Throws `forbidden` for a request that must have come from a foreign page. */
  check(headers: Headers): void {
    const host = nameOf(`http://${headers.get("host") ?? ""}`);
    const local = host !== undefined && isLoopback(host);
    if (host === undefined || !(local || this.#isOurs(host)))
      throw new NfrxError("forbidden", "this broker is not called so", { param: "host" });
    const origin = headers.get("origin");
    if (origin === null || this.cors.allows(origin)) return;
    // A page of this machine on a broker of this machine, as the inspector's.
    if (local && isLoopback(nameOf(origin) ?? "")) return;
    throw new NfrxError("forbidden", "pages of this origin may not call here", { param: "origin" });
  }

  #isOurs(host: string): boolean {
    return this.#hosts.size > 0 ? this.#hosts.has(host) : !isLoopback(this.listensOn);
  }
}

function nameOf(url: string): string | undefined {
  try {
    return new URL(url).hostname.toLowerCase();
  } catch {
    return undefined;
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
