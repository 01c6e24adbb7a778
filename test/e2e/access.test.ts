// The access log: one line a request, whatever it was and however it ended.
import { expect, test } from "bun:test";
import { chatJson, chatStream, cut, silent, status } from "../kit/backend/backend.ts";
import { Call } from "../kit/http/call.ts";
import { Events } from "../kit/http/events.ts";
import { McpWorld, rpc } from "../kit/mcp/world.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, CLIENT_KEY, type LogLine, World } from "../kit/world.ts";

const KEY = { authorization: `Bearer ${API_KEY}` };
const USAGE = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };
const PRINT = new Bun.CryptoHasher("sha256").update(API_KEY).digest("hex").slice(0, 8);

/** The lines about requests, without what differs each time. */
function lines(world: { logs: LogLine[] }): LogLine[] {
  return world.logs.filter(({ message, fields }) => message === "request ended" && fields["route"] !== undefined);
}

/** The lines of one request, once its end has been told. */
async function about(world: World | McpWorld, id: string): Promise<LogLine> {
  const mine = (): LogLine[] => lines(world).filter(({ fields }) => fields["request_id"] === id);
  await world.when(() => mine().length > 0, `the line of ${id}`);
  expect(mine()).toHaveLength(1);
  return mine()[0]!;
}

test("a request that was served: who, what, where, how long, how much", async () => {
  await using world = new World();
  const { backend } = await world.worker({ clientId: "w" });
  backend.respond = chatJson("good day", USAGE);
  const body = JSON.stringify({ model: "test-model", messages: [{ role: "user", content: "a secret of mine" }] });
  const answer = await world.post("/chat/completions", body, { headers: { "x-request-id": "r" } });
  const text = await answer.text();
  const { level, fields } = await about(world, "r");
  const { queue_ms, first_byte_ms, duration_ms, ...rest } = fields;
  expect(level).toBe("info");
  expect(rest).toEqual({
    part: "broker",
    request_id: "r",
    trace_id: undefined,
    caller: PRINT,
    method: "POST",
    route: "/api/llm/v1/chat/completions",
    job_type: "llm.completion",
    model: "test-model",
    relay: undefined,
    call: undefined,
    worker_id: "w",
    bytes_in: body.length,
    bytes_out: text.length,
    tokens_in: 3,
    tokens_out: 2,
    retries: 0,
    status: 200,
    outcome: "ok",
    error: undefined,
    cause: undefined,
  });
  expect(queue_ms).toBeUndefined();
  expect(Number(duration_ms)).toBeGreaterThanOrEqual(Number(first_byte_ms));
  const logged = JSON.stringify(world.logs);
  for (const secret of [API_KEY, CLIENT_KEY, "secret of mine", "good day"]) expect(logged).not.toContain(secret);
});

test("a stream is told of at its end, with all its bytes and how long it waited", async () => {
  await using world = new World();
  const { backend } = await world.worker({ maxConcurrency: 1 });
  const gate = new Gate();
  backend.respond = chatStream(["one ", "two"], { gate, usage: USAGE });
  const first = world.chat({ stream: true });
  await backend.arrived(1);
  const counted = { stream: true, stream_options: { include_usage: true } };
  const second = world.chat(counted, { headers: { "x-request-id": "waited" } });
  const events = new Events(await second);
  expect((await events.next())?.event).toBe("nfrx.queue");
  expect(lines(world).filter(({ fields }) => fields["request_id"] === "waited")).toEqual([]);
  gate.open();
  await (await first).text();
  await events.all();
  const { fields } = await about(world, "waited");
  expect(fields).toMatchObject({
    status: 200,
    outcome: "ok",
    bytes_out: Buffer.byteLength(events.text),
    tokens_out: 2,
  });
  expect(Number(fields["queue_ms"])).toBeGreaterThan(0);
  expect(Number(fields["queue_ms"])).toBeLessThanOrEqual(Number(fields["duration_ms"]));
});

