import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import OpenAI, { APIError } from "openai";
import { z } from "zod";
import { type DemoBackend, startDemoBackend } from "../../src/demo/backend.ts";
import { BODY_LIMIT } from "../../src/demo/body.ts";
import { sseResponse } from "../../src/demo/sse.ts";
import { speak } from "../../src/demo/words.ts";
import { deferred } from "../kit/time/gate.ts";
import { until } from "../kit/time/until.ts";

let demo: DemoBackend;
let client: OpenAI;

beforeAll(() => {
  demo = startDemoBackend({ wordMs: 0 });
  client = new OpenAI({ baseURL: demo.url, apiKey: "none", maxRetries: 0 });
});
afterAll(() => demo.stop());

const user = (content: string) => ({ role: "user" as const, content });
const post = (path: string, body: string) => fetch(`${demo.url}${path}`, { method: "POST", body });

async function failure(promise: PromiseLike<unknown>): Promise<APIError> {
  const error = await Promise.resolve(promise).catch((reason: unknown) => reason);
  if (error instanceof APIError) return error;
  throw new Error(`no APIError but ${error}`);
}

describe("models", () => {
  test("are two, and found by name", async () => {
    const ids = (await client.models.list()).data.map(({ id }) => id);
    expect(ids).toEqual(["demo-echo", "demo-embed"]);
    expect(await client.models.retrieve("demo-echo")).toMatchObject({ id: "demo-echo", object: "model" });
    expect(await failure(client.models.retrieve("nobody"))).toMatchObject({ status: 404, code: "model_not_found" });
  });
});

describe("chat", () => {
  const messages = [user("first"), { role: "assistant" as const, content: "ok" }, user("say it  again\nplease ä")];

  test("echoes the last user message and counts words", async () => {
    const answer = await client.chat.completions.create({ model: "demo-echo", messages });
    expect(answer.choices[0]).toMatchObject({ finish_reason: "stop", message: { content: "say it  again\nplease ä" } });
    expect(answer.usage).toEqual({ prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 });
  });

  test("reads content parts", async () => {
    const content = [{ type: "text" as const, text: "a part" }];
    const answer = await client.chat.completions.create({ model: "demo-echo", messages: [{ role: "user", content }] });
    expect(answer.choices[0]?.message.content).toBe("a part");
  });

  test("streams word by word, with usage when asked", async () => {
    const options = { stream: true, stream_options: { include_usage: true } } as const;
    const stream = await client.chat.completions.create({ model: "demo-echo", messages, ...options });
    const chunks = await Array.fromAsync(stream);
    const words = chunks.flatMap(chunk => chunk.choices.flatMap(choice => choice.delta.content || []));
    expect(words).toEqual(["say ", "it  ", "again\n", "please ", "ä"]);
    expect(chunks[0]?.choices[0]?.delta.role).toBe("assistant");
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("stop");
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { total_tokens: 12 } });
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  });

  test("without include_usage no chunk has usage, and [DONE] comes last", async () => {
    const body = JSON.stringify({ model: "demo-echo", stream: true, messages: [user("hi")] });
    const response = await post("/chat/completions", body);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    const text = await response.text();
    expect(text).toEndWith("\n\ndata: [DONE]\n\n");
    expect(text).not.toContain("usage");
  });

  test("the SDK's own stream runner puts the answer together", async () => {
    const runner = client.chat.completions.stream({ model: "demo-echo", messages: [user("one two")] });
    expect((await runner.finalChatCompletion()).choices[0]?.message.content).toBe("one two");
  });
});

describe("responses", () => {
  const input = [user("hello there"), { role: "assistant" as const, content: "yes" }, user("what now")];

  test("answer plainly", async () => {
    const answer = await client.responses.create({ model: "demo-echo", instructions: "be kind", input });
    expect(answer).toMatchObject({ status: "completed", output_text: "what now", instructions: "be kind" });
    expect(answer.usage).toMatchObject({ input_tokens: 7, output_tokens: 2, total_tokens: 9 });
    expect((await client.responses.create({ model: "demo-echo", input: "short" })).output_text).toBe("short");
  });

  test("stream every event in order", async () => {
    const stream = await client.responses.create({ model: "demo-echo", input, stream: true });
    const events = await Array.fromAsync(stream);
    expect(events.map(({ type }) => type)).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.completed",
    ]);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual(events.map((_, i) => i));
    expect(events.at(-1)).toMatchObject({ response: { status: "completed", usage: { total_tokens: 7 } } });
  });

  test("the SDK's own stream runner puts the answer together", async () => {
    const runner = client.responses.stream({ model: "demo-echo", input: "one two three" });
    expect((await runner.finalResponse()).output_text).toBe("one two three");
  });
});

