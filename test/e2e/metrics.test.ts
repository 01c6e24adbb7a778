// What is counted, and where it is shown.
import { expect, test } from "bun:test";
import { agentDeclarations, relayDeclarations } from "../../src/agent/metric-declarations.ts";
import { brokerDeclarations } from "../../src/broker/metric-declarations.ts";
import { SERIES_KEPT_MS } from "../../src/broker/observe/labels.ts";
import type { Declaration } from "../../src/lib/series.ts";
import { chatStream, cut, headThenSilent, json, serveDefault, silent, status } from "../kit/backend/backend.ts";
import { Exposition } from "../kit/broker/prometheus.ts";
import { Call, call } from "../kit/http/call.ts";
import { turns } from "../kit/load/storm.ts";
import { McpWorld, rpc } from "../kit/mcp/world.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { linkOf } from "../kit/protocol/link-of.ts";
import { TestClock } from "../kit/time/clock.ts";
import { Gate } from "../kit/time/gate.ts";
import { eventually } from "../kit/time/until.ts";
import { API_KEY, World } from "../kit/world.ts";

const read = (world: { origin: string }): Promise<Exposition> => Exposition.of(`${world.origin}/metrics`);

/** Compares what a process shows with what is declared: the same metrics, of the same types, with no other labels. */
function requireDeclared(shown: Exposition, declared: readonly Declaration[]): void {
  expect([...shown.types].sort()).toEqual(declared.map(({ name, type }): [string, string] => [name, type]).sort());
  const labels = new Map(declared.map(({ name, labelNames }) => [name, new Set(labelNames)]));
  for (const [name, found] of shown.labelNames)
    expect({ name, unknown: [...found].filter(label => !labels.get(name)?.has(label)) }).toEqual({ name, unknown: [] });
}

test("a broker shows what is declared, and nothing else", async () => {
  await using world = new World();
  await world.worker({ batchSize: 1 });
  await world.worker({ batchSize: 1 });
  await (await world.chat({ stream: true })).text();
  await (await world.post("/embeddings", { model: "test-model", input: ["a", "b", "c"] })).text();
  requireDeclared(await read(world), brokerDeclarations());
});

test("so does an agent, and one of MCP has its calls besides", async () => {
  await using world = new World();
  const { agent } = await world.worker();
  requireDeclared(new Exposition(await (await agent.metrics.meters.response()).text()), agentDeclarations());

  await using relays = new McpWorld();
  const { agent: relay, provider } = await relays.pair();
  await relays.call(rpc(1, "tools/call"));
  await relays.call(rpc(1, "made/up"));
  provider.respond = silent();
  const going = relays.ask({ body: rpc(2, "tools/list") });
  await provider.arrived(3);
  going.abort();
  await provider.aborted(1);
  await relays.leftovers();
  const shown = new Exposition(await (await relay.metrics.meters.response()).text());
  requireDeclared(shown, [...agentDeclarations(), ...relayDeclarations()]);
  expect(
    shown.all("nfrx_worker_calls_total").map(({ labels, value }) => [labels["method"], labels["outcome"], value]),
  ).toEqual([
    ["tools/call", "succeeded", 1],
    ["other", "succeeded", 1],
    ["tools/list", "canceled", 1],
  ]);
  expect(shown.sum("nfrx_worker_jobs_canceled_total")).toBe(1);
  expect(shown.sum("nfrx_worker_jobs_failed_total")).toBe(0);
});

test("with an address of its own, /metrics is there alone", async () => {
  await using world = new World({ broker: { metricsAddress: { host: "127.0.0.1", port: 0 } } });
  expect((await fetch(`${world.origin}/metrics`)).status).toBe(404);
  const { metricsPort } = world.broker;
  const shown = await Exposition.of(`http://127.0.0.1:${metricsPort}/metrics`);
  expect(shown.sum("nfrx_build_info")).toBe(1);
  expect((await fetch(`http://127.0.0.1:${metricsPort}/api/state`)).status).toBe(404);
  expect(() => new World({ broker: { metricsAddress: { host: "127.0.0.1", port: metricsPort ?? 0 } } })).toThrow(
    `METRICS_PORT: cannot listen on 127.0.0.1:${metricsPort}: another program uses this port`,
  );
  // Nothing is left of a broker whose public port is taken.
  expect(
    () => new World({ broker: { port: world.broker.port, metricsAddress: { host: "127.0.0.1", port: 0 } } }),
  ).toThrow(`PORT: cannot listen on 127.0.0.1:${world.broker.port}`);
});