test("each way to fail has one line, with its word and level", async () => {
  await using world = new World();
  const { backend } = await world.worker({ clientId: "w" });
  const ask = async (id: string, extra: object = {}, init: RequestInit = {}): Promise<LogLine> => {
    const headers = { "x-request-id": id, ...init.headers };
    await world.chat({ ...extra }, { ...init, headers }).then(
      answer => answer.text().catch(() => {}),
      () => {},
    );
    return about(world, id);
  };
  const none = await ask("none", { model: "nobody's" });
  expect(none).toMatchObject({ level: "warn", fields: { status: 404, outcome: "no_worker", model: "nobody's" } });
  expect(none.fields["bytes_out"]).toBeGreaterThan(0);
  const shut = await ask("shut", {}, { headers: { authorization: "Bearer wrong" } });
  expect(shut).toMatchObject({ level: "warn", fields: { status: 401, outcome: "unauthorized", model: undefined } });
  expect(shut.fields["caller"]).not.toBe(PRINT);
  const odd = await world.post("/chat/completions", "no JSON", { headers: { "x-request-id": "odd" } });
  await odd.text();
  expect(await about(world, "odd")).toMatchObject({
    level: "warn",
    fields: { status: 400, outcome: "invalid_request" },
  });
  backend.respond = status(500, { error: "the backend's own" });
  expect(await ask("theirs")).toMatchObject({
    level: "warn",
    fields: { status: 500, outcome: "upstream_error", worker_id: "w" },
  });
  backend.respond = status(404, { error: "the backend's own" });
  expect(await ask("missing")).toMatchObject({ level: "warn", fields: { status: 404, outcome: "ok" } });
  const gate = new Gate();
  backend.respond = cut("x".repeat(100_000), { announced: 200_000, gate });
  const part = await world.chat({}, { headers: { "x-request-id": "cut" } });
  gate.open();
  await part.text().catch(() => {});
  expect(await about(world, "cut")).toMatchObject({
    level: "warn",
    fields: { outcome: "upstream_error", status: 200 },
  });
  backend.respond = silent();
  const over = new AbortController();
  const asked = ask("left", {}, { signal: over.signal });
  await backend.when(() => backend.requests.at(-1)?.headers.get("x-request-id") === "left", "the last one arrives");
  over.abort();
  expect(await asked).toMatchObject({ level: "info", fields: { outcome: "canceled", status: 499, worker_id: "w" } });
  expect(await world.leftovers()).toEqual({});
});

test("what a backend says of a request, which may repeat it, is for its client and not for the log", async () => {
  await using world = new World();
  const { backend } = await world.worker({ maxConcurrency: 1 });
  const gate = new Gate();
  backend.respond = async (request, recorded) => {
    await gate.wait(request.signal);
    return status(400, { error: { message: "I cannot read: my prompt" } })(request, recorded);
  };
  const first = world.chat();
  await backend.arrived(1);
  const second = await world.chat({ stream: true }, { headers: { "x-request-id": "told" } });
  gate.open();
  await (await first).text();
  expect(await second.text()).toContain("my prompt");
  const { fields } = await about(world, "told");
  expect(fields).toMatchObject({ outcome: "invalid_request", error: undefined });
  expect(JSON.stringify(world.logs)).not.toContain("my prompt");
});

test("every other route has its line too, by its pattern, and its id goes back to the client", async () => {
  await using world = new World({ broker: { allowedOrigins: ["https://app.example"] } });
  await world.worker();
  const ask = async (method: string, path: string, init: RequestInit = {}): Promise<LogLine> => {
    // A page would come compressed otherwise, and the bytes counted are those that were sent.
    const headers = { ...KEY, "accept-encoding": "identity", ...init.headers };
    const answer = await fetch(world.origin + path, { method, ...init, headers });
    const length = (await answer.arrayBuffer()).byteLength;
    const line = await about(world, answer.headers.get("x-request-id") ?? "");
    expect(line.fields).toMatchObject({ method, status: answer.status, bytes_out: length });
    return line;
  };
  const routes: [string, string, string][] = [
    ["GET", "/healthz", "/healthz"],
    ["GET", "/readyz", "/readyz"],
    ["GET", "/metrics", "/metrics"],
    ["GET", "/state", "/state"],
    ["GET", "/api/state", "/api/state"],
    ["GET", "/api/llm/v1/models", "/api/llm/v1/models"],
    ["GET", "/api/llm/v1/models/test-model", "/api/llm/v1/models/*model"],
    ["GET", "/api/llm/v1/models/no/such?key=1", "/api/llm/v1/models/*model"],
    ["POST", "/api/jobs", "/api/jobs"],
    ["GET", "/api/jobs/3b241101", "/api/jobs/:id"],
    ["POST", "/api/transfer", "/api/transfer"],
    ["GET", "/api/transfer/3b241101-e2bb-4255-8caf-4136c566a962", "/api/transfer/:id"],
    ["DELETE", "/api/transfer/some", "/api/transfer/:id"],
    ["GET", "/nothing/here", "-"],
    ["GET", "/api/llm/connect", "/api/llm/connect"],
  ];
  for (const [method, path, route] of routes) {
    const line = await ask(method, path, method === "POST" ? { body: "{}" } : {});
    expect(line.fields["route"]).toBe(route);
  }
  const preflight = { origin: "https://app.example", "access-control-request-method": "POST" };
  await ask("OPTIONS", "/api/llm/v1/chat/completions", { headers: preflight });
  const refused = await ask("GET", "/api/state", { headers: { authorization: "Bearer no" } });
  expect(refused).toMatchObject({ level: "warn", fields: { outcome: "unauthorized", status: 401 } });
  // The agent's own connection is one, too.
  const connected = lines(world).find(({ fields }) => fields["status"] === 101);
  expect(connected?.fields).toMatchObject({ route: "/api/llm/connect", outcome: "ok" });
  const logged = JSON.stringify(world.logs);
  for (const part of ["3b241101", "key=1", "nothing/here"]) expect(logged).not.toContain(part);
});

