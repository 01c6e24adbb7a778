import { z } from "zod";
import type { Gate } from "../time/gate.ts";
import type { RecordedRequest } from "./record.ts";

/** Answers one request of the test backend. A body that fails cuts the connection. */
export type Respond = (request: Request, recorded: RecordedRequest) => Response | Promise<Response>;

/** Headers to send; the list form may repeat a name. */
export type HeaderPairs = Record<string, string> | [string, string][];

/** Token counts as OpenAI reports them. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

const USAGE: Usage = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };
const CREATED = 1_700_000_000;

const bodySchema = z.looseObject({
  model: z.string().catch("test-model"),
  stream: z.boolean().nullish().catch(false),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish().catch(null),
  input: z.unknown().optional(),
});

function bodyOf(recorded: RecordedRequest): z.infer<typeof bodySchema> {
  return bodySchema.parse(recorded.body ? recorded.json() : {});
}

/** What the backend does unless told otherwise: embeddings, chat, streamed chat, by path and `stream`; else 404. */
export const serveDefault: Respond = (request, recorded) => {
  if (recorded.path.endsWith("/embeddings")) return embeddings()(request, recorded);
  if (!recorded.path.endsWith("/chat/completions")) return status(404, error("unknown path"))(request, recorded);
  const answer = bodyOf(recorded).stream ? chatStream(["Hello", " world"]) : chatJson("Hello world");
  return answer(request, recorded);
};

/** The answers to a probe: OpenAI's and Ollama's model lists, a version, llama.cpp's /props, a health page. */
export function serveProbe(backend: { models: string[]; props: object | undefined }, request: Request): Response {
  const { pathname } = new URL(request.url);
  const models = backend.models.map(id => ({ id, object: "model", created: CREATED, owned_by: "test" }));
  const tags = backend.models.map(name => ({ name, model: name, size: 1, digest: "0", details: {} }));
  if (pathname === "/v1/models") return json({ object: "list", data: models });
  if (pathname === "/api/tags") return json({ models: tags });
  if (pathname === "/api/version") return json({ version: "0.0-test" });
  if (pathname === "/health") return json({ status: "ok" });
  if (pathname === "/props") return backend.props ? json(backend.props) : json(error("no props"), 404);
  const model = models.find(({ id }) => pathname === `/v1/models/${encodeURIComponent(id)}`);
  return model ? json(model) : json(error("no such model"), 404);
}

/** A whole chat completion that says `text`. */
export function chatJson(text: string, usage: Usage = USAGE): Respond {
  return (_request, recorded) =>
    json({
      id: "chatcmpl-test",
      object: "chat.completion",
      created: CREATED,
      model: bodyOf(recorded).model,
      choices: [{ index: 0, message: { role: "assistant", content: text }, finish_reason: "stop" }],
      usage,
    });
}

/**
 * A streamed chat completion: the head at once, one SSE chunk a word, then finish reason, usage (when the client asked for it) and [DONE].
 * With a gate every word takes one pass; what comes after the last word takes none.
 */
export function chatStream(words: readonly string[], options: { gate?: Gate; usage?: Usage } = {}): Respond {
  return (request, recorded) => {
    const { model, stream_options } = bodyOf(recorded);
    const usage = options.usage ?? { ...USAGE, completion_tokens: words.length, total_tokens: 3 + words.length };
    const chunk = (choices: object[], more: object = {}) =>
      `data: ${JSON.stringify({ id: "chatcmpl-test", object: "chat.completion.chunk", created: CREATED, model, choices, ...more })}\n\n`;
    const choice = (delta: object, finish_reason: string | null) => [{ index: 0, delta, finish_reason }];
    const pieces = words.map((content, i) => chunk(choice(i ? { content } : { role: "assistant", content }, null)));
    const tail = [chunk(choice({}, "stop")), ...(stream_options?.include_usage ? [chunk([], { usage })] : [])];
    async function* write() {
      for (const piece of pieces) {
        await options.gate?.wait(request.signal);
        yield piece;
      }
      yield* tail;
      yield "data: [DONE]\n\n";
    }
    return new Response(streamOf(write()), { headers: { "content-type": "text/event-stream" } });
  };
}

