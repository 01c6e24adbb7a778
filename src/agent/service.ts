import type { HeaderPairs } from "../lib/http.ts";
import type { Meters } from "../lib/series.ts";
import { type Clock, systemClock } from "../lib/time.ts";
import type { Span } from "../lib/trace.ts";
import type { Ask, Backend, ProbeResult } from "../modules/module.ts";
import type { RequestHead } from "../protocol/frames.ts";
import type { Stream } from "../protocol/stream.ts";
import { addressOf, credentials, forward } from "./forward.ts";

/** The private service beside an agent. */
export interface Service {
  /** Where it is, for messages. */
  readonly address: string;
  /** Milliseconds between looks at it. */
  readonly pollMs: number;
  /** Facts that hold even while it is away. */
  readonly facts: Readonly<Record<string, string>>;
  /** What it serves even while it is away: a relay has its id. */
  readonly models?: readonly string[];
  /** How it is. Rejects with the reason when it is not there or not well. */
  look(): Promise<ProbeResult>;
  /**
   * Serves one stream. Resolves when the exchange is over; rejects with the reason when it failed, after the peer was told.
   * `late` is true while the agent drains; below `span` stands what it asks, when there are traces; `onAnswer` hears of
   * every sign of life of the backend.
   */
  serve(stream: Stream, head: RequestHead, late: boolean, span?: Span, onAnswer?: () => void): Promise<void>;
  /** What it has under way may need more streams to end: it gets them late too, and refuses what would begin work itself. */
  readonly servesLate?: boolean;
  /** True of a stream that may stay open for ever: a shutdown does not wait for it. */
  lingers?(head: RequestHead): boolean;
  /** Declares what it counts itself. */
  declare?(meters: Meters): void;
  /** Ends what it holds; no stream is served afterwards. */
  close?(): Promise<void>;
}

/** Milliseconds after which a question to the backend is given up. */
const PROBE_MS = 10_000;
/** Bytes of a backend's answer about itself. */
const PROBE_BYTES = 8 * 1024 * 1024;
/** The service of a worker module's agent: requests go on to its backend. */
export function backendService(backend: Backend, requestTimeoutMs: number, clock: Clock = systemClock): Service {
  const ask = asking(credentials(backend));
  const context = { backend, clock, idleMs: requestTimeoutMs, traced: addressOf(backend.baseUrl) };
  return {
    address: backend.baseUrl,
    pollMs: backend.pollMs,
    facts: backend.facts,
    look: () => backend.probe(ask),
    serve: (stream, head, _late, span, onAnswer) => forward(stream, head, { ...context, onAnswer }, span),
  };
}

/** Asks with the backend's key, within PROBE_MS and PROBE_BYTES. */
function asking(headers: HeaderPairs): Ask {
  return async url => {
    const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_MS), redirect: "manual", headers });
    if (!response.ok) {
      await response.body?.cancel();
      throw new Error(`GET ${url} answered ${response.status}`);
    }
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of response.body ?? []) {
      length += chunk.length;
      if (length > PROBE_BYTES) throw new Error(`GET ${url} answered with more than ${PROBE_BYTES} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks, length).toString("utf8");
  };
}
