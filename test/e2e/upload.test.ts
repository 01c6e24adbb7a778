// Large request bodies: how they travel, where they wait, and that nothing of them stays behind.
import { expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bytes, cut, json, silent, startRawBackend, status, type TestBackend } from "../kit/backend/backend.ts";
import { spooledFiles } from "../kit/broker/spooled.ts";
import { Call, type CallAnswer, call } from "../kit/http/call.ts";
import { BOUNDARY, type Form, form, MIB, model, recording } from "../kit/http/form.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, World } from "../kit/world.ts";

const KEY = { Authorization: `Bearer ${API_KEY}` };
const LARGE = recording(10 * MIB);
const FIRST = form([model(), LARGE]);
const LAST = form([LARGE, model()]);
const linux = process.platform === "linux";

const sha256 = (body: Uint8Array): string => new Bun.CryptoHasher("sha256").update(body).digest("hex");
const url = (world: World): string => `${world.url}/audio/transcriptions`;

/** Sends a form with its length. */
const post = (world: World, { type, body }: Form): Call =>
  new Call(url(world), { headers: { ...KEY, "Content-Type": type }, body });

/** Begins a form in chunks; the test sends them. */
const chunked = (world: World, { type }: Pick<Form, "type">): Call =>
  new Call(url(world), { headers: { ...KEY, "Content-Type": type }, body: "chunked" });

/** Begins a form of an announced length; the test sends it. */
function announced(world: World, { type, body }: Form): Call {
  const headers = { ...KEY, "Content-Type": type };
  return new Call(url(world), { headers, body: body.subarray(0, 0), announced: body.length });
}

async function sendAll(client: Call, body: Buffer, size = MIB): Promise<CallAnswer> {
  for (let at = 0; at < body.length; at += size) await client.send(body.subarray(at, at + size));
  await client.finish();
  return client.answer();
}

function errorOf(answer: CallAnswer): { message: string; code: string; type: string; param: string | null } {
  return JSON.parse(answer.body.toString()).error;
}

async function gauge(world: World, name: string): Promise<number> {
  const text = (await call(`${world.origin}/metrics`)).body.toString();
  return Number(new RegExp(`^${name}(?:\\{.*\\})? (.+)$`, "m").exec(text)?.[1]);
}

/** How the backend was told of the body's length. */
function framing(backend: TestBackend): (string | null)[] {
  const headers = backend.requests.at(-1)?.headers;
  return [headers?.get("content-length") ?? null, headers?.get("transfer-encoding") ?? null];
}

async function start(
  options: ConstructorParameters<typeof World>[0] = {},
): Promise<{ world: World; backend: TestBackend }> {
  const world = new World({ module: "asr", ...options });
  const { backend } = await world.worker();
  backend.respond = status(200, { text: "hello" });
  return { world, backend };
}

for (const size of [100, 30_000, MIB, 7 * MIB, 10 * MIB]) {
  test(`a form around ${size} bytes reaches the backend byte for byte, wherever its model stands`, async () => {
    const { world, backend } = await start();
    await using _ = world;
    const file = recording(size);
    for (const sent of [form([model(), file]), form([file, model()])]) {
      const answer = await post(world, sent).answer();
      expect([answer.status, answer.body.toString()]).toEqual([200, '{"text":"hello"}']);
      expect(backend.requests.at(-1)?.sha256).toBe(sha256(sent.body));
      expect(backend.requests.at(-1)?.headers.get("content-type")).toBe(sent.type);
      // What came with its length goes on with it: not every server reads a body that comes in chunks.
      expect(framing(backend)).toEqual([String(sent.body.length), null]);
      expect((await sendAll(chunked(world, sent), sent.body, 100_000)).status).toBe(200);
      expect(backend.requests.at(-1)?.sha256).toBe(sha256(sent.body));
    }
    expect(backend.requests).toHaveLength(4);
    expect(await world.leftovers()).toEqual({});
  });
}

