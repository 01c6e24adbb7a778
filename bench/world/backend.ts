/** The stand-in for an LLM server. Writes its port and its clock on stdout, ends when stdin does. */
import { now } from "../clock.ts";

const MODEL = "bench-model";
const DIMENSION = 16;
/** Bodies above this are counted, not kept. */
const KEEP_BYTES = 1 << 20;
const INPUTS_PER_MS = 16;

const JSON_HEADERS = { "content-type": "application/json" };
const SSE_HEADERS = { "content-type": "text/event-stream", "cache-control": "no-cache" };

/**
 * Bun closes the connection of a request that says `connection: close`, but does not say so in its answer; a client
 * that trusts the answer then reuses a dying connection (the Go series' agent does). Every other server says it.
 */
function headed(request: Request, headers: Record<string, string>): ResponseInit {
  return { headers: request.headers.get("connection") === "close" ? { ...headers, connection: "close" } : headers };
}

const completion = JSON.stringify({
  id: "chatcmpl-bench",
  object: "chat.completion",
  created: 1_700_000_000,
  model: MODEL,
  choices: [
    { index: 0, message: { role: "assistant", content: "All work and no play. ".repeat(36) }, finish_reason: "stop" },
  ],
  usage: { prompt_tokens: 200, completion_tokens: 200, total_tokens: 400 },
});

/** Start and end of every request with `bench_delay_ms`, in order; read and cleared by `/bench/spans`. */
let spans: [number, number][] = [];

interface Ask {
  stream: boolean;
  chunks: number;
  intervalMs: number;
  hold: boolean;
  delayMs: number;
}

function parseAsk(text: string): Ask {
  const body: unknown = JSON.parse(text);
  const field = (name: string): unknown =>
    typeof body === "object" && body !== null ? Object.entries(body).find(([key]) => key === name)?.[1] : undefined;
  const count = (name: string, fallback: number): number => {
    const value = field(name);
    return typeof value === "number" ? value : fallback;
  };
  return {
    stream: field("stream") === true,
    chunks: count("bench_chunks", 200),
    intervalMs: count("bench_interval_ms", 5),
    hold: field("bench_hold") === true,
    delayMs: count("bench_delay_ms", 0),
  };
}

function chunk(): string {
  return `data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"model":"${MODEL}","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}],"bench_t":${now().toFixed(4)}}\n\n`;
}

function streamed(ask: Ask, request: Request): Response {
  const { signal } = request;
  const body = new ReadableStream({
    type: "direct",
    async pull(controller) {
      const { promise: gone, resolve: leave } = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => leave(), { once: true });
      if (ask.hold) {
        controller.write(chunk());
        controller.flush();
        await gone;
      }
      for (let sent = 0; sent < ask.chunks && !signal.aborted; sent++) {
        if (sent > 0) await Bun.sleep(ask.intervalMs);
        controller.write(chunk());
        controller.flush();
      }
      if (!signal.aborted) controller.write("data: [DONE]\n\n");
      controller.close();
    },
  });
  return new Response(body, headed(request, SSE_HEADERS));
}

/** The body as text, or only its length when it is too big to keep. */
async function readBody(request: Request): Promise<string | number> {
  const length = Number(request.headers.get("content-length") ?? Number.NaN);
  if (length <= KEEP_BYTES) return request.text();
  let count = 0;
  const kept: Uint8Array[] = [];
  for await (const part of request.body ?? []) {
    count += part.byteLength;
    if (count <= KEEP_BYTES) kept.push(part);
    else kept.length = 0;
  }
  return count <= KEEP_BYTES ? Buffer.concat(kept).toString() : count;
}

async function chat(request: Request, quiet: () => void): Promise<Response> {
  const text = await readBody(request);
  if (typeof text === "number")
    return new Response(`{"id":"upload","object":"chat.completion","bytes":${text}}`, headed(request, JSON_HEADERS));
  // The common request is answered without parsing, so that the backend stays the cheapest part of the chain.
  if (!text.includes('"stream":true') && !text.includes('"bench_'))
    return new Response(completion, headed(request, JSON_HEADERS));
  const ask = parseAsk(text);
  if (ask.stream) {
    quiet();
    return streamed(ask, request);
  }
  const began = now();
  if (ask.delayMs > 0) await Bun.sleep(ask.delayMs);
  if (spans.length < 100_000) spans.push([began, now()]);
  return new Response(completion, headed(request, JSON_HEADERS));
}

async function embeddings(request: Request): Promise<Response> {
  const body: unknown = await request.json();
  const input: unknown = typeof body === "object" && body !== null && "input" in body ? body.input : "";
  const inputs: unknown[] = Array.isArray(input) ? input : [input];
  await Bun.sleep(Math.ceil(inputs.length / INPUTS_PER_MS));
  const data = inputs.map((text, index) => ({ object: "embedding", index, embedding: vector(String(text)) }));
  const usage = { prompt_tokens: inputs.length * 4, total_tokens: inputs.length * 4 };
  return Response.json({ object: "list", data, model: MODEL, usage }, headed(request, JSON_HEADERS));
}

const CALL_RESULT = JSON.stringify({
  jsonrpc: "2.0",
  id: 1,
  result: { content: [{ type: "text", text: "All work and no play. ".repeat(10) }], isError: false },
});

/** A tool call of MCP, answered as a server does that answers in JSON. */
async function call(request: Request): Promise<Response> {
  await request.text();
  return new Response(CALL_RESULT, headed(request, JSON_HEADERS));
}

/** Tells inputs apart: its first number is the one that ends the text. */
function vector(text: string): number[] {
  const first = Number(/(\d+)$/.exec(text)?.[1] ?? 0);
  return Array.from({ length: DIMENSION }, (_, place) => (place === 0 ? first : place / 16));
}

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 255,
  maxRequestBodySize: 2 ** 31,
  routes: {
    "/v1/chat/completions": { POST: (request, server) => chat(request, () => server.timeout(request, 0)) },
    "/v1/embeddings": { POST: request => embeddings(request) },
    "/mcp": { POST: request => call(request), GET: () => new Response(null, { status: 405 }) },
    "/v1/models": {
      GET: () =>
        Response.json({ object: "list", data: [{ id: MODEL, object: "model", created: 1, owned_by: "bench" }] }),
    },
    "/bench/spans": {
      GET: () => {
        const answer = Response.json(spans);
        spans = [];
        return answer;
      },
    },
  },
  fetch: () => new Response("not found", { status: 404 }),
});

process.stdout.write(`${JSON.stringify({ port: server.port, hello: now() })}\n`);
for await (const _ of Bun.stdin.stream()) {
  // Nothing is said to a backend; the end of its stdin is the end of the bench.
}
process.exit(0);