const LABELS = { ext: "llm", job_type: "llm.completion" };

test("a request that is given up counts by how far it had come", async () => {
  await using world = new World();
  const { backend } = await world.worker({ maxConcurrency: 1 });
  backend.respond = silent();
  const unanswered = new AbortController();
  const first = world.chat({}, { signal: unanswered.signal }).catch(() => undefined);
  await backend.arrived(1);
  const queued = new AbortController();
  const second = world.chat({}, { signal: queued.signal }).catch(() => undefined);
  await world.when(() => world.pool.waiting === 1, "one waits");
  queued.abort();
  await world.when(() => world.pool.waiting === 0, "nobody waits");
  unanswered.abort();
  await Promise.all([first, second]);
  await backend.aborted(1);

  const gate = new Gate();
  gate.release();
  backend.respond = chatStream(["one", "two"], { gate });
  const answering = new AbortController();
  const reader = (await world.chat({ stream: true }, { signal: answering.signal })).body?.getReader();
  await reader?.read();
  answering.abort();
  await backend.aborted(2);
  expect(await world.leftovers()).toEqual({});

  const shown = await read(world);
  const phases = ["queued", "unanswered", "answering"].map(phase =>
    shown.sum("nfrx_request_canceled_total", { ...LABELS, phase }),
  );
  expect(phases).toEqual([1, 1, 1]);
  expect(shown.sum("nfrx_request_completed_total", { ...LABELS, error_code: "canceled" })).toBe(3);
  expect([shown.sum("nfrx_request_total", LABELS), shown.sum("nfrx_request_started_total", LABELS)]).toEqual([3, 2]);
  // Who gave up in the queue has waited too.
  expect(shown.sum("nfrx_request_queue_seconds_count", LABELS)).toBe(1);
  expect(shown.sum("nfrx_request_first_byte_seconds_count", LABELS)).toBe(1);
  expect([shown.sum("nfrx_agent_jobs_total"), shown.sum("nfrx_agent_jobs_failed_total")]).toEqual([2, 0]);
});

test("the first byte is the body's, and each further piece of a stream counts the time before it", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  const { backend } = await world.worker();
  const gate = new Gate();
  backend.respond = chatStream(["one", "two", "three"], { gate });
  const client = new Call(`${world.url}/chat/completions`, {
    headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
    body: JSON.stringify({ model: "test-model", messages: [], stream: true }),
  });
  const pieces: [ms: number, word: string][] = [
    [4_000, "one"],
    [200, "two"],
    [3_000, "three"],
  ];
  for (const [ms, word] of pieces) {
    await eventually(() => gate.waiting === 1, "the backend is about to write");
    // By then the broker has asked for more, which it does before anything else.
    await turns(10);
    clock.advance(ms);
    gate.release();
    await client.shows(`"${word}"`);
  }
  await client.answer();
  expect(await world.leftovers()).toEqual({});
  const shown = await read(world);
  expect(shown.sum("nfrx_request_first_byte_seconds_sum", LABELS)).toBe(4);
  expect(shown.sum("nfrx_request_gap_seconds_sum", LABELS)).toBeCloseTo(3.2);
  expect(shown.sum("nfrx_request_gap_seconds_bucket", { ...LABELS, le: "2.5" })).toBe(
    shown.sum("nfrx_request_gap_seconds_count", LABELS) - 1,
  );
  expect(shown.sum("nfrx_request_duration_seconds_sum", LABELS)).toBeCloseTo(7.2);
});

test("a backend's answers count by their status, whatever the client makes of them", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  for (const code of [200, 404, 503, 500]) {
    backend.respond = code === 200 ? serveDefault : status(code, { error: "x" });
    expect((await world.chat()).status).toBe(code);
  }
  const shown = await read(world);
  const by = ["2xx", "4xx", "5xx"].map(status =>
    shown.sum("nfrx_request_backend_answers_total", { ...LABELS, status }),
  );
  expect(by).toEqual([1, 1, 2]);
  expect(shown.sum("nfrx_request_completed_total", { ...LABELS, success: "true" })).toBe(2);
  expect(shown.sum("nfrx_request_completed_total", { ...LABELS, error_code: "upstream_error" })).toBe(2);
});

