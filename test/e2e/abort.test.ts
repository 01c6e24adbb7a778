// The client goes away: whoever worked for it stops, and nothing is left behind. One test for every phase of a request.
import { expect, test } from "bun:test";
import { bytes, chatStream, headThenSilent, silent, type TestBackend } from "../kit/backend/backend.ts";
import { Call } from "../kit/http/call.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, World } from "../kit/world.ts";

const KEY = { Authorization: `Bearer ${API_KEY}` };
const url = (world: World): string => `${world.url}/chat/completions`;
const client = (world: World, body: object = {}): Call =>
  new Call(url(world), { headers: KEY, body: JSON.stringify({ model: "test-model", ...body }) });

const large = (world: World, mebibytes: number): Call =>
  new Call(url(world), {
    headers: KEY,
    body: JSON.stringify({ model: "test-model", messages: ["x".repeat(mebibytes * 1024 * 1024)] }),
  });

/** The abort reached the backend, nothing is left, and the next request is served. */
async function expectOver(world: World, backend: TestBackend): Promise<void> {
  await backend.aborted(1);
  expect(await world.leftovers()).toEqual({});
  backend.respond = chatStream(["next"]);
  expect(await (await world.chat({ stream: true })).text()).toContain("next");
  expect(await world.leftovers()).toEqual({});
}

test("while sending a small body: no worker ever hears of it", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  for (const body of ["chunked", '{"model":"test-model",'] as const) {
    const half = new Call(url(world), { headers: KEY, body, announced: 1000 });
    if (body === "chunked") await half.send('{"model":"test-model",');
    await world.when(() => world.broker.drain.inflight === 1, "the request is read");
    half.abort();
    await world.when(() => world.broker.drain.inflight === 0, "the request has ended");
  }
  expect(backend.requests).toHaveLength(0);
  expect(await world.leftovers()).toEqual({});
});

test("while it waits in the queue", async () => {
  await using world = new World();
  const { backend } = await world.worker({ maxConcurrency: 1 });
  backend.respond = silent();
  const first = client(world);
  await backend.arrived(1);
  const queued = [client(world), client(world, { stream: true })];
  await world.when(() => world.pool.waiting === 2, "two wait");
  await queued[1]?.shows("nfrx.queue");
  for (const one of queued) one.abort();
  await world.when(() => world.pool.waiting === 0, "nobody waits");
  expect(backend.requests).toHaveLength(1);
  first.abort();
  await expectOver(world, backend);
});

for (const stream of [false, true]) {
  test(`while the backend thinks (${stream ? "streaming" : "plain"})`, async () => {
    await using world = new World();
    const { backend } = await world.worker();
    backend.respond = silent();
    const asked = client(world, { stream });
    await backend.arrived(1);
    asked.abort();
    await expectOver(world, backend);
  });
}

test("after the head, before the first event", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  backend.respond = headThenSilent();
  const asked = client(world, { stream: true });
  await backend.arrived(1);
  await world.when(() => world.pool.inflight === 1, "it runs");
  asked.abort();
  await expectOver(world, backend);
});

test("in the middle of a stream, while it is quiet", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  const gate = new Gate();
  backend.respond = chatStream(["one", "two"], { gate });
  const asked = client(world, { stream: true });
  gate.release();
  await asked.shows("one");
  asked.abort();
  await expectOver(world, backend);
});

test("in the middle of a large answer that the client stopped reading", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  const chunk = Buffer.alloc(1024 * 1024, "x");
  backend.respond = bytes(Array(200).fill(chunk), { "content-type": "application/octet-stream" });
  const asked = client(world);
  asked.pause();
  await backend.arrived(1);
  // Held back all the way to the backend, which cannot be rid of 200 MB.
  expect(backend.inflight).toBe(1);
  asked.abort();
  await expectOver(world, backend);
});

test("while a large body streams up", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  backend.readBody = false;
  backend.respond = async request => {
    for await (const chunk of request.body ?? []) expect(chunk.length).toBeGreaterThan(0);
    return new Response("{}");
  };
  const asked = new Call(url(world), { headers: KEY, body: "chunked" });
  // A body whose routing fields all stand at its beginning passes through while it arrives.
  await asked.send('{"model":"test-model","stream":false,"messages":["');
  const piece = "x".repeat(256 * 1024);
  for (let i = 0; i < 48; i++) await asked.send(piece);
  await backend.when(() => (backend.requests[0]?.bodyBytes ?? 0) > 9 * 1024 * 1024, "the body flows");
  asked.abort();
  await backend.aborted(1);
  backend.readBody = true;
  await expectOver(world, backend);
});

test("while a body that its backend does not read waits on the way", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  backend.readBody = false;
  backend.respond = silent();
  const asked = large(world, 12);
  await backend.arrived(1);
  // A mere end may stand behind bytes that nobody reads, where it cannot be seen.
  asked.abort("rst");
  await backend.aborted(1);
  backend.readBody = true;
  await expectOver(world, backend);
});

test("behind a full TCP window a client's end cannot be seen: then the idle limit ends the upload", async () => {
  await using world = new World({ broker: { requestTimeoutMs: 500 } });
  const { backend } = await world.worker();
  backend.readBody = false;
  backend.respond = silent();
  const asked = large(world, 60);
  await backend.arrived(1);
  asked.abort();
  await backend.aborted(1);
  backend.readBody = true;
  await expectOver(world, backend);
});

test("a backend that answers before the whole upload is there", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  backend.readBody = false;
  backend.respond = () => Response.json({ error: { message: "too long" } }, { status: 413 });
  const asked = large(world, 30);
  const answer = await asked.answer();
  expect(answer.status).toBe(413);
  expect(answer.body.toString()).toContain("too long");
  expect(await world.leftovers()).toEqual({});
});

test("many clients vanish at once, in all phases", async () => {
  await using world = new World({ pool: { queueSize: 1000 } });
  const { backend } = await world.worker({ maxConcurrency: 8 });
  const gate = new Gate();
  backend.respond = chatStream(["a", "b", "c"], { gate });
  gate.release(12);
  const clients = Array.from({ length: 60 }, (_, i) => client(world, { stream: i % 2 === 0 }));
  await world.when(() => world.pool.waiting > 30, "most of them wait");
  for (const one of clients) one.abort();
  await world.when(() => world.quiet, "nothing is left");
  expect(await world.leftovers()).toEqual({});
  gate.open();
  expect((await world.chat()).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});
