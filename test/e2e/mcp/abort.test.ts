// The client of a relay goes away: its request at the provider ends, and nothing is left. Who stays is waited for.
import { expect, test } from "bun:test";
import { bytes, headThenSilent, silent } from "../../kit/backend/backend.ts";
import { Call } from "../../kit/http/call.ts";
import { type McpProvider, McpWorld, result, rpc } from "../../kit/mcp/world.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { Gate } from "../../kit/time/gate.ts";

const EVENTS = { "content-type": "text/event-stream" };

async function expectOver(world: McpWorld, provider: McpProvider): Promise<void> {
  await provider.aborted(1);
  expect(await world.leftovers()).toEqual({});
  provider.respond = result({ next: true });
  expect((await world.call(rpc(2, "x"))).body.toString()).toContain('"next":true');
  expect(await world.leftovers()).toEqual({});
}

for (const method of ["POST", "GET", "DELETE"]) {
  const init = method === "POST" ? { body: rpc(1, "x") } : { method };

  test(`${method}: before the provider answers`, async () => {
    await using world = new McpWorld();
    const { provider } = await world.pair();
    provider.respond = silent();
    const client = world.ask(init);
    await provider.arrived(1);
    client.abort();
    await expectOver(world, provider);
  });

  test(`${method}: after the head`, async () => {
    await using world = new McpWorld();
    const { provider } = await world.pair();
    provider.respond = headThenSilent();
    const client = world.ask(init);
    await client.head();
    client.abort();
    await expectOver(world, provider);
  });

  test(`${method}: in the middle of events`, async () => {
    await using world = new McpWorld();
    const { provider } = await world.pair();
    const gate = new Gate();
    gate.release();
    provider.respond = bytes(["data: 1\n\n", "data: 2\n\n"], EVENTS, 200, gate);
    const client = world.ask(init);
    await client.shows("data: 1");
    client.abort();
    await expectOver(world, provider);
  });
}

test("while it still sends its call: the provider never hears of it", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  for (const body of ["chunked", '{"jsonrpc":'] as const) {
    const half = new Call(world.url(), { body, announced: 1000 });
    if (body === "chunked") await half.send('{"jsonrpc":');
    await world.when(() => world.underway["drainable"] === 1, "the request is read");
    half.abort();
    expect(await world.leftovers()).toEqual({});
  }
  expect(provider.requests).toHaveLength(0);
});

test("a client that went away is no failure of the relay", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  provider.respond = silent();
  const client = world.ask({ body: rpc(1, "tools/call") });
  await provider.arrived(1);
  client.abort();
  await provider.aborted(1);
  expect(await world.leftovers()).toEqual({});
  expect(await world.metrics("nfrx_request_completed_total")).toEqual([
    'nfrx_request_completed_total{ext="mcp",plugin_type="tunnel",job_type="mcp.call",label="tools/call",success="false",error_code="canceled"} 1',
  ]);
  expect(world.relays.pool.totals).toMatchObject({ failed: 0 });
});

test("a tool that is silent for five hours is not cut, nor is one that is silent after its head", async () => {
  await using world = new McpWorld({ clock: new TestClock(), broker: { requestTimeoutMs: 120_000 } });
  const { provider } = await world.pair();
  const gate = new Gate();
  provider.respond = async (request, recorded) => {
    if (recorded.body?.includes('"id":2'))
      return bytes(['data: {"late":true}\n\n'], EVENTS, 200, gate)(request, recorded);
    await gate.wait(request.signal);
    return result({ slow: true })(request, recorded);
  };
  const json = world.ask({ body: rpc(1, "tools/call") });
  await provider.arrived(1);
  const events = world.ask({ body: rpc(2, "tools/call") });
  await events.head();
  await world.pass(5 * 3_600_000);
  expect(world.underway).toMatchObject({ slots: 2, streams: 2 });
  gate.open();
  const answers = await Promise.all([json.answer(), events.answer()]);
  expect(answers.map(({ status, complete }) => [status, complete])).toEqual([
    [200, true],
    [200, true],
  ]);
  expect(answers[0]?.body.toString()).toBe('{"jsonrpc":"2.0","id":1,"result":{"slow":true}}');
  expect(answers[1]?.body.toString()).toEndWith('data: {"late":true}\n\n');
  expect(provider.requests).toHaveLength(2);
  expect(await world.leftovers()).toEqual({});
});
