// Speech: forms and JSON find the worker that has their model; what the backend answers comes back as it is.
import { expect, test } from "bun:test";
import { workerAgent } from "../../src/agent/worker-agent.ts";
import { defaultsOf } from "../../src/config/group.ts";
import { asrAgentOptions, asrBackend } from "../../src/modules/asr.ts";
import { bytes, headThenSilent, json, silent, startBackend, status, type TestBackend } from "../kit/backend/backend.ts";
import { Call, type CallAnswer, call } from "../kit/http/call.ts";
import { BOUNDARY, type Form, type FormPart, form, MIB, model, recording } from "../kit/http/form.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { OldBroker } from "../kit/protocol/old-broker.ts";
import { TestClock } from "../kit/time/clock.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, CLIENT_KEY, World, type WorldOptions } from "../kit/world.ts";

const KEY = { Authorization: `Bearer ${API_KEY}` };
const FILE = recording(20_000);
const STREAM: FormPart = { name: "stream", content: "true" };
const SSE: [string, string][] = [["content-type", "text/event-stream"]];
const sha256 = (body: Uint8Array): string => new Bun.CryptoHasher("sha256").update(body).digest("hex");

const asr = (options: Omit<WorldOptions, "module"> = {}): World => new World({ module: "asr", ...options });

const post = (
  world: World,
  { type, body }: Form,
  headers: Record<string, string> = {},
  path = "transcriptions",
): Call => new Call(`${world.url}/audio/${path}`, { headers: { ...KEY, "Content-Type": type, ...headers }, body });

const ask = (world: World, parts: readonly FormPart[] = [model(), FILE]): Call => post(world, form(parts));

/** Begins a form of an announced length, of which the test sends as much as it likes. */
function begin(world: World, { type, body }: Form): Call {
  const headers = { ...KEY, "Content-Type": type };
  return new Call(`${world.url}/audio/transcriptions`, { headers, body: body.subarray(0, 0), announced: body.length });
}

const speak = (world: World, body: object = {}): Promise<CallAnswer> =>
  call(`${world.url}/audio/speech`, {
    headers: { ...KEY, "Content-Type": "application/json" },
    body: JSON.stringify({ model: "test-model", input: "grüß dich", voice: "alloy", ...body }),
  });

function errorOf(answer: { body: Buffer }): { message: string; code: string; type: string; param: string | null } {
  return JSON.parse(answer.body.toString()).error;
}

const header = (answer: CallAnswer, name: string): string | undefined => new Map(answer.headers).get(name);

async function hand(world: World, fields: object = {}): Promise<HandWorker> {
  const worker = await HandWorker.connect(world.connectUrl, { v2: true });
  worker.register(fields);
  const id = "worker_id" in fields ? String(fields.worker_id) : "hand";
  await world.when(() => world.pool.registry.get(id) !== undefined, `${id} is registered`);
  return worker;
}

/** Lets time pass for the broker while the worker's heartbeats go on. */
async function pass(clock: TestClock, worker: HandWorker, ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 2_500) {
    worker.send({ type: "heartbeat", ts: 1 });
    await worker.handled();
    clock.advance(Math.min(2_500, left));
  }
  await worker.handled();
}

async function metrics(world: World): Promise<string[]> {
  return (await call(`${world.origin}/metrics`)).body.toString().split("\n");
}

// ---- bytes ----------------------------------------------------------------------------------------------------------

test("transcriptions and translations reach the backend as they are", async () => {
  await using world = asr();
  const { backend } = await world.worker();
  backend.respond = status(200, { text: "hello" });
  const sent = form([
    FILE,
    model(),
    { name: "language", content: "de" },
    { name: "timestamp_granularities[]", content: "word" },
  ]);
  for (const path of ["transcriptions", "translations"]) {
    const answer = await post(world, sent, {}, path).answer();
    expect([answer.status, answer.body.toString()]).toEqual([200, '{"text":"hello"}']);
    const request = backend.requests.at(-1);
    expect([request?.method, request?.path, request?.search]).toEqual(["POST", `/v1/audio/${path}`, ""]);
    expect(request?.sha256).toBe(sha256(sent.body));
    expect(request?.headers.get("content-type")).toBe(`multipart/form-data; boundary=${BOUNDARY}`);
  }
  expect(await world.leftovers()).toEqual({});
});

test("a text to speak reaches the backend as it is, the sound comes back byte for byte", async () => {
  await using world = asr();
  const { backend } = await world.worker();
  const sound = recording(300_000).content;
  for (const chunks of [[sound], [sound.slice(0, 7), sound.slice(7, 100_000), sound.slice(100_000)], []]) {
    backend.respond = bytes(chunks, { "content-type": "audio/mpeg" });
    const answer = await speak(world);
    expect([answer.status, header(answer, "content-type"), answer.complete]).toEqual([200, "audio/mpeg", true]);
    expect(sha256(answer.body)).toBe(sha256(Buffer.concat(chunks.map(chunk => Buffer.from(chunk)))));
  }
  expect(backend.requests[0]?.path).toBe("/v1/audio/speech");
  expect(backend.requests[0]?.body).toBe('{"model":"test-model","input":"grüß dich","voice":"alloy"}');
  expect(await world.leftovers()).toEqual({});
});