test("a model counts under the name by which it is served; one that nobody serves is unknown", async () => {
  await using world = new World({ pool: { graceMs: 0 } });
  const { agent } = await world.worker({ models: ["llama3:8b-q4"] });
  for (const model of ["llama3:8b-q4", "llama3:8b-q8", "llama3:70b", "x".repeat(200)])
    await (await world.chat({ model })).text();
  const labels = async (): Promise<unknown[]> =>
    (await read(world)).all("nfrx_request_total").map(({ labels, value }) => [labels["label"], value]);
  expect(await labels()).toEqual([
    ["llama3:8b-q4", 1],
    ["llama3:8b", 1],
    ["unknown", 2],
  ]);
  // It keeps its name while it is away.
  await agent.shutdown(0);
  await world.when(() => world.pool.registry.size === 0, "it has left");
  expect((await world.chat({ model: "llama3:8b-q4" })).status).toBe(503);
  expect((await labels())[0]).toEqual(["llama3:8b-q4", 2]);
});

test("no counter goes back when a worker leaves, and a day later its own series end", async () => {
  const clock = new TestClock();
  await using world = new World({ clock, pool: { graceMs: 0 } });
  const one = await world.worker({ clientId: "one", models: ["one-model"] });
  await world.worker({ clientId: "two" });
  for (const model of ["one-model", "test-model"]) expect((await world.chat({ model })).status).toBe(200);
  const before = await read(world);
  await one.agent.shutdown(0);
  await world.when(() => world.pool.registry.size === 1, "it has left");
  const after = await read(world);
  const counters = before.series.filter(({ name }) => /_(?:total|bucket|count|sum)$/.test(name));
  expect(counters.length).toBeGreaterThan(100);
  for (const { name, labels, value } of counters) {
    const later = after.all(name, labels).find(one => Object.keys(one.labels).length === Object.keys(labels).length);
    expect({ name, labels, back: later === undefined || later.value < value }).toEqual({ name, labels, back: false });
  }
  expect(after.sum("nfrx_workers_left_total")).toBe(1);
  expect(after.sum("nfrx_tunnel_received_bytes_total")).toBeGreaterThan(0);

  // The other one is heard of in between, as it would be in the course of a day.
  const of = (shown: Exposition, name: string): string[] => [
    ...new Set(shown.series.flatMap(({ labels }) => labels[name] ?? [])),
  ];
  const steps = Math.ceil(SERIES_KEPT_MS / 10_000);
  for (let step = 0; step < steps; step++) {
    for (const worker of world.pool.registry.workers) linkOf(worker).ponged();
    clock.advance(10_000);
  }
  const late = await read(world);
  expect([of(late, "worker_id"), of(late, "model")]).toEqual([["two"], ["test-model"]]);
  expect(of(late, "label")).toEqual(["test-model"]);
});

test("agents and requests that are turned away count by the reason", async () => {
  await using world = new World({ broker: { maxWorkers: 1 } });
  await world.worker();
  const connect = {
    connection: "upgrade",
    upgrade: "websocket",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "sec-websocket-version": "13",
  };
  const at = world.connectUrl.replace("ws:", "http:");
  await call(at);
  await call(at, { headers: { ...connect, authorization: "Bearer wrong" } });
  expect((await HandWorker.connect(world.connectUrl)).closed).toBeDefined();
  await call(`${world.origin}/nowhere`);
  await call(`${world.origin}/api/state`);
  await call(`${world.url}/chat/completions`, { body: "{}" });
  await call(`${world.url}/chat/completions`, { body: "{", headers: { authorization: `Bearer ${API_KEY}` } });
  await call(`${world.origin}/api/jobs/x`, { headers: { authorization: `Bearer ${API_KEY}` } });
  const shown = await read(world);
  const reasons = (name: string): unknown =>
    Object.fromEntries(shown.all(name).map(({ labels, value }) => [labels["reason"], value]));
  expect(reasons("nfrx_agents_refused_total")).toEqual({ not_websocket: 1, unauthorized: 1, too_many: 1 });
  expect(reasons("nfrx_refused_total")).toEqual({ not_found: 2, unauthorized: 2, invalid_request: 1 });
});

