// A call is never sent twice: what may have happened once must not happen again.
import { expect, test } from "bun:test";
import { type RawExchange, silent, startRawBackend, status } from "../../kit/backend/backend.ts";
import { headerOf, jsonOf, McpWorld, RELAY, rpc } from "../../kit/mcp/world.ts";
import { HandWorker } from "../../kit/protocol/hand.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { Gate } from "../../kit/time/gate.ts";

/** A call that failed between broker and provider. */
const FAILED = (id: number) => ({ jsonrpc: "2.0", id, error: { code: -32_000, data: { mcp: "MCP_UPSTREAM_ERROR" } } });

async function rawRelay(world: McpWorld, handler: (exchange: RawExchange) => void | Promise<void>) {
  const raw = await startRawBackend(async exchange => {
    if (exchange.head.startsWith("GET")) {
      await exchange.write("HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n");
      return;
    }
    await handler(exchange);
  });
  await world.relay({ url: raw.url });
  return {
    posts: () => raw.exchanges.filter(({ head }) => head.startsWith("POST")).length,
    [Symbol.asyncDispose]: () => raw.stop(),
  };
}

for (const [what, reply] of [
  ["drops the connection without a word", undefined],
  ["drops it in the middle of the head", "HTTP/1.1 200 OK\r\nContent-Ty"],
  ["speaks no HTTP", "\x16\x03\x01\x02\x00"],
] as const) {
  test(`a provider that ${what}`, async () => {
    await using world = new McpWorld();
    await using provider = await rawRelay(world, async exchange => {
      if (reply !== undefined) await exchange.write(reply);
      exchange.destroy();
    });
    for (let id = 1; id <= 5; id++) {
      const answer = await world.call(rpc(id, "tools/call"));
      expect(answer.status).toBe(502);
      expect(jsonOf(answer)).toMatchObject(FAILED(id));
      expect(headerOf(answer, "content-type")).toBe("application/json");
    }
    expect(provider.posts()).toBe(5);
    expect(await world.leftovers()).toEqual({});
  });
}

test("a provider that answers, keeps the connection, and closes it as soon as it is used again", async () => {
  await using world = new McpWorld();
  const seen = new Map<Promise<void>, number>();
  await using provider = await rawRelay(world, async exchange => {
    const before = seen.get(exchange.closed) ?? 0;
    seen.set(exchange.closed, before + 1);
    if (before > 0) return exchange.destroy();
    await exchange.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
  });
  for (let id = 1; id <= 10; id++) expect((await world.call(rpc(id, "tools/call"))).status).toBe(200);
  expect(provider.posts()).toBe(10);
});

test("a provider that is gone by then", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  await provider.backend.stop();
  const answer = await world.call(rpc(7, "tools/call"));
  expect([answer.status, headerOf(answer, "retry-after")]).toEqual([503, "5"]);
  expect(jsonOf(answer)).toMatchObject({ id: 7, error: { data: { mcp: "MCP_PROVIDER_UNAVAILABLE" } } });
  expect(await world.leftovers()).toEqual({});
});

test("a relay that is lost while its provider works", async () => {
  await using world = new McpWorld();
  const { provider, agent } = await world.pair({ provider: { replicas: true } });
  const other = await world.provider();
  const gate = new Gate();
  provider.respond = async request => {
    await gate.wait(request.signal);
    return new Response();
  };
  const calls = [world.call(rpc(1, "tools/call")), world.call(rpc(2, "tools/list"))];
  await provider.arrived(2);
  // Another relay could take them, and must not.
  await world.relay(other, { provider: { replicas: true } });
  await agent.shutdown(0);
  for (const [at, call] of calls.entries()) {
    const answer = await call;
    expect([answer.status, headerOf(answer, "retry-after")]).toEqual([502, "5"]);
    expect(jsonOf(answer)).toMatchObject(FAILED(at + 1));
  }
  expect([provider.requests.length, other.requests.length]).toEqual([2, 0]);
  // What comes now goes there.
  expect((await world.call(rpc(3, "tools/list"))).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("a relay that falls silent is given up after BROKER_WS_DEAD_AFTER_MS, and its calls with it", async () => {
  const clock = new TestClock();
  await using world = new McpWorld({ clock, relays: { wsHeartbeatMs: 20_000, wsDeadAfterMs: 90_000 } });
  const { provider } = await world.pair();
  provider.respond = silent();
  const running = world.call(rpc(1, "tools/call"));
  await provider.arrived(1);
  const [worker] = world.relays.pool.registry.workers;
  // It has no time to answer the pings: long before it is given up it gets nothing new.
  clock.advance(85_000);
  expect([worker?.gone, worker?.upstream.routable]).toEqual([false, false]);
  clock.advance(10_000);
  expect(worker?.gone).toBeTrue();
  const answer = await running;
  expect([answer.status, headerOf(answer, "retry-after")]).toEqual([502, "5"]);
  expect(jsonOf(answer)).toMatchObject(FAILED(1));
  expect(await world.leftovers()).toEqual({});
});

test("a relay that refuses a call it has not begun", async () => {
  await using world = new McpWorld();
  const hand = await HandWorker.connect(world.connectUrl, { v2: true });
  hand.register({ models: [RELAY], max_concurrency: 9, open: true, agent_config: { mcp_replicas: "true" } });
  await world.when(() => world.relays.pool.registry.size === 1, "the relay is here");
  const other = await world.provider();
  await world.relay(other, { provider: { replicas: true } });
  const calls = Promise.all([world.call(rpc(1, "a")), world.call(rpc(1, "a"))]);
  const { id } = await hand.frame("head");
  hand.put(batch => batch.putReset(id, "refused", "draining"));
  const answers = await calls;
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 503]);
  const refused = answers.find(({ status }) => status === 503);
  expect(jsonOf(refused!)).toMatchObject({ id: 1, error: { data: { mcp: "MCP_PROVIDER_UNAVAILABLE" } } });
  expect(headerOf(refused!, "retry-after")).toBe("5");
  expect(other.requests).toHaveLength(1);
  hand.close();
});

test("a large call, whose body does not come at once", async () => {
  await using world = new McpWorld();
  const { provider, agent } = await world.pair({ provider: { replicas: true } });
  const other = await world.provider();
  await world.relay(other, { provider: { replicas: true } });
  const body = rpc(1, "tools/call", { text: "x".repeat(9 * 1024 * 1024) });
  other.respond = status(200);
  const client = world.ask({ body: "chunked" });
  await client.send(body.slice(0, 5_000_000));
  await agent.shutdown(0);
  await client.send(body.slice(5_000_000));
  await client.finish();
  expect((await client.answer()).status).toBe(200);
  expect([provider.requests.length, other.requests.length]).toEqual([0, 1]);
  expect(await world.leftovers()).toEqual({});
});