test("any status, header and body of the backend is the client's", async () => {
  await using world = asr();
  const { backend } = await world.worker();
  for (const [code, body, type] of [
    [200, '{ "text" : "ü 😀" }\n', "application/json; charset=utf-8"],
    [200, "1\n00:00:00,000 --> 00:00:01,000\nhello\n\n", "text/plain; charset=utf-8"],
    [200, "WEBVTT\n\n", "text/vtt"],
    [400, '{"error":{"message":"no speech in it"}}', "application/json"],
    [422, '{"detail":[{"loc":["body","file"]}]}', "application/json"],
    [429, "slow down", "text/plain"],
    [500, "<h1>oops</h1>", "text/html"],
    [503, "", "text/plain"],
  ] as const) {
    backend.respond = status(code, body, { "content-type": type, "retry-after": "7", "x-own": "a, b" });
    for (const answer of [await ask(world).answer(), await speak(world)]) {
      expect([answer.status, answer.body.toString(), header(answer, "content-type")]).toEqual([code, body, type]);
      expect([header(answer, "retry-after"), header(answer, "x-own")]).toEqual(["7", "a, b"]);
    }
  }
  expect(await world.leftovers()).toEqual({});
});

test("pinned to one worker", async () => {
  await using world = asr();
  const { backend: one } = await world.worker({ clientId: "one" });
  const { backend: two } = await world.worker({ clientId: "two" });
  for (const backend of [one, two]) backend.respond = status(200, {});
  const { type, body } = form([model(), FILE]);
  for (let i = 0; i < 3; i++) {
    const url = `${world.origin}/api/asr/id/two/v1/audio/transcriptions`;
    expect((await call(url, { headers: { ...KEY, "Content-Type": type }, body })).status).toBe(200);
  }
  expect([one.requests.length, two.requests.length]).toEqual([0, 3]);
  const nobody = `${world.origin}/api/asr/id/three/v1/audio/transcriptions`;
  expect((await call(nobody, { headers: { ...KEY, "Content-Type": type }, body })).status).toBe(404);
  expect(await world.leftovers()).toEqual({});
});

// ---- routing --------------------------------------------------------------------------------------------------------

test("the part `model` says whose request it is, be it a text or a Blob, before or after the file", async () => {
  await using world = asr();
  const { backend: a } = await world.worker({ models: ["a"] });
  const { backend: b } = await world.worker({ models: ["größer/b"] });
  for (const backend of [a, b]) backend.respond = status(200, {});
  const blob = (name: string): FormPart => ({ ...model(name), filename: "blob", type: "text/plain" });
  for (const parts of [
    [model("a"), FILE],
    [FILE, model("a")],
    [blob("a"), FILE],
    [FILE, blob("a")],
  ])
    expect((await ask(world, parts).answer()).status).toBe(200);
  expect([a.requests.length, b.requests.length]).toEqual([4, 0]);
  for (const parts of [
    [model("größer/b"), FILE],
    [FILE, blob("größer/b")],
  ])
    expect((await ask(world, parts).answer()).status).toBe(200);
  expect((await speak(world, { model: "größer/b" })).status).toBe(200);
  expect([a.requests.length, b.requests.length]).toEqual([4, 3]);
  expect(await world.leftovers()).toEqual({});
});

test("forms as browsers and Bun's own fetch make them", async () => {
  await using world = asr();
  const { backend } = await world.worker();
  backend.respond = status(200, {});
  const sound = new Blob([recording(5_000).content]);
  for (const at of ["before", "after"]) {
    const data = new FormData();
    if (at === "before") data.append("model", "test-model");
    data.append("file", sound, 'größe 模 "x".wav');
    if (at === "after") data.append("model", new Blob(["test-model"], { type: "text/plain" }));
    const answer = await fetch(`${world.url}/audio/transcriptions`, { method: "POST", body: data, headers: KEY });
    expect(answer.status).toBe(200);
  }
  expect(backend.requests).toHaveLength(2);
  expect(await world.leftovers()).toEqual({});
});

test("another size or quantization of the model serves when the model itself is not there", async () => {
  await using world = asr();
  const { backend } = await world.worker({ models: ["whisper:large-q5"] });
  backend.respond = status(200, {});
  for (const name of ["whisper:large-q5", "whisper:large", "whisper:large-q8_0"])
    expect([name, (await ask(world, [FILE, model(name)]).answer()).status]).toEqual([name, 200]);
  // The backend gets its own name; nothing else of the form has changed.
  expect(backend.requests.at(-1)?.sha256).toBe(sha256(form([FILE, model("whisper:large-q5")]).body));
  for (const name of ["whisper", "whisper:small", "other:large"])
    expect([name, (await ask(world, [FILE, model(name)]).answer()).status]).toEqual([name, 404]);
  expect(await world.leftovers()).toEqual({});
});