describe("embeddings", () => {
  const answerSchema = z.object({
    data: z.tuple([z.object({ embedding: z.union([z.string(), z.array(z.number())]) })]),
    usage: z.unknown(),
  });
  const embed = async (input: string | string[] | number[] | number[][], dimensions?: number) => {
    const answer = await client.embeddings.create({
      model: "demo-embed",
      input,
      ...(dimensions === undefined ? {} : { dimensions }),
    });
    return answer.data.map(({ embedding }) => embedding);
  };
  const dot = (a: number[] = [], b: number[] = []) => a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0);

  test("are deterministic unit vectors, closer for similar texts", async () => {
    const [cat, cats, tax] = await embed(["the cat sat on the mat", "the cat sat on a mat", "income tax return form"]);
    expect(cat).toHaveLength(64);
    expect(dot(cat, cat)).toBeCloseTo(1, 5);
    expect(dot(cat, cats)).toBeGreaterThan(dot(cat, tax) + 0.3);
    expect(await embed("the cat sat on the mat")).toEqual([cat ?? []]);
  });

  test("take tokens and fewer dimensions, and the empty text", async () => {
    expect(await embed([1, 2, 3])).toHaveLength(1);
    expect(await embed([[1, 2, 3], [4]])).toHaveLength(2);
    const [short] = await embed("hello", 8);
    expect(short).toHaveLength(8);
    expect(dot(short, short)).toBeCloseTo(1, 5);
    const [empty] = await embed("");
    expect(dot(empty, empty)).toBeCloseTo(1, 5);
  });

  test("base64 and floats say the same", async () => {
    const ask = async (encoding_format: string) => {
      const response = await post(
        "/embeddings",
        JSON.stringify({ model: "demo-embed", input: "a b", encoding_format }),
      );
      return answerSchema.parse(await response.json());
    };
    const floats = await ask("float");
    const base64 = await ask("base64");
    const bytes = Buffer.from(String(base64.data[0].embedding), "base64");
    const decoded = Array.from({ length: 64 }, (_, i) => bytes.readFloatLE(i * 4));
    expect(floats.data[0].embedding).toEqual(decoded);
    expect(floats.usage).toEqual({ prompt_tokens: 2, total_tokens: 2 });
  });
});

describe("errors", () => {
  const messages = [user("hi")];

  test("unknown and wrong models", async () => {
    const unknown = await failure(client.chat.completions.create({ model: "gpt-9", messages }));
    expect(unknown).toMatchObject({ status: 404, code: "model_not_found", type: "invalid_request_error" });
    const embedder = await failure(client.chat.completions.create({ model: "demo-embed", messages }));
    expect(embedder).toMatchObject({ status: 400, param: "model" });
    const chatter = await failure(client.embeddings.create({ model: "demo-echo", input: "x" }));
    expect(chatter).toMatchObject({ status: 400, param: "model" });
  });

  test.each([
    ["/chat/completions", "{", { param: null, code: "invalid_json" }],
    ["/chat/completions", "[]", { param: null, code: "invalid_value" }],
    ["/chat/completions", '{"model":"demo-echo"}', { param: "messages", code: "missing_required_parameter" }],
    ["/chat/completions", '{"model":"demo-echo","messages":[{}]}', { param: "messages[0].role" }],
    ["/responses", '{"model":"demo-echo"}', { param: "input", code: "missing_required_parameter" }],
    ["/embeddings", '{"input":"x"}', { param: "model", code: "missing_required_parameter" }],
    ["/embeddings", '{"model":"demo-embed","input":[]}', { param: "input", code: "invalid_value" }],
    ["/embeddings", '{"model":"demo-embed","input":"x","dimensions":65}', { param: "dimensions" }],
  ])("%s with %s is a 400", async (path, body, error) => {
    const response = await post(path, body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { type: "invalid_request_error", ...error } });
  });

  test("unknown paths, wrong methods, too large a body", async () => {
    expect((await post("/nothing", "")).status).toBe(404);
    expect((await fetch(`${demo.url}/embeddings`)).status).toBe(405);
    const large = await post("/embeddings", "x".repeat(BODY_LIMIT + 1));
    expect(large.status).toBe(413);
    expect(await large.json()).toMatchObject({ error: { code: "request_too_large" } });
    const chunks = new Array(9).fill("x".repeat(1024 * 1024)).values();
    const body = new ReadableStream({
      pull: controller => {
        const { done, value } = chunks.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
    });
    expect((await fetch(`${demo.url}/embeddings`, { method: "POST", body })).status).toBe(413);
  });
});

test("a stream ends as soon as its client is gone", async () => {
  const controller = new AbortController();
  const ended = deferred();
  async function* events() {
    try {
      yield* speak("one two", 1_000_000, controller.signal);
    } finally {
      ended.resolve();
    }
  }
  const reader = sseResponse(events(), controller.signal).body?.getReader();
  expect(new TextDecoder().decode((await reader?.read())?.value)).toBe("one ");
  const second = reader?.read();
  controller.abort();
  await until(ended.promise, "the end of the generator");
  expect((await second)?.done).toBe(true);
});

test("stop cuts a stream that is still running", async () => {
  const slow = startDemoBackend({ wordMs: 1_000_000 });
  const sdk = new OpenAI({ baseURL: slow.url, apiKey: "none", maxRetries: 0 });
  const stream = await sdk.chat.completions.create({ model: "demo-echo", messages: [user("a b")], stream: true });
  const reading = Array.fromAsync(stream).catch(() => "cut");
  await until(slow.stop(), "the end of the server");
  expect(await until(reading, "the end of the stream")).toBe("cut");
});
