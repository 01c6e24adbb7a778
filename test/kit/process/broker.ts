// A broker as a process, and requests to it.
import { until } from "../time/until.ts";
import { API_KEY } from "../world.ts";
import { type BrokerState, type Module, stateOf } from "./broker-state.ts";
import { type Env, Program, START_MS } from "./program.ts";

/** A broker as a process. */
export class BrokerProgram extends Program {
  port = 0;
  scheme: "http" | "https" = "http";

  get origin(): string {
    return `${this.scheme}://127.0.0.1:${this.port}`;
  }

  /** The OpenAI base URL. */
  get url(): string {
    return `${this.origin}/api/llm/v1`;
  }

  /** Where a relay is reached. */
  relayUrl(id: string): string {
    return `${this.origin}/api/mcp/id/${id}`;
  }

  connectUrl(module: Module | "mcp" = "llm"): string {
    return `${this.origin.replace("http", "ws")}/api/${module}/connect`;
  }

  /** POSTs JSON below the OpenAI base URL, with the API key, on a connection of its own. */
  post(path: string, body: unknown, init: BunFetchRequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, {
      method: "POST",
      body: JSON.stringify(body),
      keepalive: false,
      ...init,
      headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
    });
  }

  chat(extra: Record<string, unknown> = {}, init: BunFetchRequestInit = {}): Promise<Response> {
    return this.post("/chat/completions", chatBody(extra), init);
  }

  /** The value of a metric without labels, or of one module's; NaN when there is none. */
  async metric(name: string, ext: Module | "mcp" = "llm"): Promise<number> {
    const text = await (await fetch(`${this.origin}/metrics`)).text();
    return Number(new RegExp(`^${name}(?:\\{ext="${ext}"\\})? (\\S+)$`, "m").exec(text)?.[1] ?? Number.NaN);
  }

  /** Resolves once the broker's state, of which it sends events, is as `holds` wants it. */
  async state(holds: (state: BrokerState) => boolean, what: string, ms = START_MS): Promise<BrokerState> {
    const abort = new AbortController();
    let last: BrokerState | undefined;
    const read = async (): Promise<BrokerState> => {
      const response = await fetch(`${this.origin}/api/state/stream`, {
        headers: { authorization: `Bearer ${API_KEY}` },
        signal: abort.signal,
        keepalive: false,
      });
      let text = "";
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? []) {
        const events = (text + decoder.decode(chunk, { stream: true })).split("\n\n");
        text = events.pop() ?? "";
        for (const event of events) {
          last = stateOf(JSON.parse(event.slice("data: ".length)));
          if (holds(last)) return last;
        }
      }
      throw new Error(`the state ended before ${what}`);
    };
    try {
      return await until(read(), () => `${what}: ${JSON.stringify(last)}\n${this.tail}`, ms);
    } finally {
      abort.abort();
    }
  }

  /** Resolves once nothing is under way any more: no slot, no place in the queue, no counted request, no listener, no body held in memory or on disk, no open stream. */
  async quiet(ms?: number): Promise<void> {
    await this.state(
      ({ inflight, waiting, counted, slots, calls, listeners }) =>
        inflight + waiting + counted + slots + calls + listeners === 0,
      "a quiet broker",
      ms,
    );
    const response = await fetch(`${this.origin}/metrics`);
    const text = await response.text();
    if (!response.ok) throw new Error(`GET /metrics answered ${response.status}: ${text}\n${this.tail}`);
    const left = QUIET_METRICS.filter(name => {
      const values = [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "gm"))];
      return values.length === 0 || values.some(([, value]) => value !== "0");
    });
    if (left.length > 0) throw new Error(`not at zero: ${left.join(", ")}`);
  }
}

/** Gauges that are at zero while nothing is under way. */
const QUIET_METRICS = [
  "nfrx_queue_length",
  "nfrx_seats_taken",
  "nfrx_drainable_inflight",
  "nfrx_buffered_body_bytes",
  "nfrx_spooled_body_bytes",
  "nfrx_tunnel_streams",
];

/** The body of a chat request. */
export function chatBody(extra: Record<string, unknown> = {}): Record<string, unknown> {
  return { model: "test-model", messages: [{ role: "user", content: "hello" }], ...extra };
}

/** The headers of a raw request with the API key. */
export const AUTHORIZED: Env = { authorization: `Bearer ${API_KEY}` };