test("with a least score of 1 only the model itself will do", async () => {
  await using world = asr({ pool: { minScore: 1 } });
  const { backend } = await world.worker({ models: ["whisper:large-q5"] });
  backend.respond = status(200, {});
  expect((await ask(world, [FILE, model("whisper:large-q5")]).answer()).status).toBe(200);
  const refused = await ask(world, [FILE, model("whisper:large")]).answer();
  expect([refused.status, errorOf(refused).message]).toEqual([
    404,
    "no worker serves model whisper:large; available models: whisper:large-q5",
  ]);
  expect(await world.leftovers()).toEqual({});
});

test("models are listed as OpenAI lists them", async () => {
  await using world = asr();
  const get = async (path: string): Promise<unknown> =>
    JSON.parse((await call(`${world.url}${path}`, { headers: KEY })).body.toString());
  expect(await get("/models")).toEqual({ object: "list", data: [] });
  await world.worker({ clientName: "zoe", models: ["whisper-1", "org/kokoro:v1"] });
  await world.worker({ clientName: "abe", models: ["whisper-1"] });
  const entry = { object: "model", created: expect.any(Number) };
  expect(await get("/models")).toEqual({
    object: "list",
    data: [
      { id: "org/kokoro:v1", owned_by: "nfrx", ...entry },
      { id: "whisper-1", owned_by: "nfrx", ...entry },
    ],
  });
  expect(await get("/models/org%2Fkokoro:v1")).toEqual({ id: "org/kokoro:v1", owned_by: "nfrx", ...entry });
  expect(await get("/models/nobody")).toMatchObject({ error: { code: "model_not_found" } });
  expect((await call(`${world.url}/models`)).status).toBe(401);
});

// ---- what is refused ------------------------------------------------------------------------------------------------

const whole = form([FILE, model()]);
const REFUSED: Record<string, [Form, headers: Record<string, string>, status: number, param: string | null]> = {
  "an empty model": [form([FILE, model("")]), {}, 400, "model"],
  "a model that is too long": [form([FILE, model("m".repeat(257))]), {}, 400, "model"],
  "an unknown model": [form([FILE, model("nobody")]), {}, 404, "model"],
  "a form that is cut in its file": [{ ...whole, body: whole.body.subarray(0, 10_000) }, {}, 400, null],
  "a form that is cut in its model": [
    { ...whole, body: whole.body.subarray(0, whole.body.length - BOUNDARY.length - 12) },
    {},
    400,
    null,
  ],
  "another boundary than it says": [{ ...whole, type: "multipart/form-data; boundary=other" }, {}, 400, null],
  "an empty body": [{ ...whole, body: Buffer.alloc(0) }, {}, 400, null],
  "no boundary": [{ ...whole, type: "multipart/form-data" }, {}, 400, "content-type"],
  "an empty boundary": [{ ...whole, type: "multipart/form-data; boundary=" }, {}, 400, "content-type"],
  "another multipart type": [{ ...whole, type: `multipart/mixed; boundary=${BOUNDARY}` }, {}, 400, "content-type"],
  JSON: [{ type: "application/json", body: Buffer.from('{"model":"test-model"}') }, {}, 400, "content-type"],
  "a form of the other kind": [
    { type: "application/x-www-form-urlencoded", body: Buffer.from("model=test-model") },
    {},
    400,
    "content-type",
  ],
  "a sound alone": [{ type: "audio/wav", body: Buffer.from("RIFF") }, {}, 400, "content-type"],
  "an unknown encoding": [
    { ...whole, body: Buffer.from(Bun.gzipSync(new Uint8Array(whole.body))) },
    { "Content-Encoding": "compress" },
    415,
    "content-encoding",
  ],
  "a wrong key": [whole, { Authorization: "Bearer nonsense" }, 401, null],
};

for (const [name, [sent, headers, code, param]] of Object.entries(REFUSED)) {
  test(`refused: ${name}`, async () => {
    await using world = asr();
    const { backend } = await world.worker();
    const whole = await post(world, sent, headers).answer();
    const chunked = new Call(`${world.url}/audio/translations`, {
      headers: { ...KEY, "Content-Type": sent.type, ...headers },
      body: "chunked",
    });
    for (let at = 0; at < sent.body.length; at += 3_000) await chunked.send(sent.body.subarray(at, at + 3_000));
    await chunked.finish();
    for (const answer of [whole, await chunked.answer()]) {
      expect(answer.status).toBe(code);
      expect(errorOf(answer)).toMatchObject({
        param,
        type: code === 401 ? "authentication_error" : "invalid_request_error",
      });
      expect(errorOf(answer).message).not.toBe("");
      if (param === "model" && code === 400 && !name.includes("long"))
        expect(errorOf(answer).message).toStartWith("the part `model`");
      if (code === 404) expect(errorOf(answer).message).toStartWith("no worker");
    }
    expect(backend.requests).toHaveLength(0);
    expect(await world.leftovers()).toEqual({});
  });
}