test("a form whose length nobody knows goes on in chunks while it comes, with its length once it is all there", async () => {
  const { world, backend } = await start();
  await using _ = world;
  await sendAll(chunked(world, FIRST), FIRST.body);
  expect(framing(backend)).toEqual([null, "chunked"]);
  await sendAll(chunked(world, LAST), LAST.body);
  expect(framing(backend)).toEqual([String(LAST.body.length), null]);
  expect(await world.leftovers()).toEqual({});
});

test("the backend has the beginning of an upload whose end the client has not sent yet", async () => {
  const { world, backend } = await start();
  await using _ = world;
  for (const client of [announced(world, FIRST), chunked(world, FIRST)]) {
    const before = backend.requests.length;
    const send = (part: Buffer): Promise<void> => (before === 0 ? client.raw(part) : client.send(part));
    await send(FIRST.body.subarray(0, 9 * MIB));
    await backend.when(() => (backend.requests[before]?.bodyBytes ?? 0) > 8 * MIB, "most of it is at the backend");
    await send(FIRST.body.subarray(9 * MIB));
    if (before > 0) await client.finish();
    expect((await client.answer()).status).toBe(200);
    expect(backend.requests[before]?.sha256).toBe(sha256(FIRST.body));
  }
  expect(await world.leftovers()).toEqual({});
});

test("a backend that reads slowly holds its client back, and the broker holds little", async () => {
  const { world, backend } = await start();
  await using _ = world;
  backend.readBody = false;
  const gate = new Gate();
  backend.respond = async (request, recorded) => {
    await gate.wait();
    for await (const chunk of request.body ?? []) expect(chunk.length).toBeGreaterThan(0);
    return json({ bytes: recorded.bodyBytes });
  };
  const client = post(world, FIRST);
  await backend.arrived(1);
  expect(await gauge(world, "nfrx_buffered_body_bytes")).toBeLessThan(4 * MIB);
  // What has passed is kept on disk until the answer begins, so that it can be sent again; no more of it is taken.
  expect(await gauge(world, "nfrx_spooled_body_bytes")).toBeLessThan(FIRST.body.length);
  gate.open();
  expect(JSON.parse((await client.answer()).body.toString())).toEqual({ bytes: FIRST.body.length });
  expect(await world.leftovers()).toEqual({});
});

