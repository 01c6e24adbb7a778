// A worker is lost or refuses: the request goes elsewhere while that is safe, and is an error when it is not.
import { expect, test } from "bun:test";
import { bytes, chatJson, chatStream, cut, silent, status } from "../kit/backend/backend.ts";
import { Call, type CallAnswer } from "../kit/http/call.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, World } from "../kit/world.ts";

/** What an agent of the 0.9 series says of a backend that is down. */
const DIAL_FAILED =
  'Post "http://127.0.0.1:11434/v1/chat/completions": dial tcp 127.0.0.1:11434: connect: connection refused';
const SSE: [string, string][] = [["content-type", "text/event-stream"]];

async function hand(world: World, options: { id: string; v2: boolean }): Promise<HandWorker> {
  const worker = await HandWorker.connect(world.connectUrl, { v2: options.v2 });
  worker.register({ worker_id: options.id, worker_name: options.id });
  await world.when(() => world.pool.registry.get(options.id) !== undefined, `${options.id} is registered`);
  return worker;
}

const client = (world: World, body: object = {}): Call =>
  new Call(`${world.url}/chat/completions`, {
    headers: { Authorization: `Bearer ${API_KEY}` },
    body: JSON.stringify({ model: "test-model", ...body }),
  });

function errorOf(answer: CallAnswer): object {
  return JSON.parse(answer.body.toString()).error;
}

test("a worker that drains refuses, another one serves (v2)", async () => {
  await using world = new World();
  const leaving = await hand(world, { id: "leaving", v2: true });
  const asked = client(world);
  const { id } = await leaving.frame("head");
  const { backend } = await world.worker();
  leaving.put(batch => batch.putReset(id, "refused", "draining"));
  expect((await asked.answer()).status).toBe(200);
  expect(backend.requests[0]?.json()).toEqual({ model: "test-model" });
  leaving.close();
  expect(await world.leftovers()).toEqual({});
});

test("a worker that drains refuses, another one serves (v1)", async () => {
  await using world = new World();
  const leaving = await hand(world, { id: "leaving", v2: false });
  const asked = client(world);
  const { request_id } = await leaving.message("http_proxy_request");
  const { backend } = await world.worker();
  leaving.send({ type: "http_proxy_response_headers", request_id, status: 503, headers: {} });
  leaving.send({
    type: "http_proxy_response_end",
    request_id,
    error: { code: "worker_draining", message: "worker is draining" },
  });
  expect((await asked.answer()).status).toBe(200);
  expect(backend.requests).toHaveLength(1);
  leaving.close();
  expect(await world.leftovers()).toEqual({});
});

test("our own agent refuses while it drains", async () => {
  await using world = new World();
  const { backend: first, agent } = await world.worker({ maxConcurrency: 1 });
  const gate = new Gate();
  first.respond = chatStream(["x"], { gate });
  const running = world.chat({ stream: true });
  await first.arrived(1);
  agent.drain();
  await world.when(() => [...world.pool.registry.workers].every(worker => worker.draining), "the broker knows");
  const { backend: second } = await world.worker();
  expect((await world.chat()).status).toBe(200);
  expect([first.requests.length, second.requests.length]).toEqual([1, 1]);
  gate.open();
  expect(await (await running).text()).toEndWith("data: [DONE]\n\n");
  agent.undrain();
  await world.when(() => [...world.pool.registry.workers].every(worker => !worker.draining), "the broker knows");
  expect(await world.leftovers()).toEqual({});
});

test("a worker whose backend is down counts as refusing", async () => {
  await using world = new World();
  const { backend: down } = await world.worker({ clientId: "a" });
  await down.stop();
  const { backend } = await world.worker({ clientId: "b" });
  for (let i = 0; i < 4; i++) expect((await world.chat()).status).toBe(200);
  expect(backend.requests).toHaveLength(4);
  expect(await world.leftovers()).toEqual({});
});

test("with nobody else the client is told that the backend is down", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  await backend.stop();
  const answer = await client(world).answer();
  expect(answer.status).toBe(502);
  expect(errorOf(answer)).toMatchObject({ code: "upstream_error", type: "server_error" });
  expect(await world.leftovers()).toEqual({});
});