test("a request without a content type is refused, too", async () => {
  await using world = asr();
  const answer = await call(`${world.url}/audio/transcriptions`, { headers: KEY, body: whole.body });
  expect([answer.status, errorOf(answer).param]).toEqual([400, "content-type"]);
});

test("a text to speak that is a form, or names no model", async () => {
  await using world = asr();
  const { backend } = await world.worker();
  expect((await post(world, whole, {}, "speech").answer()).status).toBe(415);
  const refused = await speak(world, { model: "" });
  expect([refused.status, errorOf(refused).param]).toEqual([400, "model"]);
  expect(backend.requests).toHaveLength(0);
  expect(await world.leftovers()).toEqual({});
});

// ---- events ---------------------------------------------------------------------------------------------------------

test("a streamed transcription passes byte for byte, chunk by chunk", async () => {
  await using world = asr();
  const { backend } = await world.worker();
  const gate = new Gate();
  const chunks = [
    'event: transcript.text.delta\r\ndata: {"delta":"grü',
    'ß"}\r\n\r\n',
    ": comment\n\n",
    'data: {"type":"transcript.text.done","text":"grüß"}\n\n',
  ];
  backend.respond = bytes(chunks, { "content-type": "text/event-stream; charset=utf-8", "x-own": "1" }, 200, gate);
  const client = ask(world, [model(), FILE, STREAM]);
  for (const chunk of chunks) {
    gate.release();
    await client.shows(chunk);
  }
  const answer = await client.answer();
  expect(answer.body.toString()).toBe(chunks.join(""));
  expect([answer.status, header(answer, "content-type"), header(answer, "x-own")]).toEqual([
    200,
    "text/event-stream; charset=utf-8",
    "1",
  ]);
  expect(await world.leftovers()).toEqual({});
});

test("a stream that nobody announced as one, because it stands behind the model of a large form, passes as well", async () => {
  await using world = asr();
  const { backend } = await world.worker();
  backend.respond = bytes(["data: 1\n\n", "data: 2\n\n"], { "content-type": "text/event-stream" });
  const answer = await ask(world, [model(), recording(9 * MIB), STREAM]).answer();
  expect(answer.body.toString()).toBe("data: 1\n\ndata: 2\n\n");
  expect(await world.leftovers()).toEqual({});
});

/** A world whose only seat is taken until the gate opens. */
async function full(world: World): Promise<{ backend: TestBackend; gate: Gate; first: Call }> {
  const { backend } = await world.worker({ maxConcurrency: 1 });
  const gate = new Gate();
  backend.respond = bytes(["data: 1\n\n"], { "content-type": "text/event-stream" }, 200, gate);
  const first = ask(world);
  await backend.arrived(1);
  return { backend, gate, first };
}

test("who waits for a stream with its whole form sent hears of its place", async () => {
  await using world = asr();
  const { gate, first } = await full(world);
  const large = recording(9 * MIB);
  for (const [at, parts] of [
    [model(), FILE, STREAM],
    [FILE, STREAM, model()],
    // On disk, but all of it there.
    [STREAM, large, model()],
  ].entries()) {
    const client = ask(world, parts);
    await client.shows("event: nfrx.queue\n");
    const [, data] = /event: nfrx\.queue\ndata: (.*)\n\n/.exec(client.text) ?? [];
    expect(JSON.parse(data ?? "")).toMatchObject({ type: "nfrx.queue", model: "test-model", position: 1 });
    expect((await client.head()).headers).toContainEqual(["content-type", "text/event-stream"]);
    if (at < 2) client.abort();
    if (at < 2) await world.when(() => world.pool.waiting === 0, "nobody waits");
    else gate.open();
    if (at === 2) expect((await client.answer()).body.toString()).toEndWith("data: 1\n\n");
  }
  expect((await first.answer()).body.toString()).toBe("data: 1\n\n");
  expect(await world.leftovers()).toEqual({});
});

test("who asks for no stream hears nothing, nor who is still sending", async () => {
  await using world = asr();
  const { gate, first } = await full(world);
  const sent = form([model(), STREAM, recording(9 * MIB)]);
  const plain = ask(world);
  const sending = begin(world, sent);
  void sending.raw(sent.body);
  await world.when(() => world.pool.waiting === 2, "two wait");
  expect([plain.text, sending.text]).toEqual(["", ""]);
  gate.open();
  for (const client of [first, plain, sending]) expect((await client.answer()).body.toString()).toBe("data: 1\n\n");
  expect(await world.leftovers()).toEqual({});
});

