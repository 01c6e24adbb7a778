// One trace from client to backend, whatever happens on the way.
import { expect, test } from "bun:test";
import { chatJson, silent } from "../kit/backend/backend.ts";
import { type CollectedSpan, Collector } from "../kit/broker/collector.ts";
import { McpWorld, rpc } from "../kit/mcp/world.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, World } from "../kit/world.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const PARENT = "b7ad6b7169203331";
const FROM_CLIENT = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: "vendor=a:1, other=2" };
const USAGE = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };

/** What stands below what: names and kinds of spans, with how each ended. */
function shape(collector: Collector): string[] {
  return collector.tree().split("\n");
}

function named(spans: readonly CollectedSpan[], name: string): CollectedSpan {
  const span = spans.find(one => one.name === name);
  if (span === undefined) throw new Error(`no span ${name}`);
  return span;
}

/** Every span lies within its parent, as far as clocks of milliseconds can tell. */
function expectNested(spans: readonly CollectedSpan[]): void {
  const slack = 2_000_000n;
  for (const span of spans) {
    expect(span.end).toBeGreaterThanOrEqual(span.start);
    const parent = spans.find(({ spanId }) => spanId === span.parentSpanId);
    if (parent === undefined) continue;
    expect(span.start).toBeGreaterThanOrEqual(parent.start - slack);
    expect(span.end).toBeLessThanOrEqual(parent.end + slack);
  }
}

test("a request's trace goes on from its client through broker and agent to the backend", async () => {
  await using collector = new Collector();
  await using world = new World({ tracing: await collector.tracing("nfrx") });
  const { backend } = await world.worker({ clientId: "w", tracing: await collector.tracing("nfrx-llm") });
  backend.respond = chatJson("good day", USAGE);
  await (await world.chat({}, { headers: { ...FROM_CLIENT, "x-request-id": "r-1" } })).text();
  await world.when(() => world.quiet, "nothing is left");
  await collector.flush();
  const spans = collector.spans.filter(({ traceId }) => traceId === TRACE);
  expect(shape(collector).filter(line => !line.includes("connect"))).toEqual([
    "nfrx server POST /api/llm/v1/chat/completions",
    "  nfrx client attempt",
    "    nfrx-llm server POST llm",
    "      nfrx-llm client POST",
  ]);
  expect(spans).toHaveLength(4);
  expectNested(spans);
  const [server, call] = [named(spans, "POST /api/llm/v1/chat/completions"), named(spans, "POST")];
  expect(server).toMatchObject({ parentSpanId: PARENT, traceState: "vendor=a:1, other=2", failed: false });
  expect(server.attributes).toMatchObject({
    "http.request.method": "POST",
    "http.route": "/api/llm/v1/chat/completions",
    "http.response.status_code": 200,
    "gen_ai.request.model": "test-model",
    "gen_ai.usage.input_tokens": 3,
    "gen_ai.usage.output_tokens": 2,
    "nfrx.request.id": "r-1",
    "nfrx.worker.id": "w",
    "nfrx.outcome": "ok",
  });
  expect(call.attributes).toMatchObject({
    "server.address": "127.0.0.1",
    "server.port": backend.port,
    "http.response.status_code": 200,
  });
  // The backend stands below the question it was asked.
  const { headers } = backend.requests[0]!;
  expect(headers.get("traceparent")).toBe(`00-${TRACE}-${call.spanId}-01`);
  expect(headers.get("tracestate")).toBe(FROM_CLIENT.tracestate);
  expect(headers.get("x-request-id")).toBe("r-1");
  const line = world.logs.find(({ fields }) => fields["request_id"] === "r-1" && "trace_id" in fields);
  expect(line?.fields["trace_id"]).toBe(TRACE);
  // Nothing that was said, and no key.
  const sent = JSON.stringify(collector.spans, (_, value) => (typeof value === "bigint" ? String(value) : value));
  for (const secret of [API_KEY, "hello", "good day"]) expect(sent).not.toContain(secret);
});

