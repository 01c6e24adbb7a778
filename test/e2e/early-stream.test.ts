// A stream that opens before its answer is known: whatever the backend then says must reach the client.
import { expect, test } from "bun:test";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import type { PoolSettings } from "../../src/modules/module.ts";
import { bytes, chatJson, chatStream, cut, type Respond, status } from "../kit/backend/answers.ts";
import type { TestBackend } from "../kit/backend/backend.ts";
import { Events } from "../kit/http/events.ts";
import { Gate } from "../kit/time/gate.ts";
import { World } from "../kit/world.ts";

const EVENTS = "data: 1\n\ndata: [DONE]\n\n";
const SSE = { "content-type": "text/event-stream" };

/** What a client of `path` gets that had to wait in the queue, when its backend then answers with `respond`. */
async function afterWait(
  respond: Respond,
  path = "/chat/completions",
  headers: Record<string, string> = {},
  pool: Partial<PoolSettings> = {},
): Promise<{ text: string; backend: TestBackend }> {
  await using world = new World({ pool });
  const { backend } = await world.worker({ maxConcurrency: 1 });
  const gate = new Gate();
  backend.respond = chatStream(["held"], { gate });
  const first = world.chat({ stream: true });
  await backend.arrived(1);
  const response = await world.post(path, { model: "test-model", stream: true }, { headers });
  await world.when(() => world.pool.waiting === 1, "one waits");
  backend.respond = respond;
  gate.open();
  await (await first).text();
  const events = new Events(response);
  await events.all();
  expect(await world.leftovers()).toEqual({});
  return { text: events.text, backend };
}

/** What stands behind the first event, which is about the queue. */
const behind = (text: string): string => text.slice(text.indexOf("\n\n") + 2);

test.each([
  ["gzip", gzipSync],
  ["deflate", deflateSync],
  ["br", brotliCompressSync],
  ["zstd", zstdCompressSync],
])("an answer in %s is decoded, and was not asked for", async (encoding, pack) => {
  const { text, backend } = await afterWait(
    bytes([pack(Buffer.from(EVENTS))], { ...SSE, "content-encoding": encoding }),
    undefined,
    { "accept-encoding": "gzip, br" },
  );
  expect(behind(text)).toBe(EVENTS);
  expect(backend.requests.map(({ headers }) => headers.get("accept-encoding"))).toEqual(["identity", "identity"]);
});

test("an encoding that is broken or unknown ends the stream with a clear error", async () => {
  const broken = await afterWait(bytes([gzipSync(EVENTS).subarray(0, 20)], { ...SSE, "content-encoding": "gzip" }));
  expect(broken.text).toContain("event: error\n");
  expect(broken.text).toContain("the backend's response is not valid gzip");
  const unknown = await afterWait(bytes(["x"], { ...SSE, "content-encoding": "rot13" }));
  expect(unknown.text).toContain("the unsupported content encoding rot13");
});

test.each([{ "content-type": "text/plain" }, { "content-type": "application/json" }, {}])(
  "events with the headers %j pass as events",
  async headers => {
    const { text } = await afterWait(bytes(["data", ": 1\n\n", "data: [DONE]\n\n"], headers));
    expect(behind(text)).toBe(EVENTS);
  },
);

test("a whole chat completion becomes the events that stand for it", async () => {
  const { text } = await afterWait(chatJson("Hello"));
  const events = behind(text).trimEnd().split("\n\n");
  expect(events.at(-1)).toBe("data: [DONE]");
  const chunks = events.slice(0, -1).map(event => JSON.parse(event.slice("data: ".length)));
  expect(chunks).toMatchObject([
    {
      id: "chatcmpl-test",
      object: "chat.completion.chunk",
      choices: [{ index: 0, delta: { role: "assistant", content: "Hello" }, finish_reason: null }],
    },
    { choices: [{ index: 0, delta: {}, finish_reason: "stop" }], usage: { total_tokens: 5 } },
  ]);
});

test("an answer that no events stand for is a clear error", async () => {
  const { text } = await afterWait(status(200, "<html>", { "content-type": "text/html" }));
  expect(behind(text)).toBe(
    'event: error\ndata: {"error":{"message":"the backend responded to a request for events with text/html","type":"server_error","code":"upstream_error","param":null}}\n\n',
  );
  const large = await afterWait(status(200, JSON.stringify({ choices: "x".repeat(5 * 1024 * 1024) })));
  expect(large.text).toContain("exceeds the limit of an event, 4194304 bytes");
});

