import { asText, bytesUpTo } from "../lib/bytes.ts";
import { IdleLimit } from "../lib/idle-limit.ts";
import type { Meters } from "../lib/series.ts";
import { StatusError } from "../lib/status-error.ts";
import { type Clock, systemClock } from "../lib/time.ts";
import type { Span } from "../lib/trace.ts";
import { type AgentEndpoint, type Ask, type Backend, type ProbeResult, takesSlot } from "../modules/module.ts";
import type { RequestHead } from "../protocol/frames.ts";
import type { Stream } from "../protocol/stream.ts";
import { BackendAccess } from "./backend-access.ts";
import { declares } from "./endpoints.ts";
import { addressOf, forward } from "./forward.ts";

/** The private service of an agent. */
export interface BackendAdapter {
  /** Where it is, for messages. */
  readonly address: string;
  /** Milliseconds between looks at it. */
  readonly pollMs: number;
  /** Facts that hold even while it is away. */
  readonly facts: Readonly<Record<string, string>>;
  /** Models that it serves even while unavailable: a relay has its ID. */
  readonly models?: readonly string[];
  /** How it is. Rejects with the reason when it is not there or not well. */
  look(): Promise<ProbeResult>;
  /** Additional fields of the register message, besides `facts`. */
  readonly registration?: Readonly<Record<string, unknown>>;
  /** False for a request that its module does not declare: a broker that sends one is refused. */
  declares?(head: RequestHead): boolean;
  /** True for a request that holds one of the agent's slots; without it none does. */
  takesSlot?(head: RequestHead): boolean;
  /**
   * Serves one stream. Resolves when the exchange ends; rejects with the reason if it failed, after notifying the peer.
   */
  serve(stream: Stream, head: RequestHead, about: Serving): Promise<void>;
  /**
   * Running work may need more streams to finish: the backend gets them while draining, and itself refuses new work.
   */
  readonly servesDuringDrain?: boolean;
  /** True for a stream without a foreseeable end: a shutdown does not wait for it. */
  lingers?(head: RequestHead): boolean;
  /** Declares its own metrics. */
  declare?(meters: Meters): void;
  /** Releases its resources; no stream is served afterwards. */
  close?(): Promise<void>;
}

/** The circumstances in which a stream is served. */
export interface Serving {
  /** True while the agent drains. */
  draining: boolean;
  /** The version of the wire. */
  wire: 1 | 2;
  /** Parent of the spans of its requests, if traces are enabled. */
  span: Span | undefined;
  /** Called on every sign of life of the backend. */
  onAnswer?: () => void;
}

/** Timeout of a query to the backend, in milliseconds. */
const PROBE_MS = 10_000;
/** Maximum response to a query about the backend itself, in bytes. */
const PROBE_BYTES = 8 * 1024 * 1024;
/** The service of a worker module's agent: requests go on to its backend. */
export function backendAdapter(backend: Backend, options: BackendAdapterOptions): BackendAdapter {
  const { requestTimeoutMs, clock = systemClock, endpoints } = options;
  const access = new BackendAccess(backend);
  const ask = asking(access);
  const context = {
    backend: access,
    clock,
    idle: new IdleLimit(clock, requestTimeoutMs),
    traced: addressOf(backend.baseUrl),
  };
  const isExempt = declares((endpoints ?? []).filter(endpoint => !takesSlot(endpoint)));
  return {
    address: backend.baseUrl,
    pollMs: backend.pollMs,
    facts: backend.facts,
    look: () => backend.probe(ask),
    ...(endpoints && { declares: declares(endpoints) }),
    takesSlot: head => !isExempt(head),
    serve: (stream, head, about) => forward(stream, head, context, about),
  };
}

export interface BackendAdapterOptions {
  /** Milliseconds without a byte from the backend. */
  requestTimeoutMs: number;
  clock?: Clock | undefined;
  /** All that is served of the backend; every path below its base URL when left out. */
  endpoints?: readonly AgentEndpoint[] | undefined;
}

/** Asks with the backend's key, within PROBE_MS and PROBE_BYTES. */
function asking({ own: headers, tls }: BackendAccess): Ask {
  return async url => {
    const signal = AbortSignal.timeout(PROBE_MS);
    const response = await followed(url, { signal, redirect: "manual", headers, ...(tls && { tls }) });
    if (!response.ok) {
      await response.body?.cancel();
      throw new StatusError(url, response.status);
    }
    const bytes = await bytesUpTo(PROBE_BYTES, response.body);
    if (bytes === undefined) throw new Error(`the response to GET ${url} exceeds ${PROBE_BYTES} bytes`);
    return asText(bytes);
  };
}

/** Maximum redirects followed per query. */
const REDIRECTIONS_MAX = 3;

/** GETs, and follows redirections on the same host: another one must not see the backend's key. */
async function followed(url: string, init: BunFetchRequestInit): Promise<Response> {
  let at = url;
  for (let left = REDIRECTIONS_MAX; ; left--) {
    const response = await fetch(at, init);
    const location = response.headers.get("location");
    if (response.status < 300 || response.status >= 400 || location === null || left === 0) return response;
    const next = new URL(location, at);
    if (next.hostname !== new URL(at).hostname || (at.startsWith("https:") && next.protocol !== "https:"))
      throw new Error(`GET ${at} redirects (${response.status}) to another host, ${next.origin}`);
    await response.body?.cancel();
    at = next.href;
  }
}
