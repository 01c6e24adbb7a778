// Under which id a relay is reached: its own, one at a time, and at once when it comes back.
import { expect, test } from "bun:test";
import { HOLDER_MS } from "../../../src/protocol/limits.ts";
import { pinged, rawUpgrade, textFrame } from "../../kit/http/raw-socket.ts";
import { jsonOf, McpWorld, RELAY, result, rpc } from "../../kit/mcp/world.ts";
import { HandWorker } from "../../kit/protocol/hand.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { Gate } from "../../kit/time/gate.ts";
import { until } from "../../kit/time/until.ts";
import { API_KEY, CLIENT_KEY, type LogLine } from "../../kit/world.ts";

/** Whom a call reaches, as the providers say it. */
async function reached(world: McpWorld, id = RELAY): Promise<unknown> {
  const answer = jsonOf(await world.call(rpc(1, "x"), { id }));
  return typeof answer === "object" && answer !== null && "result" in answer ? answer.result : answer;
}

test("an id in use is refused, and the agent says so and stops", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  provider.respond = result({ from: "first" });
  const second = await world.provider();
  world.start(second);
  const reason = await until(world.runs[1]!, "the end of the second agent");
  expect(String(reason)).toContain("1008 id in use");
  expect(await reached(world)).toEqual({ from: "first" });
  expect(second.requests).toHaveLength(0);
  expect(await world.said("agent rejected")).toMatchObject({ level: "warn", fields: { reason: "id in use" } });
});

test("one that drains leaves its id to the next, and its calls end at it", async () => {
  await using world = new McpWorld();
  const { provider, agent } = await world.pair();
  const gate = new Gate();
  provider.respond = async (request, recorded) => {
    await gate.wait(request.signal);
    return result({ from: "first" })(request, recorded);
  };
  const held = world.call(rpc(1, "x"));
  await provider.arrived(1);
  const ending = agent.shutdown(Number.POSITIVE_INFINITY);
  await world.when(() => [...world.relays.pool.registry.workers].every(worker => worker.draining), "it drains");
  const second = await world.provider();
  second.respond = result({ from: "second" });
  world.start(second);
  await world.when(() => world.relays.pool.registry.size === 2, "the next is there");
  expect(await reached(world)).toEqual({ from: "second" });
  gate.open();
  expect(jsonOf(await held)).toMatchObject({ result: { from: "first" } });
  expect(await ending).toBe(true);
});

test("with --reconnect it says so once and tries again every five minutes, and gets the id once it is free", async () => {
  await using world = new McpWorld();
  const { provider, agent: first } = await world.pair();
  provider.respond = result({ from: "first" });
  const other = await world.provider();
  other.respond = result({ from: "second" });
  const clock = new TestClock();
  const second = world.start(other, { reconnect: true, clock, random: () => 0.5 });
  const refusals = (): LogLine[] => world.logs.filter(({ message }) => message.startsWith("rejected by the broker"));
  for (let n = 1; n <= 3; n++) {
    await world.when(() => refusals().length === n, `attempt ${n} is refused`);
    expect(await reached(world)).toEqual({ from: "first" });
    expect(second.state).toBe("error");
    clock.advance(299_999);
    expect(world.logs.filter(({ message }) => message === "agent rejected")).toHaveLength(n);
    clock.advance(1);
  }
  expect(refusals().map(({ level }) => level)).toEqual(["error", "debug", "debug"]);
  expect(refusals()[0]?.fields["reason"]).toContain("id in use");
  await world.when(() => refusals().length === 4, "the fourth attempt is refused");
  await first.shutdown(0);
  clock.advance(300_000);
  await world.when(() => world.relays.pool.registry.get(second.id) !== undefined, "the second is registered");
  expect(await reached(world)).toEqual({ from: "second" });
});

test("a relay whose connection is lost takes its place back at once", async () => {
  await using world = new McpWorld();
  const clock = new TestClock();
  const { agent } = await world.pair({ reconnect: true, clock });
  const before = world.relays.pool.registry.get(agent.id);
  before?.upstream.close(4000, "lost");
  const lost = jsonOf(await world.call(rpc(1, "x")));
  expect(lost).toMatchObject({ error: { data: { mcp: "MCP_PROVIDER_UNAVAILABLE" } } });
  await world.said("not connected");
  clock.advance(2_000);
  await world.when(() => world.relays.pool.registry.get(agent.id) !== undefined, "it is back");
  expect(await reached(world)).toEqual({ ok: true });
});