test("a backend's error comes whole, in the form of the API", async () => {
  const vllm = { object: "error", message: "too long", type: "BadRequestError", param: null, code: 400 };
  const chat = await afterWait(status(400, vllm));
  const { type, param, code } = vllm;
  expect(JSON.parse(chat.text.split("data: ").at(-1) ?? "")).toEqual({
    ...vllm,
    error: { message: "too long", type, code, param },
  });
  const response = await afterWait(
    status(429, { error: { message: "slow", code: "rate_limit_exceeded" } }),
    "/responses",
  );
  expect(JSON.parse(response.text.split("data: ").at(-1) ?? "")).toEqual({
    type: "error",
    code: "rate_limit_exceeded",
    message: "slow",
    param: null,
    error: { type: "rate_limit_error", code: "rate_limit_exceeded", message: "slow", param: null },
    sequence_number: 0,
  });
  const message = await afterWait(
    status(529, { type: "error", error: { type: "overloaded_error", message: "no" } }),
    "/messages",
  );
  expect(JSON.parse(message.text.split("data: ").at(-1) ?? "")).toEqual({
    type: "error",
    error: { type: "overloaded_error", message: "no" },
  });
});

test("a response that breaks ends with the number behind its last event's", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  const event = (n: number) => `data: {"type":"response.in_progress","sequence_number":${n}}\n\n`;
  const gate = new Gate();
  backend.respond = cut(event(0) + event(7), { headers: SSE, gate });
  const stream = new Events(await world.post("/responses", { model: "test-model", stream: true }));
  await stream.next();
  gate.open();
  const events = await stream.all();
  expect(events.at(-1)?.event).toBe("error");
  expect(JSON.parse(events.at(-1)?.data ?? "")).toMatchObject({
    type: "error",
    code: "upstream_error",
    sequence_number: 8,
  });
});

test.each(["", '{"do'])("lines of Ollama's that break, the last one being %j, end with its error", async half => {
  await using world = new World();
  const { backend } = await world.worker();
  const gate = new Gate();
  const line = '{"done":false}\n';
  backend.respond = cut(line + half, { headers: { "content-type": "application/x-ndjson" }, gate });
  const answer = await world.post("/../ollama/api/chat", { model: "test-model" });
  expect(answer.headers.get("x-accel-buffering")).toBe("no");
  gate.open();
  const [first, ...rest] = (await answer.text()).split("\n");
  expect([first, ...rest.slice(0, half === "" ? 0 : 1)].join("\n")).toBe(line.trimEnd() + (half && `\n${half}`));
  expect(JSON.parse(rest.at(-2) ?? "")).toEqual({ error: expect.any(String) });
  expect(rest.at(-1)).toBe("");
  expect(await world.leftovers()).toEqual({});
});

test("the place in the queue is a comment for clients that fail on events they do not know", async () => {
  const comment =
    /^: nfrx\.queue \{"type":"nfrx\.queue","request_id":".+","model":"test-model","position":1\}\n\ndata: 1/;
  const event =
    /^event: nfrx\.queue\ndata: \{"type":"nfrx\.queue","request_id":".+","model":"test-model","position":1\}\n\ndata: 1/;
  const respond = bytes([EVENTS], SSE);
  const whole = async (...rest: [path?: string, headers?: Record<string, string>, pool?: Partial<PoolSettings>]) =>
    (await afterWait(respond, ...rest)).text;
  expect(await whole()).toMatch(event);
  expect(await whole("/responses")).toMatch(comment);
  expect(await whole("/messages")).toMatch(comment);
  expect(await whole("/chat/completions", { "x-stainless-lang": "python" })).toMatch(comment);
  expect(await whole("/chat/completions", { "x-stainless-lang": "python", "x-nfrx-queue": "event" })).toMatch(event);
  expect(await whole("/chat/completions", {}, { queueEvents: "comment" })).toMatch(comment);
  expect(await whole("/responses", {}, { queueEvents: "event" })).toMatch(event);
});

test("without queue events a stream waits for its status", async () => {
  for (const [headers, pool] of [
    [{}, { queueEvents: "off" }],
    [{ "x-nfrx-queue": "event" }, { queueEvents: "off" }],
    [{ "x-nfrx-queue": "off" }, {}],
  ] satisfies [Record<string, string>, Partial<PoolSettings>][]) {
    await using world = new World({ pool });
    const { backend } = await world.worker({ maxConcurrency: 1 });
    const gate = new Gate();
    backend.respond = chatStream(["held"], { gate });
    const first = world.chat({ stream: true });
    await backend.arrived(1);
    const waiting = world.chat({ stream: true }, { headers });
    await world.when(() => world.pool.waiting === 1, "one waits");
    backend.respond = status(429, { error: { message: "slow down" } });
    gate.open();
    await (await first).text();
    expect((await waiting).status).toBe(429);
  }
});

test("every event stream says that nobody may hold it back", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  backend.respond = bytes([EVENTS], SSE);
  const stream = await world.chat({ stream: true });
  expect([stream.headers.get("cache-control"), stream.headers.get("x-accel-buffering")]).toEqual(["no-cache", "no"]);
  backend.respond = bytes([EVENTS], { ...SSE, "cache-control": "no-store" });
  expect((await world.chat({ stream: true })).headers.get("cache-control")).toBe("no-store");
  const state = await fetch(`${world.origin}/api/state/stream`, { headers: { authorization: "Bearer test-api-key" } });
  expect([state.headers.get("cache-control"), state.headers.get("x-accel-buffering")]).toEqual(["no-cache", "no"]);
  await state.body?.cancel();
});
