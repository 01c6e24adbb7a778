import { afterEach, expect, test } from "bun:test";
import {
  bytes,
  chatStream,
  cut,
  headThenSilent,
  type RawExchange,
  silent,
  startBackend,
  startRawBackend,
  status,
} from "../kit/backend/backend.ts";
import { deferred, Gate } from "../kit/time/gate.ts";
import { Changes, until } from "../kit/time/until.ts";

const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

async function backendFor(...args: Parameters<typeof startBackend>) {
  const backend = await startBackend(...args);
  stops.push(() => backend.stop());
  return backend;
}

async function rawFor(handler: (exchange: RawExchange) => void | Promise<void>) {
  const backend = await startRawBackend(handler);
  stops.push(() => backend.stop());
  return backend;
}

const chatBody = (more: object = {}) => JSON.stringify({ model: "m", messages: [], ...more });
const post = (body: string | Uint8Array<ArrayBuffer> | ReadableStream, signal: AbortSignal | null = null) => ({
  method: "POST",
  body,
  signal,
});

interface ByteReader {
  read(): Promise<{ done: boolean; value?: Uint8Array | undefined }>;
}

/** Reads until at least `length` characters are here. */
async function readText(reader: ByteReader, length: number): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  while (text.length < length) {
    const { done, value } = await until(reader.read(), `more text after ${text}`);
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  return text;
}

test("the default backend chats, streams, embeds and refuses the rest", async () => {
  const backend = await backendFor();
  const chat = await fetch(`${backend.url}/chat/completions`, post(chatBody()));
  expect(chat.headers.get("content-length")).not.toBeNull();
  expect(await chat.json()).toMatchObject({ model: "m", choices: [{ message: { content: "Hello world" } }] });
  const options = { stream: true, stream_options: { include_usage: true } };
  const stream = await fetch(`${backend.url}/chat/completions`, post(chatBody(options)));
  expect(stream.headers.get("content-type")).toBe("text/event-stream");
  expect(await stream.text()).toMatch(/"Hello".*" world".*"stop".*"total_tokens":5.*\[DONE\]\n\n$/s);
  const vectors = await fetch(`${backend.url}/embeddings`, post(JSON.stringify({ input: ["ab", "cde"] })));
  expect(await vectors.json()).toMatchObject({ data: [{ embedding: [0, 2] }, { embedding: [1, 3] }] });
  expect((await fetch(`${backend.url}/nothing`)).status).toBe(404);
});

test("probes are answered from the mutable lists and counted apart", async () => {
  const backend = await backendFor({ models: ["a"] });
  backend.models.push("b");
  expect(await (await fetch(`${backend.url}/models`)).json()).toMatchObject({ data: [{ id: "a" }, { id: "b" }] });
  expect(await (await fetch(`${backend.url}/models/b`)).json()).toMatchObject({ id: "b" });
  expect(await (await fetch(`${backend.origin}/api/tags`)).json()).toMatchObject({ models: [{ name: "a" }, {}] });
  expect(await (await fetch(`${backend.origin}/api/version`)).json()).toEqual({ version: "0.0-test" });
  expect((await fetch(`${backend.origin}/props`)).status).toBe(404);
  backend.props = { total_slots: 4 };
  expect(await (await fetch(`${backend.origin}/props`)).json()).toEqual({ total_slots: 4 });
  backend.probe = status(503);
  expect((await fetch(`${backend.url}/models`)).status).toBe(503);
  await backend.probed(7);
  expect(backend.requests).toHaveLength(0);
});

test("a request is recorded with its head and body", async () => {
  const backend = await backendFor();
  const headers = { "x-test": "1", "content-type": "application/json" };
  await fetch(`${backend.url}/chat/completions?a=b`, { method: "POST", headers, body: chatBody() });
  const [request] = backend.requests;
  expect(request).toMatchObject({ method: "POST", path: "/v1/chat/completions", search: "?a=b", aborted: false });
  expect(request?.headers.get("x-test")).toBe("1");
  expect(request?.json()).toEqual(JSON.parse(chatBody()));
  const large = new Uint8Array(3 * 1024 * 1024).fill(7);
  await fetch(`${backend.url}/upload`, post(large));
  expect(backend.requests[1]).toMatchObject({ bodyBytes: large.length, body: undefined });
  expect(backend.requests[1]?.sha256).toBe(new Bun.CryptoHasher("sha256").update(large).digest("hex"));
});