test("while the backend thinks a stream gets comments; what fails then is an error event", async () => {
  const clock = new TestClock();
  await using world = asr({ clock });
  const worker = await hand(world);
  const client = ask(world, [model(), STREAM, FILE]);
  const plain = ask(world);
  const { id } = await worker.frame("head");
  await pass(clock, worker, 15_000);
  await client.shows(": keep-alive\n\n");
  worker.answer(id, 422, JSON.stringify({ detail: "no speech in it" }));
  const answer = await client.answer();
  const [, data] = /event: error\ndata: (.*)\n\n$/.exec(answer.body.toString()) ?? [];
  expect(JSON.parse(data ?? "")).toEqual({
    detail: "no speech in it",
    error: { message: "no speech in it", type: "invalid_request_error", code: "invalid_request", param: null },
  });
  worker.answer((await worker.frame("head", 2)).id, 200, "{}");
  expect((await plain.answer()).body.toString()).toBe("{}");
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("a recording that is asked for as a stream of a server that does not stream: its text is handed over all the same", async () => {
  const clock = new TestClock();
  await using world = asr({ clock });
  const worker = await hand(world);
  const atOnce = ask(world, [model(), STREAM, FILE]);
  worker.answer((await worker.frame("head")).id, 200, '{"text":"Hello."}');
  expect((await atOnce.answer()).body.toString()).toBe('{"text":"Hello."}');
  const late = ask(world, [model(), STREAM, FILE]);
  const { id } = await worker.frame("head", 2);
  await pass(clock, worker, 15_000);
  await late.shows(": keep-alive\n\n");
  worker.answer(id, 200, '{"text":"Hello.","usage":{"type":"duration","seconds":2}}');
  expect((await late.answer()).body.toString()).toBe(
    `: keep-alive\n\nevent: transcript.text.delta\ndata: {"type":"transcript.text.delta","delta":"Hello."}\n\nevent: transcript.text.done\ndata: {"text":"Hello.","usage":{"type":"duration","seconds":2},"type":"transcript.text.done"}\n\n`,
  );
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("a client that is still sending gets no comments: they come when it has sent all", async () => {
  const clock = new TestClock();
  await using world = asr({ clock });
  const worker = await hand(world);
  const sent = form([STREAM, model(), recording(9 * MIB)]);
  const client = begin(world, sent);
  // As much as a stream takes before its reader reads.
  await client.raw(sent.body.subarray(0, 100_000));
  const { id } = await worker.frame("head");
  await pass(clock, worker, 15_000);
  await pass(clock, worker, 15_000);
  expect(client.text).toBe("");
  const rest = client.raw(sent.body.subarray(100_000));
  const data = (): { end?: boolean }[] => worker.frames.filter(({ kind }) => kind === "data");
  worker.put(batch => batch.putWindow(id, 10 * MIB));
  await worker.when(() => data().length > 100, "most of the upload");
  worker.put(batch => batch.putWindow(0, 4 * MIB));
  await rest;
  await worker.when(() => data().some(({ end }) => end), "the end of the upload");
  expect(client.text).toBe("");
  await pass(clock, worker, 17_500);
  await client.shows(": keep-alive\n\n");
  worker.answer(id, 200, "data: 1\n\n", SSE);
  expect((await client.answer()).body.toString()).toBe(": keep-alive\n\ndata: 1\n\n");
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("a worker that is lost in mid-stream is an error event at the end of the stream", async () => {
  await using world = asr();
  const lost = await hand(world);
  const client = ask(world, [model(), STREAM, FILE]);
  const { id } = await lost.frame("head");
  lost.put(batch => {
    batch.putHead(id, { status: 200, headers: SSE }, false);
    batch.putData(id, Buffer.from("data: one\n\ndata: tw"), false);
  });
  await client.shows("data: tw");
  lost.terminate();
  const { body } = await client.answer();
  const [, data] = /^data: one\n\ndata: tw\n\nevent: error\ndata: (.*)\n\n$/.exec(body.toString()) ?? [];
  expect(JSON.parse(data ?? "")).toMatchObject({ error: { code: "upstream_error" } });
  expect(await world.leftovers()).toEqual({});
});

// ---- waiting, retrying, giving up -----------------------------------------------------------------------------------

test("a full queue is a 503 that the SDKs understand, whatever the size of the form", async () => {
  await using world = asr({ pool: { queueSize: 1 } });
  const { gate, first } = await full(world);
  const waiting = ask(world);
  await world.when(() => world.pool.waiting === 1, "one waits");
  const large = recording(9 * MIB);
  for (const parts of [
    [model(), FILE],
    [model(), large],
    [large, model()],
  ]) {
    const refused = await ask(world, parts).answer();
    expect([refused.status, errorOf(refused).code, header(refused, "retry-after")]).toEqual([503, "worker_busy", "5"]);
  }
  gate.open();
  for (const client of [first, waiting]) expect((await client.answer()).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

const RETRIED: Record<string, Form> = {
  "a small form": form([model(), FILE]),
  "a small form whose model comes last": form([FILE, model()]),
  "a large form whose model comes last": form([recording(9 * MIB), model()]),
};

for (const [name, sent] of Object.entries(RETRIED)) {
  for (const [how, leave] of [
    ["refuses", (worker: HandWorker, id: number): void => worker.put(batch => batch.putReset(id, "refused", "no"))],
    ["is lost", (worker: HandWorker): void => worker.terminate()],
  ] as const) {
    test(`the worker ${how}: another one gets all of ${name}`, async () => {
      await using world = asr();
      const worker = await hand(world);
      const client = post(world, sent);
      const { id } = await worker.frame("head");
      await worker.frame("data");
      const { backend } = await world.worker();
      backend.respond = status(200, { text: "hello" });
      leave(worker, id);
      expect((await client.answer()).body.toString()).toBe('{"text":"hello"}');
      expect(backend.requests.map(request => request.sha256)).toEqual([sha256(sent.body)]);
      expect((await metrics(world)).find(line => line.startsWith("nfrx_request_retries_total{"))).toEndWith(" 1");
      worker.close();
      expect(await world.leftovers()).toEqual({});
    });
  }
}

test("a form whose closing boundary comes late is whole by then, and can be sent again", async () => {
  await using world = asr();
  const worker = await hand(world);
  const sent = form([recording(9 * MIB), model()]);
  const client = begin(world, sent);
  const end = sent.body.length - 4;
  await client.raw(sent.body.subarray(0, end));
  await client.raw(sent.body.subarray(end));
  await worker.frame("data");
  const { backend } = await world.worker();
  backend.respond = status(200, {});
  worker.terminate();
  expect((await client.answer()).status).toBe(200);
  expect(backend.requests[0]?.sha256).toBe(sha256(sent.body));
  expect(await world.leftovers()).toEqual({});
});

test("a form that passes through is sent again from its beginning, where nobody has begun to work on it", async () => {
  await using world = asr();
  const worker = await hand(world);
  const client = ask(world, [model(), recording(9 * MIB)]);
  const { id } = await worker.frame("head");
  await worker.frame("data");
  const { backend } = await world.worker();
  worker.put(batch => batch.putReset(id, "refused", "no"));
  expect((await client.answer()).status).not.toBe(502);
  const all = form([model(), recording(9 * MIB)]).body;
  expect(backend.requests.map(({ bodyBytes }) => bodyBytes)).toEqual([all.length]);
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("a client that goes: the worker hears of it in every phase", async () => {
  await using world = asr();
  const { backend } = await world.worker({ maxConcurrency: 1 });
  const endless = bytes(Array(1_000).fill(Buffer.alloc(64 * 1024)), { "content-type": "audio/mpeg" });
  const first = bytes(["data: 1\n\n", "data: 2\n\n"], { "content-type": "text/event-stream" }, 200, new Gate());
  let n = 0;
  for (const [respond, parts] of [
    [silent(), [model(), FILE]],
    [silent(), [model(), FILE, STREAM]],
    [silent(), [recording(9 * MIB), model()]],
    [silent(), [model(), recording(9 * MIB)]],
    [headThenSilent(), [model(), FILE, STREAM]],
    [first, [model(), FILE, STREAM]],
    [endless, [model(), FILE]],
  ] as const) {
    backend.respond = respond;
    const client = ask(world, parts);
    client.pause();
    await backend.arrived(++n);
    const queued = ask(world, [model(), FILE, STREAM]);
    await queued.shows("nfrx.queue");
    queued.abort();
    await world.when(() => world.pool.waiting === 0, "nobody waits");
    client.abort();
    await backend.aborted(n);
    expect(await world.leftovers()).toEqual({});
  }
  backend.respond = status(200, {});
  expect((await ask(world).answer()).status).toBe(200);
});

test("a silent backend is a 504, and hears that it is over", async () => {
  await using world = asr({ broker: { requestTimeoutMs: 200 } });
  const { backend } = await world.worker();
  backend.respond = silent();
  for (const parts of [
    [model(), FILE],
    [model(), FILE, STREAM],
    [recording(9 * MIB), model()],
    [model(), recording(9 * MIB)],
  ]) {
    const answer = await ask(world, parts).answer();
    expect([answer.status, errorOf(answer)]).toMatchObject([504, { code: "timeout", type: "server_error" }]);
  }
  await backend.aborted(4);
  expect(backend.requests).toHaveLength(4);
  expect(await world.leftovers()).toEqual({});
});

test("a client that stops sending is a 408; one that sends now and then is waited for", async () => {
  const clock = new TestClock();
  await using world = asr({ clock, broker: { requestTimeoutMs: 60_000, bodyMinRate: 0 } });
  const worker = await hand(world);
  const sent = form([model(), recording(9 * MIB)]);
  const client = begin(world, sent);
  await client.raw(sent.body.subarray(0, 50_000));
  const { id } = await worker.frame("head");
  const arrived = (): number =>
    worker.frames.reduce((sum, { kind, text }) => sum + (kind === "data" ? 1 + (text?.length ?? 0) : 0), 0);
  for (let at = 50_000; at < 80_000; at += 10_000) {
    await pass(clock, worker, 55_000);
    const before = arrived();
    await client.raw(sent.body.subarray(at, at + 10_000));
    await worker.when(() => arrived() > before, "more of the upload");
    await worker.handled();
  }
  expect(client.text).toBe("");
  await pass(clock, worker, 62_500);
  const answer = await client.answer();
  expect([answer.status, errorOf(answer).code, errorOf(answer).type]).toEqual([
    408,
    "request_timeout",
    "invalid_request_error",
  ]);
  expect(await worker.frame("reset")).toMatchObject({ id, code: "request_timeout" });
  expect(world.pool.registry.size).toBe(1);
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("a worker that does not take the upload is the one that is too slow, not the client", async () => {
  const clock = new TestClock();
  await using world = asr({ clock, broker: { requestTimeoutMs: 60_000 } });
  const worker = await hand(world);
  const client = ask(world, [model(), recording(9 * MIB)]);
  // It grants no more than its first window.
  await worker.when(() => worker.frames.filter(({ kind }) => kind === "data").length >= 4, "its window is full");
  await pass(clock, worker, 65_000);
  const answer = await client.answer();
  expect([answer.status, errorOf(answer).code]).toEqual([504, "timeout"]);
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("a broker that drains finishes the uploads it has begun, and takes no more", async () => {
  await using world = asr();
  const { backend } = await world.worker();
  backend.respond = status(200, {});
  const [passing, waiting] = [form([model(), recording(9 * MIB)]), form([recording(9 * MIB), model()])];
  const clients = [passing, waiting].map(sent => begin(world, sent));
  await clients[0]!.raw(passing.body.subarray(0, MIB));
  await clients[1]!.raw(waiting.body.subarray(0, MIB));
  await backend.arrived(1);
  await world.when(() => world.broker.drain.inflight === 2, "both are counted in");
  const finished = world.broker.finish(60_000);
  const refused = await ask(world).answer();
  expect([refused.status, errorOf(refused).code]).toEqual([503, "draining"]);
  await clients[0]!.raw(passing.body.subarray(MIB));
  await clients[1]!.raw(waiting.body.subarray(MIB));
  for (const client of clients) expect((await client.answer()).status).toBe(200);
  expect(await finished).toBeTrue();
  expect(backend.requests.map(({ sha256: sum }) => sum)).toEqual([sha256(passing.body), sha256(waiting.body)]);
  expect(await world.leftovers()).toEqual({});
});

// ---- headers --------------------------------------------------------------------------------------------------------

const PRIVATE = {
  Cookie: "session=secret",
  "X-Api-Key": "secret",
  "X-User-Roles": "secret",
  "X-Forwarded-For": "203.0.113.1",
  "X-Forwarded-Host": "secret",
  "X-Real-Ip": "secret",
  Forwarded: "for=secret",
  "Proxy-Authorization": "Basic secret",
  "Openai-Organization": "secret",
  "X-Anything": "secret",
};

function expectPrivate(backend: TestBackend, key: string): void {
  const request = backend.requests.at(-1);
  const headers = request?.headers;
  expect(headers?.get("authorization")).toBe(`Bearer ${key}`);
  for (const name of Object.keys(PRIVATE)) expect([name, headers?.get(name) ?? null]).toEqual([name, null]);
  expect(request?.rawHeaders.filter(text => text.includes("secret") || text.includes(API_KEY))).toEqual([]);
}

test("what a caller says of itself stays here; the backend gets its own key", async () => {
  await using world = asr();
  const backend = await world.backend();
  backend.respond = status(200, {});
  await world.agent(backend, {
    backend: asrBackend({ ...defaultsOf(asrAgentOptions), asrBaseUrl: backend.url, asrApiKey: "of-the-backend" }),
  });
  for (const sent of [
    form([model(), FILE]),
    form([model(), recording(9 * MIB)]),
    form([recording(9 * MIB), model()]),
  ]) {
    const answer = await post(world, sent, { ...PRIVATE, Accept: "application/json", "User-Agent": "mine/1" }).answer();
    expect(answer.status).toBe(200);
    expectPrivate(backend, "of-the-backend");
    expect(backend.requests.at(-1)?.headers.get("accept")).toBe("application/json");
    expect(backend.requests.at(-1)?.headers.get("user-agent")).toBe("mine/1");
  }
  expect((await speak(world)).status).toBe(200);
  expectPrivate(backend, "of-the-backend");
  expect(await world.leftovers()).toEqual({});
});

test("an old broker sends every header of its callers along: they end at our agent", async () => {
  await using broker = new OldBroker();
  const backend = await startBackend();
  const nothing = (): void => {};
  backend.respond = (_request, recorded) => json({ sha256: recorded.sha256 ?? "" });
  const agent = workerAgent({
    module: "asr",
    backend: asrBackend({ ...defaultsOf(asrAgentOptions), asrBaseUrl: backend.url, asrApiKey: "of-the-backend" }),
    servers: [{ serverUrl: broker.connectUrl.replace("/llm/", "/asr/"), clientKey: CLIENT_KEY }],
    clientId: undefined,
    clientName: "ours",
    maxConcurrency: 2,
    requestTimeoutMs: 300_000,
    reconnect: false,
    log: { debug: nothing, info: nothing, warn: nothing, error: nothing, fatal: nothing },
  });
  const run = agent.run().catch(() => {});
  await broker.message("register");
  const text = form([model(), { ...FILE, content: "some sound" }]);
  broker.request("r1", "/audio/transcriptions", text.body.toString(), {
    ...PRIVATE,
    Authorization: `Bearer ${API_KEY}`,
    "Content-Type": text.type,
    "Content-Length": "7",
    Host: "broker",
    Connection: "close",
    "Transfer-Encoding": "chunked",
  });
  const answer = await broker.answer("r1");
  expect([answer.head["status"], JSON.parse(answer.body)]).toEqual([200, { sha256: sha256(text.body) }]);
  expectPrivate(backend, "of-the-backend");
  expect(backend.requests[0]?.headers.get("content-type")).toBe(text.type);
  await agent.shutdown(0);
  await run;
  await backend.stop();
});

// ---- what is counted ------------------------------------------------------------------------------------------------

test("the three kinds of work are counted under their names and models, with the tokens they took", async () => {
  await using world = asr();
  const { backend } = await world.worker({ models: ["whisper-1"] });
  const usage = { type: "tokens", input_tokens: 14, output_tokens: 45, total_tokens: 59 };
  backend.respond = status(200, { text: "hello", usage });
  await ask(world, [FILE, model("whisper-1")]).answer();
  const done = `data: ${JSON.stringify({ type: "transcript.text.done", text: "x", usage })}\n\n`;
  backend.respond = bytes(["data: {}\n\n", done], { "content-type": "text/event-stream" });
  await ask(world, [FILE, model("whisper-1"), STREAM]).answer();
  backend.respond = status(200, { text: "hello", usage: { type: "duration", seconds: 3 } });
  await post(world, form([FILE, model("whisper-1")]), {}, "translations").answer();
  backend.respond = bytes([recording(1_000).content], { "content-type": "audio/mpeg" });
  await speak(world, { model: "whisper-1" });
  await ask(world, [FILE, model("nobody")]).answer();
  const lines = await metrics(world);
  const series = (name: string, job: string, label: string, more = ""): number =>
    Number(
      lines
        .find(line =>
          line.startsWith(`${name}{ext="asr",plugin_type="worker",job_type="${job}",label="${label}"${more}`),
        )
        ?.split(" ")
        .at(-1),
    );
  expect(series("nfrx_request_total", "asr.transcribe", "whisper-1")).toBe(2);
  expect(series("nfrx_request_total", "asr.translate", "whisper-1")).toBe(1);
  expect(series("nfrx_request_total", "asr.speak", "whisper-1")).toBe(1);
  expect(series("nfrx_request_total", "asr.transcribe", "unknown")).toBe(1);
  expect(
    series("nfrx_request_completed_total", "asr.transcribe", "unknown", ',success="false",error_code="no_worker"'),
  ).toBe(1);
  expect(series("nfrx_request_completed_total", "asr.transcribe", "whisper-1", ',success="true"')).toBe(2);
  expect(series("nfrx_request_size_total", "asr.transcribe", "whisper-1", ',size_kind="tokens_in"')).toBe(28);
  expect(series("nfrx_request_size_total", "asr.transcribe", "whisper-1", ',size_kind="tokens_out"')).toBe(90);
  expect(series("nfrx_request_size_total", "asr.translate", "whisper-1")).toBeNaN();
  expect(await world.leftovers()).toEqual({});
});

test("its state is shown under its name", async () => {
  await using world = asr();
  const { backend } = await world.worker({ clientName: "ears", models: ["whisper-1"] });
  backend.respond = status(200, {});
  await ask(world, [FILE, model("whisper-1")]).answer();
  const { plugins } = JSON.parse((await call(`${world.origin}/api/state`, { headers: KEY })).body.toString());
  expect(plugins.llm).toBeUndefined();
  expect(plugins.asr.server).toMatchObject({ jobs_completed_total: 1, jobs_failed_total: 0, scheduler_queue_len: 0 });
  expect(plugins.asr.workers_summary).toMatchObject({ connected: 1, idle: 1 });
  expect(plugins.asr.models).toMatchObject([{ name: "whisper-1", workers: 1 }]);
  expect(plugins.asr.workers).toMatchObject([{ name: "ears", processed_total: 1, inflight: 0 }]);
});