test("streams of the state and of jobs are told of when they end", async () => {
  await using world = new World({ broker: { jobsSseCloseDelayMs: 0 } });
  const state = await fetch(`${world.origin}/api/state/stream`, { headers: { ...KEY, "x-request-id": "state" } });
  const created = await fetch(`${world.origin}/api/jobs`, { method: "POST", body: '{"type":"t"}', headers: KEY });
  const { job_id } = (await created.json()) as { job_id: string };
  const job = `${world.origin}/api/jobs/${job_id}`;
  const events = new Events(await fetch(`${job}/events`, { headers: { ...KEY, "x-request-id": "events" } }));
  const claims = new Call(`${world.origin}/api/jobs/stream?types=none`, {
    method: "GET",
    headers: { authorization: `Bearer ${CLIENT_KEY}`, "x-request-id": "claims" },
  });
  await claims.shows("keep-alive");
  const ended = lines(world).map(({ fields }) => fields["request_id"]);
  for (const id of ["state", "events", "claims"]) expect(ended).not.toContain(id);
  await (await fetch(`${job}/cancel`, { method: "POST", headers: KEY })).text();
  await events.all();
  const told = (await about(world, "events")).fields;
  expect(told).toMatchObject({ outcome: "ok", status: 200, bytes_out: Buffer.byteLength(events.text) });
  claims.abort();
  expect((await about(world, "claims")).fields).toMatchObject({ outcome: "canceled", route: "/api/jobs/stream" });
  await state.body?.cancel();
  const listened = (await about(world, "state")).fields;
  expect(listened).toMatchObject({ outcome: "canceled", route: "/api/state/stream" });
  expect(listened["bytes_out"]).toBeGreaterThan(0);
});

test("both ends of a transfer have their line, with what passed and whose fault it was", async () => {
  await using world = new World();
  const open = async (): Promise<string> => {
    const answer = await fetch(`${world.origin}/api/transfer`, { method: "POST", headers: KEY });
    const { channel_id } = (await answer.json()) as { channel_id: string };
    return `${world.origin}/api/transfer/${channel_id}`;
  };
  const url = await open();
  const read = fetch(url, { headers: { ...KEY, "x-request-id": "reader" } });
  const write = fetch(url, { method: "POST", body: "x".repeat(1000), headers: { ...KEY, "x-request-id": "writer" } });
  expect(await (await read).text()).toHaveLength(1000);
  expect((await write).status).toBe(200);
  expect((await about(world, "reader")).fields).toMatchObject({ bytes_out: 1000, outcome: "ok", status: 200 });
  expect((await about(world, "writer")).fields).toMatchObject({ bytes_in: 1000, outcome: "ok", status: 200 });

  const other = await open();
  const writer = new Call(other, { body: "half", announced: 99, headers: { ...KEY, "x-request-id": "w2" } });
  const reader = new Call(other, { headers: { ...KEY, "x-request-id": "r2" } });
  await reader.shows("half");
  writer.abort();
  expect((await reader.answer()).complete).toBe(false);
  expect((await about(world, "w2")).fields).toMatchObject({ outcome: "canceled" });
  expect((await about(world, "r2")).fields).toMatchObject({ outcome: "transfer_failed" });
});

test("calls of MCP name relay and method", async () => {
  await using world = new McpWorld();
  await world.pair();
  await world.call(rpc(1, "tools/call"), { headers: { "X-Request-Id": "a" } });
  expect((await about(world, "a")).fields).toMatchObject({
    route: "/api/mcp/id/:id",
    relay: "tools",
    call: "tools/call",
    job_type: "mcp.call",
    outcome: "ok",
    status: 200,
  });
  await world.call(rpc(1, "tools/call"), { id: "nobody", headers: { "X-Request-Id": "b" } });
  expect(await about(world, "b")).toMatchObject({
    level: "warn",
    fields: { relay: "nobody", outcome: "provider_unavailable", status: 503 },
  });
});

test("with ACCESS_LOG=false there are no lines", async () => {
  await using world = new World({ broker: { accessLog: false } });
  await world.worker();
  await (await world.chat()).text();
  await (await world.chat({ model: "nobody's" })).text();
  await (await fetch(`${world.origin}/healthz`)).text();
  await world.when(() => world.quiet, "nothing is left");
  expect(lines(world)).toEqual([]);
});
