import { NfrxError } from "./errors.ts";

export interface OriginGuardOptions {
  /** True if pages of this origin are allowed. */
  readonly allowsOrigin: (origin: string) => boolean;
  /** Host names of the server. Without any, every name is allowed, unless it listens only on loopback. */
  readonly hosts: readonly string[];
  /** The server's public URL, if set: adds a host name and an allowed origin. */
  readonly publicUrl?: string | undefined;
  /** The host that the server listens on; empty for every interface. */
  readonly listensOn: string;
  /** How to allow one more name, for the error. */
  readonly remedy?: string;
}

/**
 * Rejects requests of foreign web pages. A page can make a browser call any address, and by DNS rebinding even under
 * the page's own name: the request's `Origin` or `Host` reveals it.
 */
export class OriginGuard {
  readonly #hosts: ReadonlySet<string>;
  readonly #public: URL | undefined;
  readonly #allowsOrigin: (origin: string) => boolean;
  readonly #listensOn: string;
  readonly #remedy: string;

  constructor({ allowsOrigin, hosts, publicUrl, listensOn, remedy }: OriginGuardOptions) {
    this.#allowsOrigin = allowsOrigin;
    this.#hosts = new Set(hosts.map(host => host.toLowerCase()));
    this.#public = publicUrl === undefined ? undefined : new URL(publicUrl);
    this.#listensOn = listensOn;
    this.#remedy = remedy ?? "add it to ALLOWED_HOSTS, or set PUBLIC_URL";
  }

  /** Throws `forbidden` for a request of a foreign page. */
  check(headers: Headers): void {
    const given = headers.get("host");
    const origin = headers.get("origin");
    // Browsers never send HTTP/1.0 without a Host.
    if (given === null && origin === null) return;
    const host = parse(`http://${given ?? ""}`);
    if (host === undefined || !this.#answersTo(host.hostname)) {
      const name = JSON.stringify((given ?? "").slice(0, NAME_SHOWN));
      throw new NfrxError("forbidden", `unknown host name ${name}: ${this.#remedy}`, {
        param: "host",
        foreign: true,
      });
    }
    if (origin === null || this.#allowsOrigin(origin) || this.#isOwn(origin, host)) return;
    throw new NfrxError("forbidden", "origin not allowed (see ALLOWED_ORIGINS)", {
      param: "origin",
    });
  }

  /** True for a name that the server is called by. */
  #answersTo(name: string): boolean {
    if (isLoopback(name) || this.#isKnown(name)) return true;
    return this.#hosts.size === 0 && !isLoopback(this.#listensOn);
  }

  #isKnown(name: string): boolean {
    return this.#hosts.has(name) || name === this.#public?.hostname;
  }

  /** True for a page of the server itself, or one of this machine that calls this machine. */
  #isOwn(origin: string, host: URL): boolean {
    if (this.#public !== undefined && origin.toLowerCase() === this.#public.origin) return true;
    const page = parse(origin);
    if (page === undefined) return false;
    const local = isLoopback(host.hostname);
    if (local && isLoopback(page.hostname)) return true;
    // A rebound name is the page's own, too: only a name that is known to be the server's counts.
    return (
      (this.#isKnown(host.hostname) || isAddress(host.hostname)) &&
      /^https?:$/.test(page.protocol) &&
      page.host === host.host
    );
  }
}

/** Maximum length of a Host header in an error, in characters. */
const NAME_SHOWN = 100;

function parse(url: string): URL | undefined {
  return URL.parse(url) ?? undefined;
}

/** True for a host that does not depend on DNS: only a page of that host can have it. */
function isAddress(host: string): boolean {
  return host.startsWith("[") || /^\d+\.\d+\.\d+\.\d+$/.test(host);
}

/** True for a name or an address of this machine that no other machine reaches. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