test("a lost worker, the wait for another one and the second attempt are in one trace", async () => {
  await using collector = new Collector();
  await using world = new World({ tracing: await collector.tracing("nfrx") });
  const tracing = await collector.tracing("nfrx-llm");
  const { backend: dying, agent } = await world.worker({ clientId: "dying", maxConcurrency: 1, tracing });
  dying.respond = silent();
  const answer = world.chat();
  await dying.arrived(1);
  const busy = await world.backend();
  const gate = new Gate();
  busy.respond = async (request, recorded) => {
    await gate.wait();
    return chatJson("late", USAGE)(request, recorded);
  };
  await world.agent(busy, { clientId: "busy", maxConcurrency: 1, tracing });
  const before = world.chat({}, { headers: { "x-request-id": "before" } });
  await busy.arrived(1);
  await agent.shutdown(0);
  await world.when(() => world.pool.waiting === 1, "the first request waits for the worker that is left");
  gate.open();
  expect((await answer).status).toBe(200);
  await (await before).text();
  await world.when(() => world.quiet, "nothing is left");
  await collector.flush();
  const traces = Map.groupBy(
    collector.spans.filter(({ name }) => !name.includes("connect")),
    ({ traceId }) => traceId,
  );
  expect([...traces.values()].map(spans => spans.length).sort()).toEqual([4, 8]);
  const lines = shape(collector);
  const at = lines.findIndex((line, i) => line.startsWith("nfrx server POST") && lines[i + 1]?.includes("FAILED"));
  expect(lines.slice(at, at + 8)).toEqual([
    "nfrx server POST /api/llm/v1/chat/completions",
    "  nfrx client attempt FAILED",
    "    nfrx-llm server POST llm FAILED",
    "      nfrx-llm client POST FAILED",
    "  nfrx internal queue",
    "  nfrx client attempt",
    "    nfrx-llm server POST llm",
    "      nfrx-llm client POST",
  ]);
  const whole = [...traces.values()].find(spans => spans.length === 8) ?? [];
  expectNested(whole.filter(({ failed }) => !failed));
  const attempts = whole.filter(({ name }) => name === "attempt").map(({ attributes }) => attributes);
  expect(attempts).toMatchObject([
    { "nfrx.worker.id": "dying", "error.type": "link_lost" },
    { "nfrx.worker.id": "busy" },
  ]);
  const server = named(whole, "POST /api/llm/v1/chat/completions");
  expect(server.attributes).toMatchObject({ "nfrx.worker.id": "busy", "nfrx.retries": 1, "nfrx.outcome": "ok" });
});

test("what its callers do wrong is no error of the server, and what fails at the backend is", async () => {
  await using collector = new Collector();
  await using world = new World({ tracing: await collector.tracing("nfrx") });
  const { backend } = await world.worker();
  await (await world.chat({ model: "nobody's" })).text();
  await backend.stop();
  await (await world.chat()).text();
  await world.when(() => world.quiet, "nothing is left");
  await collector.flush();
  const servers = collector.spans.filter(({ name }) => name.startsWith("POST /api"));
  expect(servers.map(({ failed, attributes }) => [failed, attributes["error.type"]])).toEqual([
    [false, "no_worker"],
    [true, "upstream_error"],
  ]);
});

