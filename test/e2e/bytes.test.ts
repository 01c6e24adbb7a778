// What the backend answers reaches the client byte for byte, and what the client sends reaches the backend so.
import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { bytes, json, type Respond, status, type TestBackend } from "../kit/backend/backend.ts";
import { Call, type CallAnswer, type CallInit, call } from "../kit/http/call.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, World } from "../kit/world.ts";

const BODY = JSON.stringify({ model: "test-model", messages: [{ role: "user", content: "grüß dich 😀" }] });
const KEY: [string, string][] = [
  ["Authorization", `Bearer ${API_KEY}`],
  ["Content-Type", "application/json"],
];

/** Headers that belong to one hop or to whoever answers, and those that the broker adds to every proxied answer. */
const OWN = new Set([
  "date",
  "connection",
  "keep-alive",
  "transfer-encoding",
  "content-length",
  "x-request-id",
  "x-content-type-options",
]);

function headersOf(answer: CallAnswer): string[] {
  const joined = new Map<string, string[]>();
  for (const [name, value] of answer.headers) {
    if (!OWN.has(name)) joined.set(name, [...(joined.get(name) ?? []), value]);
  }
  // Repeated fields and one with the values joined by commas mean the same; only cookies must stay apart.
  return [...joined].map(([name, values]) => `${name}: ${values.join(name === "set-cookie" ? "\n" : ", ")}`).sort();
}

/** The same request straight to the backend and through the broker: the same status, headers and bytes. */
async function expectSame(world: World, backend: TestBackend, init: CallInit = {}): Promise<CallAnswer> {
  const request = { body: BODY, ...init, headers: [...KEY, ...((init.headers as [string, string][]) ?? [])] };
  const direct = await call(`${backend.url}/chat/completions`, request);
  const through = await call(`${world.url}/chat/completions`, request);
  expect(through.status).toBe(direct.status);
  expect(headersOf(through)).toEqual(headersOf(direct));
  expect(through.body.equals(direct.body)).toBeTrue();
  expect(through.complete).toBeTrue();
  expect(backend.requests.at(-1)?.body).toBe(backend.requests.at(-2)?.body);
  return through;
}

const EVENTS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-cache",
  "x-accel-buffering": "no",
};

const CASES: Record<string, Respond> = {
  "JSON with odd spacing and unknown headers": status(200, '{ "id" : 1,\r\n\t"x":"\\u00fc ü 😀" }\n', {
    "content-type": "application/json; charset=utf-8",
    "openai-processing-ms": "12",
    "x-ratelimit-remaining-tokens": "149",
  }),
  "events with CRLF, comments, ids and no last blank line": bytes(
    [": hello\r\n\r\n", 'id: 1\r\nevent: x\r\ndata: {"a":\r\ndata: 1}\r\n\r\n', ":\n\n", "data: [DONE]\r"],
    EVENTS,
  ),
  "events in one write": bytes(['data: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n'], EVENTS),
  "an event stream with a length": status(200, "data: 1\n\n", EVENTS),
  "bytes that are no text": bytes([new Uint8Array([0, 255, 128, 10, 13, 0])], { "content-type": "audio/mpeg" }),
  "an empty body": status(200),
  "an empty chunked body": bytes([], { "content-type": "application/json" }),
  "repeated headers": status(200, "{}", [
    ["content-type", "application/json"],
    ["x-thing", "one"],
    ["x-thing", "two"],
    ["vary", "accept"],
  ]),
  "a value beyond ASCII": status(200, "{}", { "content-type": "application/json", "x-name": "gr\u00fc\u00dfe" }),
};

for (const [name, respond] of Object.entries(CASES)) {
  test(`unchanged: ${name}`, async () => {
    await using world = new World();
    const { backend } = await world.worker();
    backend.respond = respond;
    await expectSame(world, backend);
    expect(await world.leftovers()).toEqual({});
  });
}

for (const code of [200, 201, 400, 404, 422, 429, 500]) {
  test(`unchanged: status ${code} with its body and headers`, async () => {
    await using world = new World();
    const { backend } = await world.worker();
    const body = { error: { message: `this is ${code}`, type: "from_the_backend", param: null, code: "own" } };
    backend.respond = status(code, body, { "retry-after": "7", "x-backend": "yes" });
    const answer = await expectSame(world, backend);
    expect(answer.status).toBe(code);
    const streamed = await expectSame(world, backend, { body: BODY.replace("{", '{"stream":true,') });
    expect(streamed.status).toBe(code);
    expect(await world.leftovers()).toEqual({});
  });
}

