import { type Converted, HeaderMemo } from "../lib/header-memo.ts";
import type { HeaderPairs } from "../lib/http.ts";
import { joinUrl } from "../lib/join-url.ts";
import { backendHeaders, mayForward, travels } from "../lib/request-headers.ts";
import type { Backend } from "../modules/module.ts";
import type { HeaderList } from "../protocol/frames.ts";

export type AccessedBackend = Pick<
  Backend,
  "baseUrl" | "mounts" | "headers" | "apiKey" | "keyHeader" | "ownHeaders" | "ca"
>;

/** Access to a backend. Everything common to its requests is computed once. */
export class BackendAccess {
  /** The headers that the agent adds to every request: the backend's key, and those of its options. */
  readonly own: HeaderPairs;
  /** How the backend's certificate is judged; undefined for the runtime's own way. */
  readonly tls: { readonly ca: string } | undefined;
  readonly #backend: AccessedBackend;
  readonly #replaced: ReadonlySet<string>;
  readonly #headers = new HeaderMemo<undefined>(CHANGING);
  readonly #headersOfV1 = new HeaderMemo<undefined>(CHANGING);

  constructor(backend: AccessedBackend) {
    this.#backend = backend;
    this.own = ownHeadersOf(backend);
    this.tls = backend.ca === undefined ? undefined : { ca: backend.ca };
    this.#replaced = new Set(this.own.map(([name]) => name));
  }

  /** The address of a path of the wire. Throws `not_found` for one that leads out of the backend's own address. */
  urlOf(path: string): string {
    const { baseUrl, mounts = [] } = this.#backend;
    const mount = mounts.find(({ prefix }) => path.startsWith(prefix) && path.charCodeAt(prefix.length) === SLASH);
    return mount === undefined ? joinUrl(baseUrl, path) : joinUrl(mount.baseUrl, path.slice(mount.prefix.length));
  }

  /** The headers of a request as the backend gets them. A broker of the 0.9 series passes on all that its callers send. */
  headersOf(list: HeaderList, wire: 1 | 2): Headers {
    const memo = wire === 2 ? this.#headers : this.#headersOfV1;
    return memo.of(list, pairs => this.#convert(pairs, wire)).headers;
  }

  #convert(list: HeaderList, wire: 1 | 2): Converted<undefined> {
    const further = wire === 2 || this.#backend.headers === "all";
    const drops = (name: string): boolean =>
      this.#replaced.has(name) || !(travels(name) || (further && mayForward(name)));
    return { pairs: [...backendHeaders(list, drops), ...this.own], about: undefined, reusable: true };
  }
}

const SLASH = 0x2f;
/** Request headers that have a new value each time. */
const CHANGING: ReadonlySet<string> = new Set(["x-request-id", "traceparent", "tracestate"]);

function ownHeadersOf({ apiKey, keyHeader, ownHeaders = {} }: AccessedBackend): HeaderPairs {
  const own = new Map<string, string>();
  if (apiKey !== undefined) {
    own.set("authorization", `Bearer ${apiKey}`);
    if (keyHeader !== undefined) own.set(keyHeader.toLowerCase(), apiKey);
  }
  for (const [name, value] of Object.entries(ownHeaders)) own.set(name.toLowerCase(), value);
  return [...own];
}