test.each([
  ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331", "cut off"],
  ["00-00000000000000000000000000000000-b7ad6b7169203331-01", "a trace of zeros"],
  ["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "a parent of zeros"],
  ["ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "no version"],
  ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", "too much for its version"],
  ["00-0AF7651916CD43DD8448EB211C80319C-B7AD6B7169203331-01", "in capitals"],
])("a malformed traceparent, %s (%s), begins a new trace", async traceparent => {
  await using collector = new Collector();
  await using world = new World({ tracing: await collector.tracing("nfrx") });
  const { backend } = await world.worker();
  await (await world.chat({}, { headers: { traceparent, tracestate: "vendor=1" } })).text();
  await collector.flush();
  const server = named(collector.spans, "POST /api/llm/v1/chat/completions");
  expect(server.parentSpanId).toBeUndefined();
  expect(server.traceId).not.toBe(TRACE);
  const passed = backend.requests[0]?.headers;
  expect(passed?.get("traceparent")).toStartWith(`00-${server.traceId}-`);
  expect(passed?.get("tracestate")).toBeNull();
});

test("whether a trace is recorded its beginning decides", async () => {
  await using collector = new Collector();
  const tracing = await collector.tracing("nfrx", { ratio: 0 });
  await using world = new World({ tracing });
  const { backend } = await world.worker({ tracing: await collector.tracing("nfrx-llm") });
  const passed = async (headers: Record<string, string>): Promise<string | null | undefined> => {
    await (await world.chat({}, { headers })).text();
    return backend.requests.at(-1)?.headers.get("traceparent");
  };
  // Begun here, and not recorded: the backend hears that too, so that it records no half of a trace.
  expect(await passed({})).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  // The caller has decided.
  const unrecorded = `00-${TRACE}-${PARENT}-00`;
  expect(await passed({ traceparent: unrecorded })).toBe(unrecorded);
  await collector.flush();
  expect(collector.spans).toEqual([]);
  expect(await passed(FROM_CLIENT)).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`));
  await world.when(() => world.quiet, "nothing is left");
  await collector.flush();
  expect(collector.spans).toHaveLength(4);
});

test("without traces the caller's headers pass as they are, and none are made", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  const odd = { traceparent: "not one at all", tracestate: "x".repeat(600) };
  await (await world.chat({}, { headers: odd })).text();
  await (await world.chat()).text();
  const [first, second] = backend.requests;
  expect([first?.headers.get("traceparent"), first?.headers.get("tracestate")]).toEqual([
    odd.traceparent,
    odd.tracestate,
  ]);
  expect(second?.headers.get("traceparent")).toBeNull();
  const metrics = await (await fetch(`${world.origin}/metrics`)).text();
  const spans = [...metrics.matchAll(/^nfrx_trace_spans_total\{.*\} (\d+)$/gm)].map(([, value]) => value);
  expect(spans).toEqual(["0", "0", "0"]);
});

test.each([false, true])("an agent of the other maker gets the trace as a header (v2: %p)", async v2 => {
  await using collector = new Collector();
  await using world = new World({ tracing: await collector.tracing("nfrx") });
  const worker = await HandWorker.connect(world.connectUrl, { v2 });
  worker.register();
  await world.when(() => world.pool.registry.size === 1, "it is registered");
  const over = new AbortController();
  const asked = world.chat({}, { headers: FROM_CLIENT, signal: over.signal }).catch(() => {});
  const headers = v2
    ? (await worker.frame("head")).head?.headers
    : Object.entries((await worker.message("http_proxy_request"))["headers"] ?? {});
  over.abort();
  await asked;
  await world.when(() => world.quiet, "nothing is left");
  await collector.flush();
  const attempt = named(collector.spans, "attempt");
  const given = headers?.filter(([name]) => name.toLowerCase().startsWith("trace"));
  expect(given).toEqual([
    ["traceparent", `00-${TRACE}-${attempt.spanId}-01`],
    ["tracestate", FROM_CLIENT.tracestate],
  ]);
  expect(named(collector.spans, "POST /api/llm/v1/chat/completions").attributes).toMatchObject({
    "nfrx.outcome": "canceled",
    "http.response.status_code": 499,
  });
  worker.close();
});

test("a call of MCP is traced to its provider", async () => {
  await using collector = new Collector();
  await using world = new McpWorld({ tracing: await collector.tracing("nfrx") });
  const { provider } = await world.pair({ tracing: await collector.tracing("nfrx-mcp") });
  await world.call(rpc(1, "tools/call"), { headers: FROM_CLIENT });
  await collector.flush();
  expect(shape(collector).filter(line => !line.includes("connect"))).toEqual([
    "nfrx server POST /api/mcp/id/:id",
    "  nfrx client attempt",
    "    nfrx-mcp server POST mcp",
    "      nfrx-mcp client POST",
  ]);
  const call = named(collector.spans, "POST");
  expect(provider.requests[0]?.headers.get("traceparent")).toBe(`00-${TRACE}-${call.spanId}-01`);
  const { attributes } = named(collector.spans, "POST /api/mcp/id/:id");
  expect(attributes).toMatchObject({ "mcp.method.name": "tools/call", "nfrx.relay": "tools", "nfrx.outcome": "ok" });
});

test("jobs, transfers and lists of models have a span; what looks at the broker has none", async () => {
  await using collector = new Collector();
  await using world = new World({ tracing: await collector.tracing("nfrx") });
  const headers = { authorization: `Bearer ${API_KEY}` };
  const ask = async (method: string, path: string): Promise<void> => {
    await (await fetch(world.origin + path, { method, headers, ...(method === "POST" && { body: "{}" }) })).text();
  };
  await ask("POST", "/api/jobs");
  await ask("POST", "/api/transfer");
  await ask("GET", "/api/llm/v1/models");
  for (const path of ["/healthz", "/readyz", "/metrics", "/state", "/api/state"]) await ask("GET", path);
  await collector.flush();
  expect(collector.spans.map(({ name, attributes }) => [name, attributes["http.response.status_code"]])).toEqual([
    ["POST /api/jobs", 400],
    ["POST /api/transfer", 200],
    ["GET /api/llm/v1/models", 200],
  ]);
});

test("a split request has an attempt for each part", async () => {
  await using collector = new Collector();
  await using world = new World({ tracing: await collector.tracing("nfrx") });
  await world.worker({ clientId: "a", batchSize: 2 });
  await world.worker({ clientId: "b", batchSize: 2 });
  const answer = await world.post("/embeddings", { model: "test-model", input: ["1", "2", "3", "4"] });
  expect(answer.status).toBe(200);
  await answer.text();
  await world.when(() => world.quiet, "nothing is left");
  await collector.flush();
  const attempts = collector.spans.filter(({ name }) => name === "attempt");
  const server = named(collector.spans, "POST /api/llm/v1/embeddings");
  expect(attempts.map(({ parentSpanId, failed }) => [parentSpanId, failed])).toEqual([
    [server.spanId, false],
    [server.spanId, false],
  ]);
  expect(String(server.attributes["nfrx.worker.id"]).split(",").sort()).toEqual(["a", "b"]);
});