test("gzip stays gzip for a client that takes it, and one that does not gets none", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  const plain = JSON.stringify({ text: "many words ".repeat(1000) });
  backend.respond = request => {
    const takes = request.headers.get("accept-encoding")?.includes("gzip");
    if (!takes) return json({ encoding: request.headers.get("accept-encoding") });
    const zipped = gzipSync(plain);
    return new Response(zipped, {
      headers: {
        "content-type": "application/json",
        "content-encoding": "gzip",
        "content-length": String(zipped.length),
      },
    });
  };
  const zipped = await expectSame(world, backend, { headers: [["Accept-Encoding", "gzip, deflate"]] });
  expect(zipped.headers).toContainEqual(["content-encoding", "gzip"]);
  expect(Buffer.from(Bun.gunzipSync(new Uint8Array(zipped.body))).toString()).toBe(plain);

  const bare = await call(`${world.url}/chat/completions`, { body: BODY, headers: KEY });
  expect(bare.headers.map(([name]) => name)).not.toContain("content-encoding");
  expect(JSON.parse(bare.body.toString())).toEqual({ encoding: "identity" });
  expect(await world.leftovers()).toEqual({});
});

test("characters split over chunks come through, and each chunk when it is written", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  const text = Buffer.from('data: {"x":"ü€😀"}\n\n');
  const pieces = [...text].map(byte => new Uint8Array([byte]));
  const gate = new Gate();
  backend.respond = bytes(pieces, EVENTS, 200, gate);
  const client = new Call(`${world.url}/chat/completions`, {
    body: BODY.replace("{", '{"stream":true,'),
    headers: KEY,
  });
  // Bun holds the end of a head back until the first byte of its body.
  gate.release(3);
  await client.shows("dat");
  expect((await client.head()).status).toBe(200);
  expect(client.text).toBe("dat");
  gate.open();
  const answer = await client.answer();
  expect(answer.body.equals(text)).toBeTrue();
  expect(await world.leftovers()).toEqual({});
});

test("an answer of 20 MB, with a length and chunked", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  const chunks = Array.from({ length: 20 }, (_, i) => Buffer.alloc(1_000_003, `chunk ${i} ü `));
  const whole = Buffer.concat(chunks);
  for (const headers of [
    { "content-type": "application/json", "content-length": String(whole.length) },
    { "content-type": "application/json" },
  ]) {
    backend.respond = bytes(chunks, headers);
    const answer = await call(`${world.url}/chat/completions`, { body: BODY, headers: KEY });
    expect(answer.complete).toBeTrue();
    expect(sha256(answer.body)).toBe(sha256(whole));
  }
  expect(await world.leftovers()).toEqual({});
});

test("a request of 20 MB with its model after the messages, with a length and chunked", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  const messages = [{ role: "user", content: 'long "model": "not this one" ü \\ '.repeat(600_000) }];
  const body = Buffer.from(JSON.stringify({ messages, model: "test-model", temperature: 1 }));
  expect(body.length).toBeGreaterThan(20_000_000);
  const whole = await call(`${world.url}/chat/completions`, { body, headers: KEY });
  expect(whole.status).toBe(200);
  const client = new Call(`${world.url}/chat/completions`, { body: "chunked", headers: KEY });
  for (let at = 0; at < body.length; at += 1_234_567) await client.send(body.subarray(at, at + 1_234_567));
  await client.finish();
  expect((await client.answer()).status).toBe(200);
  for (const request of backend.requests) {
    expect(request.bodyBytes).toBe(body.length);
    expect(request.sha256).toBe(sha256(body));
  }
  expect(backend.requests).toHaveLength(2);
  expect(await world.leftovers()).toEqual({});
});

test("a worker is told nothing of the caller's credentials and addresses", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  const headers: [string, string][] = [
    ...KEY,
    ["Cookie", "session=1"],
    ["X-Forwarded-For", "203.0.113.9"],
    ["X-User-Roles", "admin"],
    ["X-Api-Key", "secret"],
    ["OpenAI-Beta", "assistants=v2"],
    ["Accept-Language", "de"],
    ["User-Agent", "a client"],
    ["X-Request-Id", "my-own-id"],
  ];
  const answer = await call(`${world.url}/chat/completions`, { body: BODY, headers });
  expect(answer.headers).toContainEqual(["x-request-id", "my-own-id"]);
  const seen = backend.requests[0]!.headers;
  for (const name of ["authorization", "cookie", "x-forwarded-for", "x-user-roles", "x-api-key"])
    expect([name, seen.get(name)]).toEqual([name, null]);
  expect(seen.get("openai-beta")).toBe("assistants=v2");
  expect(seen.get("accept-language")).toBe("de");
  expect(seen.get("user-agent")).toBe("a client");
  expect(seen.get("x-request-id")).toBe("my-own-id");
  expect(seen.get("content-type")).toBe("application/json");
  expect(await world.leftovers()).toEqual({});
});

function sha256(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
