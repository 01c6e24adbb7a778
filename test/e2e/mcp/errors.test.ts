// What the broker itself says of a call that it cannot pass on: JSON-RPC, with the call's id and the status that fits.
import { expect, test } from "bun:test";
import { bytes, silent, status } from "../../kit/backend/backend.ts";
import { Call, type CallAnswer } from "../../kit/http/call.ts";
import { headerOf, jsonOf, McpWorld, RELAY, result, rpc } from "../../kit/mcp/world.ts";
import { HandWorker } from "../../kit/protocol/hand.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { Gate } from "../../kit/time/gate.ts";

/** What every error of the broker's own must be. */
function expectError(
  answer: CallAnswer,
  expected: { status: number; mcp: string; id?: string | number | null; retry?: boolean; code?: number },
): void {
  expect(answer.status).toBe(expected.status);
  expect(headerOf(answer, "content-type")).toBe("application/json");
  expect(headerOf(answer, "x-request-id")).toBeDefined();
  expect(headerOf(answer, "retry-after") !== undefined).toBe(expected.retry ?? false);
  expect(jsonOf(answer)).toEqual({
    jsonrpc: "2.0",
    id: expected.id ?? null,
    error: {
      code: expected.code ?? -32_000,
      message: expect.any(String),
      data: { mcp: expected.mcp, code: expect.any(String) },
    },
  });
}

test("no relay of this id", async () => {
  await using world = new McpWorld();
  const unavailable = { status: 503, mcp: "MCP_PROVIDER_UNAVAILABLE", retry: true };
  // The body of a call to nobody is not read, nor its id.
  expectError(await world.call(rpc(7, "x")), unavailable);
  expectError(await world.call(rpc("seven", "x"), { id: "other", rest: "/deep?er" }), unavailable);
  for (const method of ["GET", "DELETE", "OPTIONS"]) expectError(await world.call(undefined, { method }), unavailable);
  // An id beyond what JavaScript can say, a notification, no JSON at all.
  for (const body of ['{"id":12345678901234567890,"method":"x"}', '{"method":"n"}', "[]", "\xff{", "null", ""])
    expectError(await world.call(body), unavailable);
  expect(await world.leftovers()).toEqual({});
});

test("one call too many waits for its turn, and is turned away when that takes too long", async () => {
  const clock = new TestClock();
  await using world = new McpWorld({ clock, relays: { maxConcurrencyPerClient: 1 } });
  const { provider } = await world.pair();
  provider.respond = silent();
  const running = world.ask({ body: rpc(1, "tools/call") });
  await provider.arrived(1);
  const waiting = [2, 3].map(id => world.ask({ body: rpc(id, "tools/call") }));
  await world.said("a call waits for its relay", ({ fields }) => fields["position"] === 2);
  provider.respond = result({ ok: true });
  running.abort();
  for (const client of waiting) expect((await client.answer()).status).toBe(200);
  provider.respond = silent();
  const second = world.ask({ body: rpc(4, "tools/call") });
  await provider.arrived(4);
  const late = world.ask({ body: rpc(5, "tools/call") });
  await world.when(() => world.underway["waiting"] === 1, "it waits");
  await world.pass(30_000);
  expectError(await late.answer(), { status: 429, mcp: "MCP_LIMIT_EXCEEDED", id: 5, retry: true });
  second.abort();
  expect(await world.leftovers()).toEqual({});
});

test("one call too many; listeners, answers and notifications are none", async () => {
  await using world = new McpWorld({ relays: { queueTimeoutMs: 0 } });
  const { provider } = await world.pair();
  provider.respond = silent();
  const running = Array.from({ length: 16 }, (_, id) => world.ask({ body: rpc(id, "tools/call") }));
  const listening = Array.from({ length: 20 }, () => world.ask());
  await provider.arrived(36);
  expect(world.underway).toMatchObject({ slots: 16, slotExempt: 20 });
  const busy = { status: 429, mcp: "MCP_LIMIT_EXCEEDED", id: 17, retry: true };
  expectError(await world.call(rpc(17, "tools/call")), busy);
  // A batch may hold calls.
  expectError(await world.call(`[${rpc(17, "tools/call")}]`), { ...busy, id: null });
  // A tool that asks its client something could never end if the answer were turned away.
  provider.respond = status(202);
  for (const body of [
    '{"jsonrpc":"2.0","id":5,"result":{"model":"m"}}',
    '{"id":5,"jsonrpc":"2.0","error":{"code":1,"message":"no"}}',
    '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":3}}',
  ])
    expect((await world.call(body)).status).toBe(202);
  expect((await world.call(undefined, { method: "DELETE" })).status).toBe(202);
  running[0]?.abort();
  await provider.aborted(1);
  await world.when(() => world.underway["slots"] === 15, "a place is free");
  expect((await world.call(rpc(18, "tools/call"))).status).toBe(202);
  for (const client of [...running, ...listening]) client.abort();
  expect(await world.leftovers()).toEqual({});
});