test("a v1 agent that cannot reach its backend counts as refusing", async () => {
  await using world = new World();
  const old = await hand(world, { id: "old", v2: false });
  const asked = client(world);
  const { request_id } = await old.message("http_proxy_request");
  const { backend } = await world.worker();
  old.send({
    type: "http_proxy_response_headers",
    request_id,
    status: 502,
    headers: { "Content-Type": "application/json" },
  });
  old.send({ type: "http_proxy_response_chunk", request_id, data: btoa('{"error":"connection refused"}') });
  old.send({ type: "http_proxy_response_end", request_id, error: { code: "upstream_error", message: DIAL_FAILED } });
  expect((await asked.answer()).status).toBe(200);
  expect(backend.requests).toHaveLength(1);
  old.close();
  expect(await world.leftovers()).toEqual({});
});

test("a 502 and a 503 that a backend itself answered are its answer, over v1 too", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  for (const code of [502, 503]) {
    backend.respond = status(code, { error: { message: `own ${code}` } });
    expect((await world.chat()).status).toBe(code);
  }
  expect(backend.requests).toHaveLength(2);
  await world.agents[0]?.shutdown(0);
  const old = await hand(world, { id: "old", v2: false });
  for (const [at, code] of [502, 503].entries()) {
    const asked = client(world);
    const { request_id } = await old.message("http_proxy_request", at + 1);
    old.send({ type: "http_proxy_response_headers", request_id, status: code, headers: { "X-Own": "yes" } });
    old.send({ type: "http_proxy_response_chunk", request_id, data: btoa("busy") });
    old.send({ type: "http_proxy_response_end", request_id });
    const answer = await asked.answer();
    expect([answer.status, answer.body.toString()]).toEqual([code, "busy"]);
    expect(answer.headers).toContainEqual(["x-own", "yes"]);
  }
  old.close();
  expect(await world.leftovers()).toEqual({});
});

for (const v2 of [true, false]) {
  const wire = v2 ? "v2" : "v1";

  test(`a worker that is lost before its answer began: another one serves (${wire})`, async () => {
    await using world = new World();
    const lost = await hand(world, { id: "lost", v2 });
    const asked = [client(world), client(world, { stream: true })];
    await (v2 ? lost.frame("head") : lost.message("http_proxy_request"));
    const { backend } = await world.worker();
    lost.terminate();
    for (const one of asked) expect((await one.answer()).status).toBe(200);
    expect(backend.requests).toHaveLength(2);
    expect(await world.leftovers()).toEqual({});
  });

  test(`the only worker is lost and comes back: the client does not notice (${wire})`, async () => {
    await using world = new World();
    const lost = await hand(world, { id: "lost", v2 });
    const asked = client(world);
    await (v2 ? lost.frame("head") : lost.message("http_proxy_request"));
    lost.terminate();
    await world.when(() => world.pool.waiting === 1, "the request waits again");
    await world.worker({ clientId: "lost" });
    expect((await asked.answer()).status).toBe(200);
    expect(await world.leftovers()).toEqual({});
  });
}

test("a request is sent to three workers at most", async () => {
  await using world = new World();
  const workers = await Promise.all(["a", "b", "c", "d"].map(id => hand(world, { id, v2: true })));
  const asked = client(world);
  const answer = asked.answer();
  for (let i = 0; i < 3; i++) {
    const askedNow = await Promise.race(
      workers
        .filter(one => one.frames.every(frame => frame.kind !== "reset"))
        .map(async one => {
          const frame = await one.frame("head");
          return { one, frame };
        }),
    );
    askedNow.one.put(batch => batch.putReset(askedNow.frame.id, "refused", "not now"));
    workers.splice(workers.indexOf(askedNow.one), 1);
  }
  const failed = await answer;
  expect(failed.status).toBe(502);
  expect(errorOf(failed)).toMatchObject({ code: "upstream_error" });
  expect(workers).toHaveLength(1);
  expect(workers[0]?.frames).toEqual([]);
  for (const worker of world.pool.registry.workers) worker.upstream.close(1000, "");
  expect(await world.leftovers()).toEqual({});
});

