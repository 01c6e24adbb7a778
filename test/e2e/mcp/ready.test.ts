// A relay whose provider is not there yet, or no longer: it says so, and goes on without a hand once the provider answers.
import { expect, test } from "bun:test";
import { status } from "../../kit/backend/backend.ts";
import { headerOf, jsonOf, McpWorld, result, rpc } from "../../kit/mcp/world.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { Gate } from "../../kit/time/gate.ts";
import { until } from "../../kit/time/until.ts";

const UNAVAILABLE = { id: 1, error: { data: { mcp: "MCP_PROVIDER_UNAVAILABLE" } } };

async function expectUnavailable(world: McpWorld): Promise<void> {
  const call = await world.call(rpc(1, "tools/call"));
  expect([call.status, headerOf(call, "retry-after"), jsonOf(call)]).toMatchObject([503, "5", UNAVAILABLE]);
  const listener = await world.call(undefined, { method: "GET" });
  expect([listener.status, headerOf(listener, "retry-after")]).toEqual([503, "5"]);
}

test("not ready until the provider answers, then ready without a hand", async () => {
  await using world = new McpWorld();
  const provider = await world.provider();
  const { url } = provider;
  const { port } = provider.backend;
  await provider.backend.stop();
  const clock = new TestClock();
  const agent = await world.relay({ url }, { reconnect: true, clock });
  expect(agent.state).toBe("not_ready");
  expect((await world.state()).clients).toMatchObject([{ id: "tools", ready: false, inflight: 0 }]);
  await expectUnavailable(world);
  const back = await world.provider(port);
  await world.said("the backend is not ready");
  clock.advance(2_000);
  await world.when(() => agent.state === "connected_idle", "the relay is ready");
  await world.said("worker changed");
  expect((await world.state()).clients).toMatchObject([{ id: "tools", ready: true }]);
  expect(jsonOf(await world.call(rpc(1, "tools/call")))).toMatchObject({ result: { ok: true } });
  expect(back.requests).toHaveLength(1);
  expect(await world.leftovers()).toEqual({});
});

test("while a provider starts its relay is connected, and callers are asked to come back", async () => {
  await using world = new McpWorld();
  const provider = await world.provider();
  const gate = new Gate();
  provider.probe = async (request, recorded) => {
    await gate.wait(request.signal);
    return status(405)(request, recorded);
  };
  const clock = new TestClock();
  const agent = world.start(provider, { reconnect: true, clock });
  await provider.backend.when(() => provider.backend.requests.length > 0, "the first look");
  clock.advance(3_000);
  await world.when(() => world.relays.pool.registry.get(agent.id) !== undefined, "it is registered");
  await world.when(() => agent.state === "not_ready", "the relay is connected");
  await expectUnavailable(world);
  gate.open();
  await world.when(() => agent.state === "connected_idle", "the relay is ready");
});

test("a provider that goes away and comes back", async () => {
  await using world = new McpWorld();
  const clock = new TestClock();
  const { provider, agent } = await world.pair({ reconnect: true, clock });
  const { port } = provider.backend;
  await provider.backend.stop();
  // The call that finds out is told so; so are those after it, and nobody else's session is lost for it.
  await expectUnavailable(world);
  clock.advance(15_000);
  await world.when(() => agent.state === "not_ready", "the relay knows");
  await world.said("worker changed");
  await expectUnavailable(world);
  expect(world.relays.pool.registry.size).toBe(1);
  await world.provider(port);
  clock.advance(2_000);
  await world.when(() => agent.state === "connected_idle", "the relay is ready again");
  await world.when(() => [...world.relays.pool.registry.workers].every(({ free }) => free > 0), "the broker knows");
  expect((await world.call(rpc(1, "tools/call"))).status).toBe(200);
});

test("without --reconnect an agent whose provider is away stops, and says why", async () => {
  await using world = new McpWorld();
  const provider = await world.provider();
  const { url } = provider;
  await provider.backend.stop();
  world.start({ url });
  const reason = String(await until(world.runs[0]!, "the end of the agent"));
  expect(reason).toContain("is not ready");
  expect(reason).toContain(url);
});

test("without any way to a provider, too", async () => {
  await using world = new McpWorld();
  const provider = await world.provider();
  world.start(provider, { provider: { transportOrder: ["legacy-sse"] } });
  expect(String(await until(world.runs[0]!, "the end of the agent"))).toContain("MCP_TRANSPORT_ORDER");
});

test("what listens at the default address is not made public beside a program that does not start", async () => {
  await using world = new McpWorld();
  world.start(
    { url: "unused" },
    {
      provider: { transportOrder: ["stdio", "http", "oauth"], providerUrl: undefined, stdioCommand: "/nowhere/server" },
    },
  );
  const reason = String(await until(world.runs[0]!, "the end of the agent"));
  expect(reason).toContain("/nowhere/server");
  expect(reason).not.toContain("7777");
});

test("a look never begins a session and wants no events", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  const [look] = provider.backend.requests;
  expect(look?.method).toBe("GET");
  expect(look?.headers.get("accept")).toBe("application/json");
  expect(look?.headers.get("mcp-session-id")).toBeNull();
  expect(look?.body ?? "").toBe("");
});

for (const code of [200, 202, 400, 401, 403, 405, 406, 409, 415, 429]) {
  test(`an answer of ${code} shows that the provider is there`, async () => {
    await using world = new McpWorld();
    const provider = await world.provider();
    provider.probe = status(code);
    const agent = await world.relay(provider);
    expect(agent.state).toBe("connected_idle");
  });
}

for (const code of [307, 404, 500, 501, 503]) {
  test(`a server that answers GET with ${code} may still take calls; one that answers all so does not`, async () => {
    await using world = new McpWorld();
    const provider = await world.provider();
    provider.probe = status(code, null, { location: "http://127.0.0.1:1/mcp/" });
    provider.respond = result({ took: "it" });
    await world.relay(provider);
    expect(jsonOf(await world.call(rpc(1, "x")))).toMatchObject({ result: { took: "it" } });
    provider.respond = provider.probe;
    world.start(provider, { id: "other" });
    const reason = String(await until(world.runs[1]!, "the end of the agent"));
    expect(reason).toContain(`responds with ${code}`);
    expect(reason).toContain("http://127.0.0.1:1/mcp/");
  });
}

test("a look that is late changes nothing for the calls that run", async () => {
  await using world = new McpWorld();
  const clock = new TestClock();
  const { provider, agent } = await world.pair({ reconnect: true, clock });
  const gate = new Gate();
  provider.respond = async (request, recorded) => {
    if (!recorded.body?.includes("tools/call")) return status(503)(request, recorded);
    await gate.wait(request.signal);
    return result({ done: true })(request, recorded);
  };
  const running = world.call(rpc(1, "tools/call"));
  await provider.arrived(1);
  provider.probe = status(503);
  clock.advance(15_000);
  await world.when(() => agent.state === "not_ready", "the relay has lost sight of its provider");
  gate.open();
  expect(jsonOf(await running)).toMatchObject({ result: { done: true } });
  expect(await world.leftovers()).toEqual({});
});