test("the handler can read the body itself", async () => {
  const backend = await backendFor({ readBody: false, respond: async request => new Response(await request.text()) });
  expect(await (await fetch(`${backend.url}/echo`, post("hello"))).text()).toBe("hello");
  expect(backend.requests[0]).toMatchObject({ bodyBytes: 5, body: undefined });
  backend.readBody = true;
  expect(await (await fetch(`${backend.url}/echo`, post("hello"))).text()).toBe("hello");
});

test("an early answer leaves the upload unread", async () => {
  const backend = await backendFor({ readBody: false, respond: status(413, "too much", { connection: "close" }) });
  const { promise: never } = deferred();
  const body = new ReadableStream({ start: controller => controller.enqueue(new Uint8Array(10)), pull: () => never });
  const response = await until(fetch(`${backend.url}/upload`, post(body)), "an early answer");
  expect(response.status).toBe(413);
  await response.body?.cancel();
});

test("aborts are seen: before the head, after the head, and in the upload", async () => {
  const backend = await backendFor({ respond: silent() });
  const first = new AbortController();
  const waiting = fetch(`${backend.url}/chat/completions`, post(chatBody(), first.signal)).catch(() => "aborted");
  await backend.arrived(1);
  first.abort();
  expect(await waiting).toBe("aborted");
  await backend.aborted(1);

  backend.respond = headThenSilent();
  const second = new AbortController();
  const response = await until(fetch(`${backend.url}/x`, { signal: second.signal }), "a head without a body");
  expect(response.status).toBe(200);
  second.abort();
  await backend.aborted(2);

  const third = new AbortController();
  const { promise: never } = deferred();
  const body = new ReadableStream({ start: controller => controller.enqueue(new Uint8Array(10)), pull: () => never });
  const upload = fetch(`${backend.url}/upload`, post(body, third.signal)).catch(() => "aborted");
  await backend.when(() => backend.requests[2]?.bodyBytes === 10, "10 bytes of upload");
  third.abort();
  expect(await upload).toBe("aborted");
  await backend.aborted(3);
  await backend.idle();
  for (const request of backend.requests) expect(request.abortedAt).toBeGreaterThanOrEqual(request.arrivedAt);
});

test("peakInflight counts what runs at once", async () => {
  const gate = new Gate();
  const backend = await backendFor({ respond: chatStream(["x"], { gate }) });
  const answers = Array.from({ length: 5 }, () => fetch(`${backend.url}/chat/completions`, post(chatBody())));
  await backend.arrived(5);
  expect(backend.inflight).toBe(5);
  gate.release(5);
  for (const answer of answers) await (await answer).text();
  await backend.idle();
  await (await fetch(`${backend.url}/models`)).text();
  expect(backend).toMatchObject({ inflight: 0, peakInflight: 5, abortedCount: 0 });
});

test("a gate lets a stream go on chunk by chunk", async () => {
  const gate = new Gate();
  const backend = await backendFor({ respond: bytes(["one", "two", "three"], {}, 200, gate) });
  const response = await until(fetch(`${backend.url}/x`), "the head");
  const reader = response.body?.getReader();
  if (!reader) throw new Error("no body");
  for (const word of ["one", "two", "three"]) {
    gate.release();
    expect(await readText(reader, word.length)).toBe(word);
  }
  expect((await reader.read()).done).toBe(true);
});

