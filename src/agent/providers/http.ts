import type { HeaderPairs } from "../../lib/http.ts";
import { joinUrl } from "../../lib/join-url.ts";
import { fetchMetadata } from "./metadata.ts";
import type { Provider, ProviderRequest } from "./provider.ts";

export interface HttpProviderOptions {
  /** Its Streamable HTTP endpoint. */
  url: string;
  /** Milliseconds within which it must show that it is there. */
  timeoutMs: number;
  insecureSkipVerify: boolean;
  /** Headers of every request; they replace the caller's own. */
  headers?: Readonly<Record<string, string>>;
  /** Additional headers of every request, computed for each; for credentials. */
  credentials?: (refused: boolean) => Promise<HeaderPairs>;
}

/** A server that speaks Streamable HTTP itself: bytes pass both ways as they are. */
export class HttpProvider implements Provider {
  readonly sessions = 0;
  readonly #tls: BunFetchRequestInit;
  readonly #own: HeaderPairs;
  readonly #replaced: ReadonlySet<string>;

  constructor(private readonly options: HttpProviderOptions) {
    this.#own = Object.entries(options.headers ?? {});
    this.#replaced = new Set(this.#own.map(([name]) => name.toLowerCase()));
    this.#tls = options.insecureSkipVerify ? { tls: { rejectUnauthorized: false } } : {};
  }

  async fetch(request: ProviderRequest): Promise<Response> {
    const { credentials } = this.options;
    const response = await this.#send(request, await credentials?.(false));
    if (response.status !== 401 || credentials === undefined) return response;
    // The token may have been withdrawn: once more, with a fresh one. The server has done nothing with the first.
    await response.body?.cancel();
    return this.#send(request, await credentials(true));
  }

  metadata(signal: AbortSignal): Promise<Response> {
    const { url, timeoutMs } = this.options;
    return fetchMetadata(url, { timeoutMs, signal, init: this.#tls });
  }

  /** Any response from this address is sufficient; the request does not start a session. */
  async probe(signal: AbortSignal): Promise<void> {
    const { url, timeoutMs } = this.options;
    const early = AbortSignal.timeout(Math.min(GET_MS, timeoutMs));
    const get = { headers: [["accept", "application/json"]] satisfies HeaderPairs };
    try {
      const { status } = await this.#look(get, AbortSignal.any([signal, early]));
      if (serves(status)) return;
    } catch (error) {
      if (!early.aborted || signal.aborted) throw error;
      // The server may treat a GET as an event stream and send no head before the first event.
    }
    // Some servers know nothing but calls.
    const ping = { method: "POST", body: PING, headers: PING_HEADERS };
    const { status: answer, headers } = await this.#look(ping, signal);
    if (serves(answer)) return;
    const elsewhere = headers.get("location");
    throw new Error(`${url} responds with ${answer}${elsewhere === null ? "" : ` (Location: ${elsewhere})`}`);
  }

  async #look(init: { method?: string; body?: string; headers: HeaderPairs }, signal: AbortSignal): Promise<Response> {
    const { url, timeoutMs, credentials } = this.options;
    const response = await fetch(url, {
      ...init,
      headers: [...init.headers, ...this.#own, ...((await credentials?.(false)) ?? [])],
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      redirect: "manual",
      ...this.#tls,
    });
    await response.body?.cancel();
    return response;
  }

  async close(): Promise<void> {}

  #send({ method, rest, headers, body, signal }: ProviderRequest, credentials: HeaderPairs = []): Promise<Response> {
    // The relay's own address with a slash behind it is the provider's as it stands.
    return fetch(joinUrl(this.options.url, rest.replace(/^\/(?=$|\?)/, "")), {
      method,
      headers: [...headers.filter(([name]) => !this.#replaced.has(name.toLowerCase())), ...this.#own, ...credentials],
      body: method === "GET" || method === "HEAD" ? null : (body as Uint8Array<ArrayBuffer> | null),
      signal,
      redirect: "manual",
      decompress: false,
      timeout: false,
      // A pooled connection may be closed by the server just when it is used again, and a call is never sent twice.
      keepalive: false,
      ...this.#tls,
    });
  }
}

/** Time in milliseconds to wait for a GET before the provider is queried by POST. */
const GET_MS = 3_000;

const PING = '{"jsonrpc":"2.0","id":0,"method":"ping"}';
const PING_HEADERS: HeaderPairs = [
  ["content-type", "application/json"],
  ["accept", "application/json, text/event-stream"],
];

/** False if the address does not exist or only redirects, which callers could not follow. */
function serves(status: number): boolean {
  return status < 500 && status !== 404 && !(status >= 300 && status < 400);
}
