// The broker or the relay is told to end, as SIGTERM does it: nothing new, what runs finishes, listeners hold nobody up.
import { expect, test } from "bun:test";
import { bytes, headThenSilent, status } from "../../kit/backend/backend.ts";
import { call } from "../../kit/http/call.ts";
import { headerOf, jsonOf, McpWorld, RELAY, result, rpc } from "../../kit/mcp/world.ts";
import { Gate } from "../../kit/time/gate.ts";
import { until } from "../../kit/time/until.ts";

const EVENTS = { "content-type": "text/event-stream" };
const ANSWER = '{"jsonrpc":"2.0","id":5,"result":{"model":"m"}}';
const MINUTE = 60_000;

/** A tool that waits for the client's answer to something it has asked. */
async function asking(world: McpWorld) {
  const { provider, agent } = await world.pair();
  const gate = new Gate();
  provider.respond = (request, recorded) => {
    if (recorded.method === "GET") return headThenSilent()(request, recorded);
    if (recorded.body?.includes("tools/call"))
      return bytes(["data: asked\n\n", "data: done\n\n"], EVENTS, 200, gate)(request, recorded);
    gate.release();
    return status(202)(request, recorded);
  };
  const listener = world.ask();
  await listener.head();
  const running = world.ask({ body: rpc(1, "tools/call") });
  gate.release();
  await running.shows("data: asked");
  return { provider, agent, listener, running };
}

test("the broker takes nothing new, and what runs gets what it needs to finish", async () => {
  await using world = new McpWorld();
  const { provider, running, listener } = await asking(world);
  const finished = world.broker.finish(MINUTE);
  for (const [body, method] of [
    [rpc(2, "tools/call"), "POST"],
    [rpc(3, "initialize"), "POST"],
    [`[${rpc(4, "x")}]`, "POST"],
    ["not json", "POST"],
    [undefined, "GET"],
  ] as const) {
    const refused = await world.call(body, { method });
    expect([refused.status, headerOf(refused, "retry-after")]).toEqual([503, "10"]);
    expect(jsonOf(refused)).toMatchObject({ jsonrpc: "2.0", error: { data: { mcp: "MCP_PROVIDER_UNAVAILABLE" } } });
  }
  expect((await call(`${world.origin}/healthz`)).status).toBe(503);
  expect(provider.requests).toHaveLength(2);
  const refused = await call(world.connectUrl.replace("ws:", "http:"), { headers: { Upgrade: "websocket" } });
  expect([refused.status, refused.body.toString()]).toEqual([503, "draining"]);
  // The tool waits for this.
  expect((await world.call(ANSWER)).status).toBe(202);
  const answer = await running.answer();
  expect([answer.complete, answer.body.toString()]).toEqual([true, expect.stringContaining("data: done")]);
  // Who only listens is not waited for.
  expect(await until(finished, "the end of the drain")).toBeTrue();
  await world.broker.stop();
  await listener.closed();
});

test("listeners alone hold nobody up, neither the broker nor the relay", async () => {
  await using world = new McpWorld();
  const { provider, agent } = await world.pair();
  provider.respond = headThenSilent();
  const listeners = Array.from({ length: 3 }, () => world.ask());
  for (const listener of listeners) await listener.head();
  expect(await until(agent.shutdown(MINUTE), "the end of the relay")).toBeTrue();
  for (const listener of listeners) expect((await listener.answer()).complete).toBeFalse();
  expect(await until(world.broker.finish(MINUTE), "the end of the drain")).toBeTrue();
  expect(await world.leftovers()).toEqual({});
});

test("a relay that is told to end finishes what runs, and nothing new reaches it", async () => {
  await using world = new McpWorld();
  const { provider, agent } = await world.pair();
  const gate = new Gate();
  provider.respond = async (request, recorded) => {
    await gate.wait(request.signal);
    return result({ done: true })(request, recorded);
  };
  const running = world.call(rpc(1, "tools/call"));
  await provider.arrived(1);
  const ended = agent.shutdown(MINUTE);
  await world.said("worker changed");
  for (const body of [rpc(2, "tools/call"), rpc(2, "tools/list")]) {
    const refused = await world.call(body);
    expect([refused.status, headerOf(refused, "retry-after")]).toEqual([503, "5"]);
    expect(jsonOf(refused)).toMatchObject({ id: 2, error: { data: { mcp: "MCP_PROVIDER_UNAVAILABLE" } } });
  }
  gate.open();
  expect(jsonOf(await running)).toMatchObject({ result: { done: true } });
  expect(await until(ended, "the end of the relay")).toBeTrue();
  expect(provider.requests).toHaveLength(1);
  expect(await world.runs[0]).toBe("done");
  expect(await world.leftovers()).toEqual({});
});

test("a relay that is told to end still lets a tool have its client's answer", async () => {
  await using world = new McpWorld();
  const { provider, agent, running, listener } = await asking(world);
  const ended = agent.shutdown(MINUTE);
  await world.said("worker changed");
  for (const [body, method] of [
    [rpc(2, "tools/call"), "POST"],
    [`[${rpc(4, "x")}]`, "POST"],
    [undefined, "GET"],
  ] as const)
    expect((await world.call(body, { method })).status).toBe(503);
  expect(provider.requests).toHaveLength(2);
  expect((await world.call(ANSWER)).status).toBe(202);
  const answer = await running.answer();
  expect([answer.complete, answer.body.toString()]).toEqual([true, expect.stringContaining("data: done")]);
  expect(await until(ended, "the end of the relay")).toBeTrue();
  expect((await listener.answer()).complete).toBeFalse();
  expect(await world.leftovers()).toEqual({});
});

test("a relay without time cuts what runs", async () => {
  await using world = new McpWorld();
  const { provider, running, listener, agent } = await asking(world);
  expect(await agent.shutdown(0)).toBeFalse();
  for (const client of [running, listener]) expect((await client.answer()).complete).toBeFalse();
  await provider.aborted(2);
  expect(await world.leftovers()).toEqual({});
});

test("a relay that is back after its broker's restart serves at once", async () => {
  await using world = new McpWorld();
  const { agent } = await world.pair({ reconnect: true, random: () => 0 });
  const [worker] = world.relays.pool.registry.workers;
  worker?.upstream.close(1012, "the broker is shutting down");
  await world.said("not connected");
  await world.when(() => world.relays.pool.registry.get(agent.id) !== undefined, "it is back");
  expect((await world.call(rpc(1, "x"), { id: RELAY })).status).toBe(200);
});