test("bytes arrive exactly, with status, headers and length as told", async () => {
  const binary = Uint8Array.from({ length: 256 }, (_, i) => i);
  const large = new Uint8Array(5 * 1024 * 1024).map((_, i) => i * 31);
  const backend = await backendFor({ respond: bytes([binary, "data: ä\r\n\r\n", large], { "x-odd": "yes" }, 418) });
  const response = await fetch(`${backend.url}/x`);
  expect(response.status).toBe(418);
  expect(response.headers.get("x-odd")).toBe("yes");
  const expected = Buffer.concat([binary, Buffer.from("data: ä\r\n\r\n"), large]);
  expect(Buffer.from(await response.arrayBuffer()).equals(expected)).toBe(true);
  backend.respond = bytes(["abc", "def"], { "content-length": "6" });
  const announced = await fetch(`${backend.url}/x`);
  expect(announced.headers.get("content-length")).toBe("6");
  expect(await announced.text()).toBe("abcdef");
});

test("a cut body makes the client fail and is no abort", async () => {
  const backend = await backendFor({ respond: cut("hello") });
  const chunked = await fetch(`${backend.url}/x`);
  expect(chunked.status).toBe(200);
  await expect(chunked.text()).rejects.toThrow();
  backend.respond = cut("hello", { announced: 100 });
  const announced = await fetch(`${backend.url}/x`);
  expect(announced.headers.get("content-length")).toBe("100");
  await expect(announced.text()).rejects.toThrow();
  await backend.idle();
  expect(backend.abortedCount).toBe(0);
});

test("a handler that throws answers 500 and leaves its error", async () => {
  const failing = () => {
    throw new Error("broken test");
  };
  const backend = await backendFor({ respond: failing });
  const response = await fetch(`${backend.url}/x`);
  expect(response.status).toBe(500);
  expect(await response.text()).toContain("broken test");
  expect(backend.requests[0]?.error).toBeInstanceOf(Error);
});

test("a backend can stop with open answers and come back on its port", async () => {
  const backend = await startBackend({ respond: silent() });
  const answer = fetch(`${backend.url}/x`).catch(() => "lost");
  await backend.arrived(1);
  await until(backend.stop(), "the end of the backend");
  expect(await answer).toBe("lost");
  expect(backend.abortedCount).toBe(0);
  const again = await backendFor({ port: backend.port });
  expect((await fetch(`${again.url}/models`)).status).toBe(200);
});

test("the raw backend writes what it is told and can drop the socket", async () => {
  const raw = await rawFor(async exchange => {
    if (exchange.head.startsWith("GET /v1/cut")) {
      await exchange.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhello");
      return exchange.destroy();
    }
    await exchange.write("HTTP/1.1 200 Fine\r\nX-Twice: a\r\nX-Twice: b\r\ncontent-type: text/event-stream\r\n");
    await exchange.write("connection: close\r\n\r\ndata: x\r\n\r\n");
    exchange.end();
  });
  const response = await fetch(`${raw.url}/x`, post("body"));
  expect(response.headers.get("x-twice")).toBe("a, b");
  expect(await response.text()).toBe("data: x\r\n\r\n");
  expect(new TextDecoder().decode(raw.exchanges[0]?.body)).toBe("body");
  await expect(fetch(`${raw.url}/cut`).then(cutResponse => cutResponse.text())).rejects.toThrow();
  await until(raw.exchanges[1]?.closed ?? Promise.reject(new Error("no exchange")), "a closed socket");
});

test("waits are bounded and say what did not happen", async () => {
  const backend = await backendFor();
  await expect(until(deferred().promise, "the impossible", 1)).rejects.toThrow("Waited 1 ms in vain: the impossible");
  await expect(backend.when(() => false, "a miracle", 1)).rejects.toThrow("a miracle (requests 0, in flight 0");
  const changes = new Changes();
  let value = 0;
  const seen = changes.when(() => value === 1, "value 1");
  value = 1;
  changes.notify();
  await seen;
});

test("a gate counts passes, opens for good and obeys a signal", async () => {
  const gate = new Gate();
  const controller = new AbortController();
  const given = gate.wait(controller.signal);
  expect(gate.waiting).toBe(1);
  controller.abort(new Error("gone"));
  await expect(given).rejects.toThrow("gone");
  expect(gate.waiting).toBe(0);
  gate.release(2);
  await gate.wait();
  await gate.wait();
  const third = gate.wait();
  expect(gate.waiting).toBe(1);
  gate.open();
  await third;
  await gate.wait();
});