test("a backend that answers before it has read the upload: its answer counts, the upload ends", async () => {
  const { world, backend } = await start();
  await using _ = world;
  backend.readBody = false;
  backend.respond = status(413, { detail: "too long for me" });
  for (const keepsSending of [true, false]) {
    const client = announced(world, FIRST);
    await client.raw(FIRST.body.subarray(0, MIB));
    if (keepsSending) await client.raw(FIRST.body.subarray(MIB));
    const answer = await client.answer();
    expect([answer.status, answer.body.toString()]).toEqual([413, '{"detail":"too long for me"}']);
    expect(await world.leftovers()).toEqual({});
  }
  backend.readBody = true;
  backend.respond = status(200, {});
  expect((await post(world, LAST).answer()).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("more than an upload may have is a 413 that says how much: announced, found while waiting, found on the way", async () => {
  const { world, backend } = await start({ broker: { maxUploadBytes: 9 * MIB } });
  await using _ = world;
  const early = new Call(url(world), {
    headers: { ...KEY, "Content-Type": FIRST.type },
    body: "-",
    announced: 9 * MIB + 1,
  });
  for (const sending of [early, chunked(world, LAST), chunked(world, FIRST)]) {
    if (sending !== early) await sendAll(sending, LAST.body).catch(() => undefined);
    const answer = await sending.answer();
    expect([answer.status, errorOf(answer).code, errorOf(answer).type]).toEqual([
      413,
      "too_large",
      "invalid_request_error",
    ]);
    expect(errorOf(answer).message).toContain(String(9 * MIB));
  }
  await backend.idle();
  expect(backend.requests).toHaveLength(0);
  const exact = form([model(), recording(9 * MIB - form([model(), recording(0)]).body.length)]);
  expect(exact.body.length).toBe(9 * MIB);
  expect((await post(world, exact).answer()).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("a limit that is found on the way takes the upload back from the backend", async () => {
  const { world, backend } = await start({ broker: { maxUploadBytes: 9 * MIB } });
  await using _ = world;
  const client = chunked(world, FIRST);
  await client.send(FIRST.body.subarray(0, 8 * MIB + 1));
  await backend.arrived(1);
  await client.send(FIRST.body.subarray(8 * MIB + 1));
  expect((await client.answer()).status).toBe(413);
  await backend.aborted(1);
  expect(backend.requests[0]?.sha256).toBeUndefined();
  expect(await world.leftovers()).toEqual({});
});

test("the limit of JSON does not bind recordings, nor theirs JSON", async () => {
  const { world } = await start({ broker: { maxBodyBytes: 1_000, maxUploadBytes: 100_000 } });
  await using _ = world;
  const speak = (length: number): Promise<CallAnswer> =>
    call(`${world.url}/audio/speech`, {
      headers: { ...KEY, "Content-Type": "application/json" },
      body: JSON.stringify({ model: "test-model", input: "x".repeat(length) }),
    });
  expect((await speak(900)).status).toBe(200);
  expect((await speak(1_100)).status).toBe(413);
  expect((await post(world, form([model(), recording(90_000)])).answer()).status).toBe(200);
  expect((await post(world, form([model(), recording(110_000)])).answer()).status).toBe(413);
  expect(await world.leftovers()).toEqual({});
});

test("a full spool is a 503 for those that need it, and for nobody else", async () => {
  const { world, backend } = await start({ broker: { maxSpooledBytes: 9 * MIB } });
  await using _ = world;
  const refused = await post(world, LAST).answer();
  expect([refused.status, errorOf(refused).code]).toEqual([503, "overloaded"]);
  expect(new Map(refused.headers).get("retry-after")).toBe("5");
  expect(backend.requests).toHaveLength(0);
  expect((await post(world, FIRST).answer()).status).toBe(200);
  expect((await post(world, form([recording(MIB), model()])).answer()).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("the spool is one for all: the second upload waits for nobody, it is refused; the first goes on", async () => {
  const { world, backend } = await start({ broker: { maxSpooledBytes: 15 * MIB } });
  await using _ = world;
  const gate = new Gate();
  backend.respond = bytes(["{}"], { "content-type": "application/json" }, 200, gate);
  const first = post(world, LAST);
  await backend.when(() => backend.requests[0]?.sha256 !== undefined, "the first is at the backend");
  expect((await post(world, LAST).answer()).status).toBe(503);
  gate.open();
  expect((await first.answer()).status).toBe(200);
  expect((await post(world, LAST).answer()).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("a spool folder that cannot be used: a 503, the cause in the log, and all else goes on", async () => {
  const folder = await mkdtemp(join(tmpdir(), "upload-"));
  const uploadSpoolDir = join(folder, "a-file");
  await writeFile(uploadSpoolDir, "");
  const { world, backend } = await start({ broker: { uploadSpoolDir } });
  await using _ = world;
  const refused = await post(world, LAST).answer();
  expect([refused.status, errorOf(refused).code]).toEqual([503, "overloaded"]);
  // The folder's name is not for callers.
  expect(refused.body.toString()).not.toContain(folder);
  const line = world.logs.find(({ fields }) => fields["outcome"] === "overloaded");
  expect(line).toMatchObject({ level: "warn", fields: { outcome: "overloaded", job_type: "asr.transcribe" } });
  expect(String(line?.fields["cause"])).toMatch(/EEXIST|ENOTDIR/);
  expect((await post(world, FIRST).answer()).status).toBe(200);
  expect((await post(world, form([recording(MIB), model()])).answer()).status).toBe(200);
  expect(backend.requests).toHaveLength(2);
  expect(await world.leftovers()).toEqual({});
  await rm(folder, { recursive: true });
});

/** Waits until this much of an upload is on disk. */
async function spooled(world: World, bytesOnDisk: number): Promise<void> {
  // What is asked for anew is asked until it is so; the test's own limit bounds it.
  while ((await gauge(world, "nfrx_spooled_body_bytes")) < bytesOnDisk);
}

test("what waits on disk is counted, and has no name there", async () => {
  const folder = await mkdtemp(join(tmpdir(), "upload-"));
  const { world } = await start({ broker: { uploadSpoolDir: folder } });
  await using _ = world;
  const client = chunked(world, LAST);
  await client.send(LAST.body.subarray(0, 9 * MIB));
  await spooled(world, 9 * MIB);
  expect(await gauge(world, "nfrx_buffered_body_bytes")).toBe(0);
  if (linux) {
    expect(spooledFiles()).toHaveLength(1);
    expect(await Array.fromAsync(new Bun.Glob("**").scan({ cwd: folder, dot: true }))).toEqual([]);
  }
  await client.send(LAST.body.subarray(9 * MIB));
  await client.finish();
  expect((await client.answer()).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
  expect(await Array.fromAsync(new Bun.Glob("**").scan({ cwd: folder, dot: true }))).toEqual([]);
  await rm(folder, { recursive: true });
});

const CUT = { type: LAST.type, body: LAST.body.subarray(0, LAST.body.length - BOUNDARY.length - 20) };
const REFUSED: Record<string, [Form, number]> = {
  "an empty model": [form([LARGE, model("")]), 400],
  "a cut form": [CUT, 400],
  "a model that is too long": [form([LARGE, model("m".repeat(300))]), 400],
  "an unknown model": [form([LARGE, model("nobody")]), 404],
  "an unknown model that comes first": [form([model("nobody"), LARGE]), 404],
};

for (const [name, [sent, code]] of Object.entries(REFUSED)) {
  test(`a large upload is refused and leaves nothing: ${name}`, async () => {
    const { world, backend } = await start();
    await using _ = world;
    const answer = await post(world, sent).answer();
    expect([answer.status, errorOf(answer).param]).toEqual([code, name === "a cut form" ? null : "model"]);
    expect((await sendAll(chunked(world, sent), sent.body)).status).toBe(code);
    expect(backend.requests).toHaveLength(0);
    expect(await world.leftovers()).toEqual({});
  });
}

for (const announces of [true, false]) {
  const about = announces ? "announced" : "chunked";
  const begin = (world: World, sent: Form): Call => (announces ? announced(world, sent) : chunked(world, sent));
  const send = (client: Call, part: Buffer): Promise<void> => (announces ? client.raw(part) : client.send(part));

  test(`the client goes while its upload waits on disk (${about})`, async () => {
    const { world, backend } = await start();
    await using _ = world;
    const client = begin(world, LAST);
    await send(client, LAST.body.subarray(0, 9 * MIB));
    await spooled(world, 9 * MIB);
    client.abort();
    expect(await world.leftovers()).toEqual({});
    expect(backend.requests).toHaveLength(0);
  });

  test(`the client goes in the middle of its upload: the backend sees it cut, never ended (${about})`, async () => {
    // Byte by byte: a server's library might hide how a body ended.
    const raw = await startRawBackend(async exchange => {
      if (!exchange.head.startsWith("GET /v1/models")) return;
      const models = JSON.stringify({ object: "list", data: [{ id: "test-model", object: "model" }] });
      await exchange.write(`HTTP/1.1 200 OK\r\nContent-Length: ${models.length}\r\n\r\n${models}`);
    });
    const { world, backend } = await start();
    await using _ = world;
    const client = begin(world, FIRST);
    await send(client, FIRST.body.subarray(0, 9 * MIB));
    await backend.when(() => (backend.requests[0]?.bodyBytes ?? 0) > 8 * MIB, "most of it is at the backend");
    client.abort();
    await backend.aborted(1);
    expect(backend.requests[0]?.sha256).toBeUndefined();
    expect(await world.leftovers()).toEqual({});
    await world.agents[0]?.shutdown(0);
    await world.agent(raw);
    const again = begin(world, FIRST);
    await send(again, FIRST.body.subarray(0, 9 * MIB));
    await world.when(() => world.pool.inflight === 1, "it has a worker");
    again.abort();
    expect(await world.leftovers()).toEqual({});
    // A request is one of its exchanges once all of it has come.
    expect(raw.exchanges.filter(({ head }) => head.startsWith("POST"))).toEqual([]);
    await raw.stop();
  });

  test(`the client goes while its upload waits for a worker (${about})`, async () => {
    const world = new World({ module: "asr" });
    await using _ = world;
    const { backend } = await world.worker({ maxConcurrency: 1 });
    backend.respond = silent();
    const first = post(world, form([model(), recording(10)]));
    await backend.arrived(1);
    const clients = [begin(world, FIRST), begin(world, LAST)];
    // Nobody reads it further than its model: it fills the sockets and stops there.
    void send(clients[0]!, FIRST.body.subarray(0, 9 * MIB));
    for (let at = 0; at < LAST.body.length; at += MIB) await send(clients[1]!, LAST.body.subarray(at, at + MIB));
    if (!announces) await clients[1]!.finish();
    await world.when(() => world.pool.waiting === 2, "two wait");
    expect(await gauge(world, "nfrx_spooled_body_bytes")).toBe(LAST.body.length);
    for (const client of clients) client.abort("rst");
    await world.when(() => world.pool.waiting === 0, "nobody waits");
    first.abort();
    expect(await world.leftovers()).toEqual({});
    expect(backend.requests).toHaveLength(1);
  });
}

test("the worker is lost in the middle of an upload that passes through: another one gets all of it", async () => {
  const world = new World({ module: "asr" });
  await using _ = world;
  const lost = await HandWorker.connect(world.connectUrl, { v2: true });
  lost.register();
  await world.when(() => world.pool.registry.size === 1, "it is registered");
  const client = post(world, FIRST);
  await lost.frame("data");
  const { backend: other } = await world.worker({ maxConcurrency: 1 });
  lost.terminate();
  expect((await client.answer()).status).not.toBe(502);
  expect(other.requests.map(({ sha256: sum }) => sum)).toEqual([sha256(FIRST.body)]);
  expect(await world.leftovers()).toEqual({});
});

test("the worker is lost in the middle of an upload from disk: another one gets all of it", async () => {
  const world = new World({ module: "asr" });
  await using _ = world;
  const lost = await HandWorker.connect(world.connectUrl, { v2: true });
  lost.register();
  await world.when(() => world.pool.registry.size === 1, "it is registered");
  const clients = [post(world, LAST), chunked(world, LAST)];
  void sendAll(clients[1]!, LAST.body).catch(() => undefined);
  // One has the only seat, the other waits for it.
  await lost.frame("data");
  await world.when(() => world.pool.waiting === 1, "the other one waits");
  const { backend } = await world.worker({ maxConcurrency: 1 });
  lost.terminate();
  for (const client of clients) expect((await client.answer()).status).not.toBe(502);
  expect(backend.requests.map(({ sha256: sum }) => sum)).toEqual([sha256(LAST.body), sha256(LAST.body)]);
  expect(await world.leftovers()).toEqual({});
});

test("a backend that hangs up in the middle of an upload: 502, and it is not sent again", async () => {
  const { world, backend } = await start();
  await using _ = world;
  const { backend: other } = await world.worker();
  for (const one of [backend, other]) {
    one.readBody = false;
    one.respond = cut("");
  }
  for (const sent of [FIRST, LAST]) {
    const before = backend.requests.length + other.requests.length;
    const answer = await post(world, sent).answer();
    expect([answer.status, errorOf(answer).code]).toEqual([502, "upstream_error"]);
    expect(backend.requests.length + other.requests.length).toBe(before + 1);
    expect(await world.leftovers()).toEqual({});
  }
});

test("a connection whose upload was refused serves its next request", async () => {
  const { world, backend } = await start();
  await using _ = world;
  const send = ({ type, body }: Form): Promise<Response> =>
    fetch(url(world), { method: "POST", headers: { ...KEY, "Content-Type": type }, body: new Uint8Array(body) });
  for (const sent of [form([model("nobody"), LARGE]), form([LARGE, model("")]), form([recording(100), model("")])]) {
    const refused = await send(sent);
    expect(refused.status).toBeGreaterThanOrEqual(400);
    expect(await refused.json()).toMatchObject({ error: { param: "model" } });
    expect((await send(form([model(), recording(100)]))).status).toBe(200);
  }
  expect(backend.requests).toHaveLength(3);
  expect(await world.leftovers()).toEqual({});
});

test("two uploads from disk at once do not mix", async () => {
  const { world, backend } = await start();
  await using _ = world;
  const other = form([{ ...LARGE, content: Buffer.alloc(9 * MIB, "other") }, model()]);
  const answers = await Promise.all([LAST, other].map(sent => post(world, sent).answer()));
  expect(answers.map(answer => answer.status)).toEqual([200, 200]);
  const sums = backend.requests.map(request => request.sha256);
  expect(sums.sort()).toEqual([sha256(LAST.body), sha256(other.body)].sort());
  expect(await world.leftovers()).toEqual({});
});

// ---- workers on wire v1 ---------------------------------------------------------------------------------------------

async function oldWorker(world: World, fields: object = {}): Promise<HandWorker> {
  const worker = await HandWorker.connect(world.connectUrl);
  worker.register({ worker_id: "old", ...fields });
  await world.when(() => world.pool.registry.get("old") !== undefined, "the old worker is registered");
  return worker;
}

/** The old worker's answer to its nth request; what it was sent. */
async function served(worker: HandWorker, n = 1): Promise<{ body: Buffer; path: unknown; headers: unknown }> {
  const { request_id, body, path, headers } = await worker.message("http_proxy_request", n);
  worker.send({ type: "http_proxy_response_headers", request_id, status: 200, headers: {} });
  worker.send({ type: "http_proxy_response_end", request_id });
  return { body: Buffer.from(String(body ?? ""), "base64"), path, headers };
}

test("a worker on wire v1 gets an upload whole, in one frame, however it came", async () => {
  const world = new World({ module: "asr" });
  await using _ = world;
  const old = await oldWorker(world);
  const small = form([recording(1_000), model()]);
  let n = 0;
  for (const sent of [small, FIRST, LAST]) {
    for (const client of [post(world, sent), chunked(world, sent)]) {
      const answer = n % 2 === 0 ? client.answer() : sendAll(client, sent.body);
      const { body, path, headers } = await served(old, ++n);
      expect(body.equals(sent.body)).toBeTrue();
      expect(path).toBe("/audio/transcriptions");
      expect(headers).toMatchObject({ "content-type": sent.type });
      expect((await answer).status).toBe(200);
      if (n % 2 === 1) continue;
      expect(await world.leftovers()).toEqual({});
    }
  }
  expect(old.messages.filter(({ type }) => type === "http_proxy_request")).toHaveLength(6);
  old.close();
});

test("a client that goes in the middle of its upload: a worker on wire v1 never hears of it", async () => {
  const world = new World({ module: "asr" });
  await using _ = world;
  const old = await oldWorker(world);
  const client = announced(world, FIRST);
  await client.raw(FIRST.body.subarray(0, 9 * MIB));
  await world.when(() => world.pool.inflight === 1, "it has a worker");
  client.abort();
  expect(await world.leftovers()).toEqual({});
  const next = post(world, form([model()]));
  await served(old);
  expect((await next.answer()).status).toBe(200);
  expect(old.messages.map(({ type }) => type)).toEqual(["http_proxy_request"]);
  old.close();
});

const HUGE = 65 * MIB;

test("more than wire v1 carries: 413 when only old workers have the model, else a newer one serves", async () => {
  const world = new World({ module: "asr" });
  await using _ = world;
  const old = await oldWorker(world, { max_concurrency: 4 });
  const headers = { ...KEY, "Content-Type": FIRST.type };
  const refused = new Call(url(world), { headers, body: form([model()]).body, announced: HUGE });
  const answer = await refused.answer();
  expect([answer.status, errorOf(answer).code]).toEqual([413, "too_large"]);
  expect(errorOf(answer).message).toContain(String(64 * MIB));
  expect(await world.leftovers()).toEqual({});
  const { backend } = await world.worker();
  const client = new Call(url(world), { headers, body: form([model()]).body, announced: HUGE });
  await backend.arrived(1);
  expect(framing(backend)).toEqual([String(HUGE), null]);
  client.abort();
  expect(await world.leftovers()).toEqual({});
  expect(old.messages).toEqual([]);
  old.close();
});

test("a chunked upload that grows beyond what wire v1 carries is a 413 on its way", async () => {
  const world = new World({ module: "asr" });
  await using _ = world;
  const old = await oldWorker(world);
  const client = chunked(world, FIRST);
  await client.send(form([model()]).body.subarray(0, -BOUNDARY.length - 6));
  await client.send(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"\r\n\r\n`);
  const block = Buffer.alloc(MIB);
  for (let sent = 0; sent < HUGE; sent += MIB) await client.send(block);
  const answer = await client.answer();
  expect([answer.status, errorOf(answer).code]).toEqual([413, "too_large"]);
  expect(old.messages).toEqual([]);
  expect(await world.leftovers()).toEqual({});
  old.close();
});

test("an upload whose length nobody knows goes to a worker that takes any, as long as there is one", async () => {
  const world = new World({ module: "asr" });
  await using _ = world;
  const old = await oldWorker(world, { max_concurrency: 4 });
  const { backend, agent } = await world.worker();
  backend.respond = status(200, {});
  for (let i = 0; i < 2; i++) expect((await sendAll(chunked(world, FIRST), FIRST.body)).status).toBe(200);
  expect([backend.requests.length, old.messages.length]).toEqual([2, 0]);
  await agent.shutdown(0);
  await world.when(() => world.pool.registry.size === 1, "only the old one is left");
  const answer = sendAll(chunked(world, FIRST), FIRST.body);
  expect((await served(old)).body.equals(FIRST.body)).toBeTrue();
  expect((await answer).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
  old.close();
});

test("a chunked upload of that size that was all there before it had a worker goes to one that takes it", async () => {
  const world = new World({ module: "asr" });
  await using _ = world;
  const old = await oldWorker(world, { max_concurrency: 4 });
  const { backend } = await world.worker();
  backend.respond = (_request, recorded) => json({ bytes: recorded.bodyBytes });
  const client = chunked(world, FIRST);
  const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n`;
  const end = Buffer.concat([Buffer.from("\r\n"), form([model()]).body]);
  await client.send(head);
  for (let sent = 0; sent < HUGE; sent += MIB) await client.send(Buffer.alloc(MIB));
  await client.send(end);
  await client.finish();
  const answer = await client.answer();
  expect([answer.status, JSON.parse(answer.body.toString())]).toEqual([
    200,
    { bytes: head.length + HUGE + end.length },
  ]);
  expect(old.messages).toEqual([]);
  expect(await world.leftovers()).toEqual({});
  old.close();
});