/** One vector `[index, length of the input]` per input; an array of numbers is one input. */
export function embeddings(): Respond {
  return (_request, recorded) => {
    const { model, input } = bodyOf(recorded);
    const many = Array.isArray(input) && typeof input[0] !== "number";
    const inputs: unknown[] = many ? input : [input];
    const lengths = inputs.map(one => (typeof one === "string" || Array.isArray(one) ? one.length : 0));
    const data = lengths.map((length, index) => ({ object: "embedding", index, embedding: [index, length] }));
    const tokens = lengths.reduce((sum, length) => sum + length, 0);
    return json({ object: "list", model, data, usage: { prompt_tokens: tokens, total_tokens: tokens } });
  };
}

/** Never answers; gives up when the client does. */
export function silent(): Respond {
  return request => gone(request.signal);
}

/** Sends the head of an event stream, then nothing until the client gives up. */
export function headThenSilent(headers: HeaderPairs = { "content-type": "text/event-stream" }, code = 200): Respond {
  return request => {
    const body = new ReadableStream<Uint8Array>({ pull: () => gone(request.signal) }, { highWaterMark: 0 });
    return new Response(body, { status: code, headers });
  };
}

/** Exactly these chunks, one write each; with a gate every chunk takes one pass. Chunked, unless the headers announce a length. */
export function bytes(
  chunks: readonly (Uint8Array | string)[],
  headers: HeaderPairs = {},
  code = 200,
  gate?: Gate,
): Respond {
  return request => {
    async function* write() {
      for (const chunk of chunks) {
        await gate?.wait(request.signal);
        yield chunk;
      }
    }
    return new Response(streamOf(write()), { status: code, headers });
  };
}

/** A status with a body; an object goes out as JSON. */
export function status(code: number, body: object | string | null = null, headers: HeaderPairs = {}): Respond {
  return () => {
    if (body !== null && typeof body === "object") return json(body, code, headers);
    return new Response(body, { status: code, headers: withLength(body, headers) });
  };
}

/** Sends the bytes, then destroys the socket in mid-body; with a gate, not before it gives a pass. Chunked, or with `announced` as its Content-Length. */
export function cut(
  sent: Uint8Array | string,
  options: { announced?: number; headers?: HeaderPairs; gate?: Gate } = {},
): Respond {
  return request => {
    async function* write() {
      yield sent;
      await options.gate?.wait(request.signal);
      throw new Error("cut by the test");
    }
    const headers = new Headers(options.headers);
    if (options.announced !== undefined) headers.set("content-length", String(options.announced));
    return new Response(streamOf(write()), { headers });
  };
}

/** A JSON response with a Content-Length, as real backends send it. (A plain `Response.json` goes out chunked.) */
export function json(value: object, code = 200, headers: HeaderPairs = {}): Response {
  const text = JSON.stringify(value);
  const all = withLength(text, headers);
  if (!all.has("content-type")) all.set("content-type", "application/json");
  return new Response(text, { status: code, headers: all });
}

/** OpenAI's error body. */
export function error(message: string, code: string | null = null): object {
  return { error: { message, type: "invalid_request_error", param: null, code } };
}

function withLength(body: string | null, headers: HeaderPairs): Headers {
  const all = new Headers(headers);
  if (body !== null) all.set("content-length", String(Buffer.byteLength(body)));
  return all;
}

/** A byte stream that takes one piece from the generator for every read. */
function streamOf(pieces: AsyncGenerator<Uint8Array | string>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await pieces.next();
        if (next.done) controller.close();
        else controller.enqueue(typeof next.value === "string" ? encoder.encode(next.value) : next.value);
      },
      async cancel() {
        await pieces.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
}

function gone(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