test("a backend that fails before its head, but took the request, is not asked elsewhere", async () => {
  await using world = new World();
  const { backend: one } = await world.worker();
  const { backend: two } = await world.worker();
  for (const backend of [one, two]) backend.respond = () => Promise.reject(new Error("never answered"));
  for (const backend of [one, two]) backend.respond = cut("", { announced: 10 });
  const answer = await client(world).answer();
  expect(answer.status).toBe(502);
  expect(one.requests.length + two.requests.length).toBe(1);
  expect(await world.leftovers()).toEqual({});
});

test("a stream whose worker is lost ends with an error event", async () => {
  await using world = new World();
  const lost = await hand(world, { id: "lost", v2: true });
  const { backend: other } = await world.worker({ maxConcurrency: 1, models: ["another-model"] });
  const asked = client(world, { stream: true });
  const { id } = await lost.frame("head");
  lost.put(batch => {
    batch.putHead(id, { status: 200, headers: SSE }, false);
    batch.putData(id, Buffer.from('data: {"n":1}\n\n'), false);
  });
  await asked.shows('{"n":1}');
  lost.terminate();
  const answer = await asked.answer();
  expect(answer.complete).toBeTrue();
  const [, data] = /^data: \{"n":1\}\n\nevent: error\ndata: (.*)\n\n$/.exec(answer.body.toString()) ?? [];
  expect(JSON.parse(data ?? "")).toMatchObject({ error: { code: "upstream_error", message: "the worker was lost" } });
  expect(other.requests).toHaveLength(0);
  expect(await world.leftovers()).toEqual({});
});

test("a stream cut inside an event still ends with an error event of its own", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  const umlaut = Buffer.from("data: ü").subarray(0, 7);
  for (const half of ['data: {"n":', "data: {}\n", "data: {}\r\n\r", umlaut, ": comment", "data: {}\n\n"]) {
    const gate = new Gate();
    backend.respond = cut(half, { headers: { "content-type": "text/event-stream" }, gate });
    const asked = client(world, { stream: true });
    await asked.shows(Buffer.from(half).subarray(0, 6).toString());
    gate.open();
    const { body, complete } = await asked.answer();
    expect(complete).toBeTrue();
    expect(body.subarray(0, half.length)).toEqual(Buffer.from(half));
    const [, data] = /\n\nevent: error\ndata: (.*)\n\n$/.exec(body.toString()) ?? [];
    expect(JSON.parse(data ?? "")).toMatchObject({ error: { code: "upstream_error" } });
  }
  expect(await world.leftovers()).toEqual({});
});

test("whatever word a worker gives up with, the client does not get a clean end", async () => {
  await using world = new World();
  const worker = await hand(world, { id: "odd", v2: true });
  for (const [at, code] of ["canceled", "unauthorized", "no_worker", "draining", "", "nonsense"].entries()) {
    const asked = client(world, { stream: true });
    const { id } = await worker.frame("head", 2 * at + 1);
    worker.put(batch => {
      batch.putHead(id, { status: 200, headers: SSE }, false);
      batch.putData(id, Buffer.from("data: 1\n\n"), false);
    });
    await asked.shows("data: 1");
    worker.put(batch => batch.putReset(id, code, "says the worker"));
    expect((await asked.answer()).body.toString()).toMatch(/event: error\ndata: .*says the worker.*\n\n$/);
    const early = client(world);
    const { id: second } = await worker.frame("head", 2 * at + 2);
    worker.put(batch => batch.putReset(second, code, "says the worker"));
    expect((await early.answer()).status).toBeGreaterThanOrEqual(400);
  }
  worker.close();
  expect(await world.leftovers()).toEqual({});
});

test("a worker's words do not blame the client: they are its own failure", async () => {
  await using world = new World();
  const worker = await hand(world, { id: "odd", v2: true });
  for (const [at, code] of ["canceled", "unauthorized", "invalid_request", "no_worker"].entries()) {
    const asked = client(world);
    const { id } = await worker.frame("head", at + 1);
    worker.put(batch => batch.putReset(id, code, "says the worker"));
    const answer = await asked.answer();
    expect([code, answer.status]).toEqual([code, 502]);
  }
});