test("the limit is each relay's own, and may be the relay's word", async () => {
  await using world = new McpWorld({ relays: { maxConcurrencyPerClient: 2, queueTimeoutMs: 0 } });
  const { provider: one } = await world.pair({ id: "one" });
  const { provider: two } = await world.pair({ id: "two", provider: { maxInflight: 1 } });
  one.respond = two.respond = silent();
  const running = ["one", "one", "two"].map(id => world.ask({ id, body: rpc(1, "tools/call") }));
  await Promise.all([one.arrived(2), two.arrived(1)]);
  const busy = { status: 429, mcp: "MCP_LIMIT_EXCEEDED", id: 2, retry: true };
  for (const id of ["one", "two"]) expectError(await world.call(rpc(2, "tools/call"), { id }), busy);
  two.respond = status(202);
  expect((await world.call('{"jsonrpc":"2.0","id":9,"result":{}}', { id: "two" })).status).toBe(202);
  for (const client of running) client.abort();
  expect(await world.leftovers()).toEqual({});
});

test("a call that is too large, announced or not", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  const large = { status: 413, mcp: "MCP_LIMIT_EXCEEDED" };
  const announced = new Call(world.url(), { body: "", announced: 11_000_000 });
  expectError(await announced.answer(), large);
  const chunked = new Call(world.url(), { body: "chunked" });
  for (let sent = 0; sent < 11; sent++) await chunked.send(Buffer.alloc(1_000_000, " "));
  expectError(await chunked.answer(), large);
  expect(provider.requests).toHaveLength(0);
  // What is just small enough passes.
  provider.respond = status(200, "ok");
  expect((await world.call(Buffer.alloc(10_485_760, " "))).status).toBe(200);
  expect(provider.requests[0]?.bodyBytes).toBe(10_485_760);
  expect(await world.leftovers()).toEqual({});
});

test("an answer that is too large: an error while that can be said, else a cut", async () => {
  await using world = new McpWorld({ relays: { maxRespBytes: 10_000 } });
  const { provider } = await world.pair();
  const upstream = { status: 502, mcp: "MCP_UPSTREAM_ERROR", id: 1 };
  for (const size of [10_001, 1_000_000]) {
    provider.respond = status(200, "x".repeat(size));
    expectError(await world.call(rpc(1, "x")), upstream);
  }
  const gate = new Gate();
  provider.respond = bytes(["x".repeat(5000), "x".repeat(5001)], {}, 200, gate);
  const client = world.ask({ body: rpc(1, "x") });
  gate.release();
  await client.received(5000);
  gate.release();
  const cut = await client.answer();
  expect([cut.status, cut.complete, cut.body.length]).toEqual([200, false, 5000]);
  provider.respond = status(200, "x".repeat(10_000));
  expect((await world.call(rpc(1, "x"))).body.length).toBe(10_000);
  expect(await world.leftovers()).toEqual({});
});

test("a relay that speaks nonsense", async () => {
  await using world = new McpWorld();
  const hand = await HandWorker.connect(world.connectUrl, { v2: true });
  hand.register({ models: [RELAY], max_concurrency: 9, open: true });
  await world.when(() => world.relays.pool.registry.size === 1, "the relay is here");
  const odd: [status: number, headers: [string, string][]][] = [
    [99, []],
    [101, []],
    [600, []],
    [200, [["bad name", "x"]]],
    [200, [["x-bad", "a\r\nset-cookie: evil=1"]]],
  ];
  for (const [n, [code, headers]] of odd.entries()) {
    const asked = world.call(rpc(n, "x"));
    const { id } = await hand.frame("head", n + 1);
    hand.answer(id, code, "{}", headers);
    const answer = await asked;
    expect(answer.status).toBe(code === 200 ? 200 : 502);
    expect(headerOf(answer, "set-cookie")).toBeUndefined();
    if (code !== 200) expectError(answer, { status: 502, mcp: "MCP_UPSTREAM_ERROR", id: n });
  }
  expect(await world.leftovers()).toEqual({});
  hand.close();
});

test("methods that MCP does not have", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  for (const method of ["PUT", "PATCH", "TRACE"]) {
    const answer = await world.call(undefined, { method });
    expect([404, 405]).toContain(answer.status);
  }
  // Bun answers it without a body, but with the length of one.
  const { status: code } = await world.ask({ method: "HEAD" }).head();
  expect(code).toBe(405);
  expect(provider.requests).toHaveLength(0);
  expect(await world.leftovers()).toEqual({});
});