test("embeddings count however they come: split, pinned, one text alone, one list of tokens", async () => {
  await using world = new World();
  const { backend } = await world.worker({ clientId: "one", batchSize: 2 });
  await world.worker({ clientId: "two", batchSize: 2 });
  const embed = async (input: unknown, at = ""): Promise<number> => {
    const response = await fetch(`${world.origin}/api/llm${at}/v1/embeddings`, {
      method: "POST",
      headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "test-model", input }),
    });
    await response.text();
    return response.status;
  };
  expect(await embed(["a", "b", "c", "d", "e"])).toBe(200);
  expect(await embed(["a", "b", "c"], "/id/one")).toBe(200);
  expect(await embed("a")).toBe(200);
  expect(await embed([1, 2, 3])).toBe(200);
  backend.respond = status(400, { error: "x" });
  expect(await embed("a", "/id/one")).toBe(400);
  const shown = await read(world);
  expect(shown.sum("nfrx_llm_model_embeddings_total")).toBe(10);
  expect(shown.sum("nfrx_request_size_total", { size_kind: "embeddings" })).toBe(10);
  expect(shown.sum("nfrx_llm_worker_embeddings_total")).toBe(10);
  const state = [...world.pool.registry.workers].reduce((sum, { totals }) => sum + totals.embeddings, 0);
  expect(state).toBe(10);
});

test("what a split request had got before it failed counts, everywhere the same", async () => {
  await using world = new World();
  const { backend } = await world.worker({ batchSize: 1, maxConcurrency: 1 });
  let asked = 0;
  backend.respond = (request, recorded) =>
    ++asked === 3 ? status(400, { error: "x" })(request, recorded) : serveDefault(request, recorded);
  expect((await world.post("/embeddings", { model: "test-model", input: ["ab", "cd", "ef", "gh"] })).status).toBe(400);
  const shown = await read(world);
  expect(shown.sum("nfrx_llm_model_embeddings_total")).toBe(2);
  expect(shown.sum("nfrx_llm_worker_embeddings_total")).toBe(2);
  expect(shown.sum("nfrx_model_tokens_total", { kind: "in" })).toBe(4);
  expect(shown.sum("nfrx_llm_worker_tokens_total", { kind: "in" })).toBe(4);
  expect([...world.pool.registry.workers][0]?.totals).toMatchObject({ embeddings: 2, tokensIn: 4 });
});

test("the tokens that had been reported count when an answer is given up, or is cut", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  const usage = { prompt_tokens: 7, completion_tokens: 5, total_tokens: 12 };
  const event = `data: ${JSON.stringify({ choices: [], usage })}\n\n`;
  const gate = new Gate();
  // By the client, after it has seen them.
  backend.respond = () =>
    new Response(
      new ReadableStream({
        start: controller => controller.enqueue(new TextEncoder().encode(event)),
        pull: () => gate.wait(),
      }),
      { headers: { "content-type": "text/event-stream" } },
    );
  const abort = new AbortController();
  const reader = (await world.chat({ stream: true }, { signal: abort.signal })).body?.getReader();
  await reader?.read();
  abort.abort();
  await backend.aborted(1);
  gate.open();
  // By the backend, after it has told them.
  const cutting = new Gate();
  backend.respond = cut(event, { headers: { "content-type": "text/event-stream" }, gate: cutting });
  const shortened = (await world.chat({ stream: true })).body?.getReader();
  await shortened?.read();
  cutting.open();
  while (!(await shortened?.read())?.done);
  // Before anything was told there is nothing to count.
  backend.respond = headThenSilent();
  const early = new AbortController();
  const nothing = world.chat({ stream: true }, { signal: early.signal }).catch(() => undefined);
  await backend.arrived(3);
  early.abort();
  await nothing;
  await backend.aborted(2);
  backend.respond = () => json({ usage });
  await (await world.chat()).text();
  expect(await world.leftovers()).toEqual({});
  const shown = await read(world);
  expect(shown.sum("nfrx_model_tokens_total", { kind: "in" })).toBe(21);
  expect(shown.sum("nfrx_llm_worker_tokens_total", { kind: "out" })).toBe(15);
  expect(shown.sum("nfrx_request_size_total", { size_kind: "tokens_total" })).toBe(36);
  expect([...world.pool.registry.workers][0]?.totals).toMatchObject({ tokensIn: 21, tokensOut: 15 });
});