test("any other answer that is cut has its connection cut, with and without a length", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  for (const announced of [100, 200_000, undefined]) {
    backend.respond = cut('{"half":', {
      headers: { "content-type": "application/json" },
      ...(announced !== undefined && { announced }),
    });
    const answer = await client(world)
      .answer()
      .catch(() => undefined);
    // Either no success at all, or one whose body visibly breaks off.
    if (answer?.status === 200) expect(answer.complete).toBeFalse();
    else expect(answer?.status).toBe(502);
  }
  expect(await world.leftovers()).toEqual({});
});

test("fetch rejects when the worker is lost in the middle of a body", async () => {
  await using world = new World();
  const lost = await hand(world, { id: "lost", v2: true });
  const asked = world.chat();
  const { id } = await lost.frame("head");
  lost.put(batch => {
    batch.putHead(id, { status: 200, headers: [["content-type", "application/json"]] }, false);
    batch.putData(id, Buffer.from('{"n":1}'), false);
  });
  const answer = await asked;
  lost.terminate();
  await expect(answer.text()).rejects.toThrow();
  expect(await world.leftovers()).toEqual({});
});

test("a large request is sent to another worker as a small one is, wherever its fields stand", async () => {
  await using world = new World();
  const messages = ["x".repeat(12 * 1024 * 1024)];
  for (const body of [
    { model: "test-model", messages },
    { messages, model: "test-model" },
    { model: "test-model", stream: false, messages },
  ]) {
    const lost = await hand(world, { id: "lost", v2: true });
    const text = JSON.stringify(body);
    const headers = { Authorization: `Bearer ${API_KEY}` };
    const asked = new Call(`${world.url}/chat/completions`, { headers, body: text });
    await lost.frame("data");
    const { backend, agent } = await world.worker({ clientId: "other" });
    lost.terminate();
    expect((await asked.answer()).status).toBe(200);
    expect(backend.requests.map(({ bodyBytes }) => bodyBytes)).toEqual([text.length]);
    await agent.shutdown(0);
  }
  expect(await world.leftovers()).toEqual({});
}, 30_000);

test("a large request whose `stream` stands last is asked for events", async () => {
  await using world = new World();
  const { backend } = await world.worker({ maxConcurrency: 1 });
  const gate = new Gate();
  backend.respond = chatStream(["one"], { gate });
  const first = client(world, { stream: true });
  await backend.arrived(1);
  const messages = [{ role: "user", content: "x".repeat(12 * 1024 * 1024) }];
  const second = client(world, { messages, model: "test-model", stream: true });
  // Only one that asks for events hears of its place in the queue.
  await second.shows("nfrx.queue");
  gate.open();
  for (const one of [first, second]) expect((await one.answer()).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("one of two workers is lost: who waited succeeds, who was cut hears of it", async () => {
  await using world = new World();
  const lost = await hand(world, { id: "lost", v2: true });
  const cutStream = client(world, { stream: true });
  const { id } = await lost.frame("head");
  lost.put(batch => {
    batch.putHead(id, { status: 200, headers: SSE }, false);
    batch.putData(id, Buffer.from("data: 1\n\n"), false);
  });
  await cutStream.shows("data: 1");
  const waiting = Array.from({ length: 50 }, () => client(world));
  await world.when(() => world.pool.waiting === 50, "50 wait");
  lost.terminate();
  const { backend } = await world.worker({ maxConcurrency: 3 });
  for (const one of waiting) expect((await one.answer()).status).toBe(200);
  expect((await cutStream.answer()).body.toString()).toContain("event: error");
  expect(backend.requests).toHaveLength(50);
  expect(backend.peakInflight).toBeLessThanOrEqual(3);
  expect(await world.leftovers()).toEqual({});
});

test("a pooled connection that the backend closed in the meantime costs no request", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  backend.respond = (request, recorded) => {
    const answer = chatJson("x")(request, recorded);
    return answer;
  };
  for (let i = 0; i < 3; i++) expect((await world.chat()).status).toBe(200);
  const { port } = backend;
  await backend.stop();
  const again = await world.backend({ port });
  again.respond = bytes(['{"again":true}'], { "content-type": "application/json" });
  expect(await (await world.chat()).json()).toEqual({ again: true });
  again.respond = silent();
  expect(await world.leftovers()).toEqual({});
});
