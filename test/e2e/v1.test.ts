// Wire v1 by hand: what agents and brokers of the 0.9 series say, letter by letter, against our broker and our agent.
import { expect, test } from "bun:test";
import type { Agent } from "../../src/agent/run.ts";
import { type WorkerAgentOptions, workerAgent } from "../../src/agent/worker-agent.ts";
import { probeOpenai } from "../../src/modules/openai.ts";
import { chatStream, silent, startBackend, type TestBackend } from "../kit/backend/backend.ts";
import { Call } from "../kit/http/call.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { OldBroker } from "../kit/protocol/old-broker.ts";
import { TestClock } from "../kit/time/clock.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, CLIENT_KEY, World } from "../kit/world.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const KEY = { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" };

async function oldAgent(world: World, fields: object = {}): Promise<HandWorker> {
  const agent = await HandWorker.connect(world.connectUrl);
  expect(agent.protocol).toBe("");
  agent.send({
    type: "register",
    worker_id: "20260131T101112.000000",
    worker_name: "",
    models: ["test-model"],
    max_concurrency: 2,
    version: "0.9.7",
    agent_config: { embedding_batch_size: "16", hostname: "old", backend_family: "ollama" },
    ...fields,
  });
  await world.when(() => world.pool.registry.size === 1, "the old agent is registered");
  return agent;
}

test("a Go agent registers: what it says is taken over, null for an empty list included", async () => {
  await using world = new World();
  const agent = await oldAgent(world, { models: null, max_concurrency: 0 });
  const [worker] = [...world.pool.registry.workers];
  expect(worker).toMatchObject({ id: "20260131T101112.000000", name: "20260131", batchSize: 16, version: "0.9.7" });
  expect(worker?.state).toBe("not_ready");
  agent.send({ type: "status_update", max_concurrency: 2, models: ["test-model"], status: "idle" });
  await world.when(() => world.pool.registry.serves("test-model"), "its models are known");
  expect(worker?.state).toBe("idle");
  agent.send({ type: "heartbeat", ts: 1_700_000_000, host_cpu_percent: 12.5, host_ram_used_percent: 50 });
  agent.send({ type: "status_update", max_concurrency: 1, status: "working" });
  await world.when(() => worker?.maxConcurrency === 1, "its concurrency is known");
  expect(worker).toMatchObject({ hostCpuPercent: 12.5, hostRamUsedPercent: 50 });
  expect([...(worker?.models ?? [])]).toEqual(["test-model"]);
  agent.close();
});

test("a chat: the request whole in one frame, the answer in three", async () => {
  await using world = new World();
  const agent = await oldAgent(world);
  const body = '{"model":"test-model", "messages":[{"role":"user","content":"grüß dich 😀"}]}';
  const asked = new Call(`${world.url}/chat/completions`, {
    body,
    headers: { ...KEY, Cookie: "a=1", "X-Request-Id": "mine", "User-Agent": "test", Accept: "application/json" },
  });
  const request = await agent.message("http_proxy_request");
  expect(request).toMatchObject({ method: "POST", path: "/chat/completions", body: base64(body) });
  const names = Object.keys(request["headers"] as object).map(name => name.toLowerCase());
  expect(names.sort()).toEqual(["accept", "cache-control", "content-type", "user-agent", "x-request-id"]);
  expect(request["headers"]).toMatchObject({ "x-request-id": "mine", "cache-control": "no-store" });
  const { request_id } = request;
  agent.send({
    type: "http_proxy_response_headers",
    request_id,
    status: 201,
    headers: { "Content-Type": "application/json", "X-Twice": "a, b" },
  });
  agent.send({ type: "http_proxy_response_chunk", request_id, data: base64('{"text":"') });
  agent.send({ type: "http_proxy_response_chunk", request_id, data: null });
  agent.send({ type: "http_proxy_response_chunk", request_id, data: base64('ü€😀"}') });
  agent.send({ type: "http_proxy_response_end", request_id });
  const answer = await asked.answer();
  expect([answer.status, answer.body.toString()]).toEqual([201, '{"text":"ü€😀"}']);
  expect(answer.headers).toContainEqual(["x-twice", "a, b"]);
  expect(await world.leftovers()).toEqual({});
  agent.close();
});

test("a stream: chunk by chunk; an error at its end is an error event", async () => {
  await using world = new World();
  const agent = await oldAgent(world);
  for (const n of [1, 2]) {
    const asked = new Call(`${world.url}/chat/completions`, {
      body: '{"model":"test-model","stream":true}',
      headers: { ...KEY, Accept: "text/event-stream" },
    });
    const { request_id, stream } = await agent.message("http_proxy_request", n);
    expect(stream).toBe(true);
    agent.send({
      type: "http_proxy_response_headers",
      request_id,
      status: 200,
      headers: { "Content-Type": "text/event-stream" },
    });
    for (const part of ["data: one\r\n\r\n", "data: two\r\n\r\n"]) {
      agent.send({ type: "http_proxy_response_chunk", request_id, data: base64(part) });
      await asked.shows(part);
    }
    const failed = { code: "upstream_error", message: "connection reset" };
    agent.send({ type: "http_proxy_response_end", request_id, ...(n === 2 && { error: failed }) });
    const { body } = await asked.answer();
    const [, data] =
      /^data: one\r\n\r\ndata: two\r\n\r\n(?:event: error\ndata: (.*)\n\n)?$/.exec(body.toString()) ?? [];
    if (n === 1) expect(data).toBeUndefined();
    else expect(JSON.parse(data ?? "")).toMatchObject({ error: failed });
  }
  expect(await world.leftovers()).toEqual({});
  agent.close();
});

test("a client that leaves is told to the agent; what still comes is passed over", async () => {
  await using world = new World();
  const agent = await oldAgent(world, { max_concurrency: 1 });
  const asked = new Call(`${world.url}/chat/completions`, { body: '{"model":"test-model"}', headers: KEY });
  const { request_id } = await agent.message("http_proxy_request");
  asked.abort();
  expect(await agent.message("http_proxy_cancel")).toEqual({ type: "http_proxy_cancel", request_id });
  agent.send({ type: "http_proxy_response_headers", request_id, status: 200, headers: {} });
  agent.send({ type: "http_proxy_response_end", request_id });
  const next = new Call(`${world.url}/chat/completions`, { body: '{"model":"test-model"}', headers: KEY });
  const { request_id: second } = await agent.message("http_proxy_request", 2);
  expect(second).not.toBe(request_id);
  agent.send({ type: "http_proxy_response_headers", request_id: second, status: 200, headers: {} });
  agent.send({ type: "http_proxy_response_end", request_id: second });
  expect((await next.answer()).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
  agent.close();
});

test("a large body goes to the agent in one frame, a large answer comes in many", async () => {
  await using world = new World();
  const agent = await oldAgent(world);
  const body = JSON.stringify({ messages: ["x".repeat(12 * 1024 * 1024)], model: "test-model" });
  const asked = new Call(`${world.url}/chat/completions`, { body, headers: KEY });
  const { request_id, body: sent } = await agent.message("http_proxy_request");
  expect(Buffer.from(String(sent), "base64").equals(Buffer.from(body))).toBeTrue();
  agent.send({ type: "http_proxy_response_headers", request_id, status: 200, headers: {} });
  const chunk = Buffer.alloc(32 * 1024, "y");
  // v1 knows no credit: what is sent faster than the client reads is cut off at 4 MiB (see the next test).
  for (let i = 1; i <= 640; i++) {
    agent.send({ type: "http_proxy_response_chunk", request_id, data: chunk.toString("base64") });
    if (i % 64 === 0) await asked.received(i * chunk.length);
  }
  agent.send({ type: "http_proxy_response_end", request_id });
  expect((await asked.answer()).body.length).toBe(640 * chunk.length);
  expect(await world.leftovers()).toEqual({});
  agent.close();
});

test("an answer that a client does not read costs that stream, not the agent", async () => {
  await using world = new World();
  const agent = await oldAgent(world);
  const asked = new Call(`${world.url}/chat/completions`, { body: '{"model":"test-model"}', headers: KEY });
  asked.pause();
  const { request_id } = await agent.message("http_proxy_request");
  agent.send({ type: "http_proxy_response_headers", request_id, status: 200, headers: {} });
  const chunk = Buffer.alloc(32 * 1024, "y").toString("base64");
  // What the sockets between here and the client take is the platform's affair; this is more.
  for (let i = 0; i < 2_000 && !agent.messages.some(({ type }) => type === "http_proxy_cancel"); i++)
    agent.send({ type: "http_proxy_response_chunk", request_id, data: chunk });
  await agent.message("http_proxy_cancel");
  const next = new Call(`${world.url}/chat/completions`, { body: '{"model":"test-model"}', headers: KEY });
  const { request_id: second } = await agent.message("http_proxy_request", 2);
  agent.send({ type: "http_proxy_response_headers", request_id: second, status: 200, headers: {} });
  agent.send({ type: "http_proxy_response_end", request_id: second });
  expect((await next.answer()).status).toBe(200);
  asked.resume();
  expect((await asked.answer()).complete).toBeFalse();
  expect(await world.leftovers()).toEqual({});
  agent.close();
});

test("embeddings over v1 agents are split by their batch size", async () => {
  await using world = new World();
  const agent = await oldAgent(world, { max_concurrency: 4 });
  const input = Array.from({ length: 40 }, (_, i) => `t${i}`);
  const asked = world.post("/embeddings", { model: "test-model", input });
  for (const [at, size] of [16, 16, 8].entries()) {
    const { request_id, path, body } = await agent.message("http_proxy_request", at + 1);
    expect(path).toBe("/embeddings");
    const part = JSON.parse(Buffer.from(String(body), "base64").toString());
    expect(part.input).toHaveLength(size);
    const data = part.input.map((text: string, index: number) => ({
      object: "embedding",
      index,
      embedding: [Number(text.slice(1))],
    }));
    agent.send({ type: "http_proxy_response_headers", request_id, status: 200, headers: {} });
    agent.send({
      type: "http_proxy_response_chunk",
      request_id,
      data: base64(JSON.stringify({ object: "list", data })),
    });
    agent.send({ type: "http_proxy_response_end", request_id });
  }
  const answer = (await (await asked).json()) as { data: { embedding: number[] }[] };
  expect(answer.data.map(({ embedding }) => embedding[0])).toEqual(input.map((_, i) => i));
  expect(await world.leftovers()).toEqual({});
  agent.close();
});

test("a draining agent gets nothing new and leaves in peace", async () => {
  await using world = new World({ pool: { graceMs: 0 } });
  const agent = await oldAgent(world);
  const asked = new Call(`${world.url}/chat/completions`, { body: '{"model":"test-model"}', headers: KEY });
  const { request_id } = await agent.message("http_proxy_request");
  agent.send({ type: "status_update", max_concurrency: 0, status: "draining" });
  await world.when(() => [...world.pool.registry.workers][0]?.state === "draining", "the broker knows");
  expect((await world.chat()).status).toBe(503);
  agent.send({ type: "http_proxy_response_headers", request_id, status: 200, headers: {} });
  agent.send({ type: "http_proxy_response_end", request_id });
  expect((await asked.answer()).status).toBe(200);
  agent.close(1000, "drained");
  await world.when(() => world.pool.registry.size === 0, "the agent has left");
  expect(await world.leftovers()).toEqual({});
});

test("an agent that is silent for 15 seconds is dropped, one that beats is not", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  const agent = await oldAgent(world);
  const [worker] = [...world.pool.registry.workers];
  for (let i = 1; i <= 4; i++) {
    clock.advance(5_000);
    agent.send({ type: "status_update", max_concurrency: 10 + i });
    await world.when(() => worker?.maxConcurrency === 10 + i, "the broker has heard it");
  }
  expect(world.pool.registry.size).toBe(1);
  clock.advance(17_500);
  await world.when(() => world.pool.registry.size === 0, "the silent agent is dropped");
});

// ---- our agent, at a broker of the 0.9 series ------------------------------------------------------------------

async function agentAt(
  broker: OldBroker,
  options: Partial<WorkerAgentOptions> = {},
): Promise<{ agent: Agent; backend: TestBackend; running: Promise<void>; [Symbol.asyncDispose](): Promise<void> }> {
  const backend = await startBackend();
  const log = { debug() {}, info() {}, warn() {}, error() {}, fatal() {} };
  const agent = workerAgent({
    module: "llm",
    backend: {
      baseUrl: backend.url,
      apiKey: "backend-key",
      pollMs: 60_000,
      facts: { embedding_batch_size: "8" },
      probe: ask => probeOpenai(backend.url, { models: [] }, ask),
    },
    servers: [{ serverUrl: broker.connectUrl, clientKey: CLIENT_KEY }],
    clientId: "ours",
    clientName: "our agent",
    maxConcurrency: 3,
    requestTimeoutMs: 300_000,
    reconnect: false,
    log,
    ...options,
  });
  const running = agent.run();
  running.catch(() => undefined);
  await broker.message("register");
  return {
    agent,
    backend,
    running,
    async [Symbol.asyncDispose]() {
      await agent.shutdown(0);
      await running.catch(() => undefined);
      await backend.stop();
    },
  };
}

test("our agent registers as an old one does, key in the header and in the frame", async () => {
  await using broker = new OldBroker();
  await using _ours = await agentAt(broker);
  expect(broker.upgrades.at(-1)?.get("authorization")).toBe(`Bearer ${CLIENT_KEY}`);
  expect(broker.upgrades.at(-1)?.get("sec-websocket-protocol")).toBeNull();
  expect(broker.messages[0]).toMatchObject({
    type: "register",
    worker_id: "ours",
    worker_name: "our agent",
    client_key: CLIENT_KEY,
    models: ["test-model"],
    max_concurrency: 3,
    version: expect.any(String),
    build_sha: expect.any(String),
    build_date: expect.any(String),
    agent_config: { embedding_batch_size: "8", hostname: expect.any(String), os_name: expect.any(String) },
  });
});

test("our agent answers: headers, chunks of at most 32 KiB, end", async () => {
  await using broker = new OldBroker();
  await using ours = await agentAt(broker);
  broker.request("r-1", "/chat/completions", '{"model":"test-model","messages":[]}', {
    Authorization: "Bearer of the caller",
    "X-Request-Id": "abc",
  });
  const { head, body, end } = await broker.answer("r-1");
  expect(head).toMatchObject({ status: 200, headers: { "content-type": "application/json" } });
  expect(JSON.parse(body)).toMatchObject({ choices: [{ message: { content: "Hello world" } }] });
  expect(end).toEqual({ type: "http_proxy_response_end", request_id: "r-1" });
  const [seen] = ours.backend.requests;
  expect(seen?.path).toBe("/v1/chat/completions");
  expect(seen?.body).toBe('{"model":"test-model","messages":[]}');
  expect(seen?.headers.get("authorization")).toBe("Bearer backend-key");
  expect(seen?.headers.get("x-request-id")).toBe("abc");

  ours.backend.respond = () => new Response("x".repeat(200_000));
  broker.request("r-2", "/chat/completions", "{}");
  expect((await broker.answer("r-2")).body).toBe("x".repeat(200_000));
  for (const { data } of broker.messages.filter(({ type }) => type === "http_proxy_response_chunk"))
    expect(Buffer.from(String(data), "base64").length).toBeLessThanOrEqual(32 * 1024);
});

test("our agent streams as the backend writes, and stops when it is told to", async () => {
  await using broker = new OldBroker();
  await using ours = await agentAt(broker);
  const gate = new Gate();
  ours.backend.respond = chatStream(["one", "two", "three"], { gate });
  broker.request("r-1", "/chat/completions", '{"model":"test-model","stream":true}');
  expect(await broker.message("http_proxy_response_headers")).toMatchObject({ request_id: "r-1", status: 200 });
  gate.release();
  await broker.when(() => broker.body("r-1").includes("one"), "the first word");
  broker.send({ type: "http_proxy_cancel", request_id: "r-1" });
  await ours.backend.aborted(1);
  broker.send({ type: "http_proxy_cancel", request_id: "never heard of it" });
  gate.open();
  broker.request("r-2", "/chat/completions", '{"model":"test-model","stream":true}');
  expect((await broker.answer("r-2")).body).toEndWith("data: [DONE]\n\n");
  expect(ours.agent.state).toBe("connected_idle");
});

test("our agent says that its backend is away, and that it drains, in v1's words", async () => {
  await using broker = new OldBroker();
  await using ours = await agentAt(broker);
  const gate = new Gate();
  ours.backend.respond = chatStream(["x"], { gate });
  broker.request("r-0", "/chat/completions", '{"model":"test-model","stream":true}');
  await ours.backend.arrived(1);
  ours.agent.drain();
  const update = await broker.message("status_update");
  expect(update).toMatchObject({ max_concurrency: 0, status: "draining" });
  broker.request("r-1", "/chat/completions", "{}");
  const refused = await broker.answer("r-1");
  expect(refused.head["status"]).toBe(503);
  expect(refused.end["error"]).toMatchObject({ code: "worker_draining" });
  gate.open();
  expect((await broker.answer("r-0")).body).toEndWith("data: [DONE]\n\n");
  ours.agent.undrain();
  expect(await broker.message("status_update", 2)).toMatchObject({ max_concurrency: 3, status: "idle" });
  await ours.backend.stop();
  broker.request("r-2", "/chat/completions", "{}");
  const failed = await broker.answer("r-2");
  expect([502, 503]).toContain(Number(failed.head["status"]));
  expect(failed.end["error"]).toMatchObject({ message: expect.any(String) });
});

test("our agent leaves in peace when it has drained", async () => {
  await using broker = new OldBroker();
  await using ours = await agentAt(broker);
  const gate = new Gate();
  ours.backend.respond = chatStream(["x"], { gate });
  broker.request("r-1", "/chat/completions", '{"model":"test-model","stream":true}');
  await ours.backend.arrived(1);
  const shut = ours.agent.shutdown(Number.POSITIVE_INFINITY);
  expect(await broker.message("status_update")).toMatchObject({ status: "draining", max_concurrency: 0 });
  gate.open();
  expect(await shut).toBeTrue();
  // The first attempt, which offered v2, was given up by the client when no protocol was picked.
  await broker.when(() => broker.closed.length === 2, "the agent closes");
  expect(broker.closed[1]).toEqual({ code: 1000, reason: "drained" });
  expect(broker.body("r-1")).toEndWith("data: [DONE]\n\n");
  await ours.running;
});

test("our agent beats every five seconds", async () => {
  const clock = new TestClock();
  await using broker = new OldBroker();
  await using _ours = await agentAt(broker, { clock, reconnect: true, random: () => 0.5 });
  clock.advance(5_000);
  const beat = await broker.message("heartbeat");
  expect(beat["ts"]).toBe(Math.floor(clock.wall() / 1000));
  expect(beat["host_cpu_percent"]).toBeNumber();
  expect(beat["host_ram_used_percent"]).toBeNumber();
  clock.advance(5_000);
  await broker.message("heartbeat", 2);
});

test("a request that is silent at the backend is given up by our agent, with a reason", async () => {
  await using broker = new OldBroker();
  await using ours = await agentAt(broker, { requestTimeoutMs: 200 });
  ours.backend.respond = silent();
  broker.request("r-1", "/chat/completions", "{}");
  const { head, end } = await broker.answer("r-1");
  expect(Number(head["status"])).toBeGreaterThanOrEqual(500);
  expect(end["error"]).toMatchObject({ code: "timeout" });
  await ours.backend.aborted(1);
});