for (const v2 of [true, false])
  test(`one that comes back while its old connection does not answer pushes that aside (${v2 ? "v2" : "v1"})`, async () => {
    const clock = new TestClock();
    await using world = new McpWorld({ clock });
    const headers = { authorization: `Bearer ${CLIENT_KEY}`, ...(v2 && { "sec-websocket-protocol": "nfrx.v2" }) };
    const old = await rawUpgrade(Number(new URL(world.connectUrl).port), "/api/mcp/connect", headers);
    const register = { type: "register", worker_id: "w", models: [RELAY], max_concurrency: 9, open: true };
    await old.write(textFrame(v2 ? register : { id: RELAY }));
    await world.when(() => world.relays.pool.registry.size === 1, "the first connection");
    const before = old.bytesIn;
    const lost = world.call(rpc(1, "x"), { headers: { "X-Api-Key": API_KEY } });
    await old.when(() => old.bytesIn > before, "the call");
    const back = await HandWorker.connect(world.connectUrl, { v2: true });
    back.register({ models: [RELAY], max_concurrency: 9, open: true, worker_id: "w" });
    await pinged(old);
    clock.advance(HOLDER_MS);
    await old.when(() => old.closed, "the old one's end");
    expect((await lost).status).toBe(502);
    const asked = world.call(rpc(2, "x"));
    back.answer((await back.frame("head")).id, 200, "back");
    expect((await asked).body.toString()).toBe("back");
    // The one that is there answers: nobody else gets its id.
    for (const worker_id of ["w", "other", "", undefined]) {
      const other = await HandWorker.connect(world.connectUrl, { v2: true });
      other.register({ models: [RELAY], max_concurrency: 9, open: true, worker_id });
      expect(await other.end()).toEqual({ code: 1008, reason: "id in use" });
    }
    back.close();
  });

test("a relay keeps the id that it was let in with, whatever it says later", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  provider.respond = result({ from: "first" });
  const thief = await HandWorker.connect(world.connectUrl, { v2: true });
  thief.register({ worker_id: "thief", models: ["thief"], max_concurrency: 9, open: true });
  await world.when(() => world.relays.pool.registry.size === 2, "both are registered");
  thief.send({ type: "status_update", max_concurrency: 9, models: [RELAY, "thief"], status: "idle" });
  await thief.handled();
  for (let n = 0; n < 5; n++) expect(await reached(world)).toEqual({ from: "first" });
  expect(thief.frames.filter(({ kind }) => kind === "head")).toHaveLength(0);
  const asked = world.call(rpc(1, "x"), { id: "thief" });
  thief.answer((await thief.frame("head")).id, 200, "thief");
  expect((await asked).body.toString()).toBe("thief");
  thief.close();
});

test("without an id a relay gets one, and says which", async () => {
  await using world = new McpWorld();
  for (const id of [undefined, ""]) {
    const { agent } = await world.pair({ id });
    const [given = ""] = world.relays.pool.registry.get(agent.id)?.models ?? [];
    expect(given).toMatch(/^[\w-]{36}$/);
    expect(await reached(world, given)).toEqual({ ok: true });
    const said = world.logs.filter(({ fields }) => fields["part"] === "agent" && fields["id"] === given);
    expect(said).toMatchObject([{ level: "info" }]);
  }
});

test("odd ids are refused", async () => {
  await using world = new McpWorld();
  const provider = await world.provider();
  for (const id of ["a b", "a/b", "..%2F", "ä", "a".repeat(129), "a:b", "connect/x"]) {
    const before = world.runs.length;
    world.start(provider, { id });
    const reason = await until(world.runs[before]!, `the end of ${id}`);
    expect(String(reason)).toContain("1008 the ID must have 1 to 128 letters, digits");
  }
  for (const models of [[], ["a", "b"], undefined]) {
    const hand = await HandWorker.connect(world.connectUrl, { v2: true });
    hand.register({ models });
    expect(await hand.end()).toEqual({ code: 1008, reason: "expected register" });
  }
  expect(world.relays.pool.registry.size).toBe(0);
});

test("ids with every character that is allowed", async () => {
  await using world = new McpWorld();
  const id = "A-z_0.9~x";
  const { provider } = await world.pair({ id });
  provider.respond = result({ here: true });
  expect(await reached(world, id)).toEqual({ here: true });
  expect(await reached(world, "%41-z_0.9%7Ex")).toEqual({ here: true });
  expect(await reached(world, "a-z_0.9~x")).toMatchObject({ error: { data: { mcp: "MCP_PROVIDER_UNAVAILABLE" } } });
});

test("a relay needs the agents' key", async () => {
  await using world = new McpWorld();
  const provider = await world.provider();
  world.start(provider, { clientKey: "wrong" });
  expect(String(await until(world.runs[0]!, "the end of the agent"))).toContain("rejected the key (CLIENT_KEY)");
  expect(world.relays.pool.registry.size).toBe(0);
});
