// Several relays under one id: sessions stay where they began, all else goes to the one with the least to do.
import { expect, test } from "bun:test";
import { silent, status } from "../../kit/backend/backend.ts";
import { headerOf, jsonOf, type McpProvider, McpWorld, type RelayOptions, rpc } from "../../kit/mcp/world.ts";

const REPLICA: RelayOptions = { provider: { replicas: true } };

/** A server that names itself, and knows only its own sessions. */
function named(provider: McpProvider, name: string): McpProvider {
  provider.respond = (request, recorded) => {
    const session = recorded.headers.get("mcp-session-id");
    if (session !== null && !session.startsWith(name)) return status(404, "not mine")(request, recorded);
    const headers = { "mcp-session-id": session ?? `${name}-${crypto.randomUUID()}` };
    return status(200, `from ${name}`, headers)(request, recorded);
  };
  return provider;
}

async function replicas(world: McpWorld, names: readonly string[]) {
  const pairs = [];
  for (const name of names) {
    const { provider, agent } = await world.pair(REPLICA);
    pairs.push({ name, agent, provider: named(provider, name) });
  }
  return pairs;
}

const sessionOf = async (world: McpWorld): Promise<string> =>
  headerOf(await world.call(rpc(1, "initialize")), "mcp-session-id") ?? "";

const inSession = (world: McpWorld, session: string, method = "POST") =>
  world.call(method === "POST" ? rpc(2, "tools/call") : undefined, { method, headers: { "Mcp-Session-Id": session } });

test("new sessions are spread, and each stays with its relay", async () => {
  await using world = new McpWorld();
  const pairs = await replicas(world, ["a", "b", "c"]);
  const sessions = [];
  for (let n = 0; n < 9; n++) sessions.push(await sessionOf(world));
  expect(pairs.map(({ provider }) => provider.requests.length)).toEqual([3, 3, 3]);
  for (const session of [...sessions, ...sessions.reverse()])
    for (const method of ["POST", "GET"]) {
      const answer = await inSession(world, session, method);
      expect(answer.status).toBe(200);
      expect(headerOf(answer, "mcp-session-id")).toBe(session);
    }
  expect(await world.leftovers()).toEqual({});
});

test("what has no session goes to the one with the least to do", async () => {
  await using world = new McpWorld({ relays: { maxConcurrencyPerClient: 3, queueTimeoutMs: 0 } });
  const [a, b] = await replicas(world, ["a", "b"]);
  a!.provider.respond = b!.provider.respond = silent();
  const running = Array.from({ length: 6 }, (_, id) => world.ask({ body: rpc(id, "tools/call") }));
  await Promise.all([a!.provider.arrived(3), b!.provider.arrived(3)]);
  // Only when all of them are busy it is too much.
  expect((await world.call(rpc(7, "tools/call"))).status).toBe(429);
  for (const client of running) client.abort();
  expect(await world.leftovers()).toEqual({});
});

test("a session whose relay is busy is not taken elsewhere", async () => {
  await using world = new McpWorld({ relays: { maxConcurrencyPerClient: 1, queueTimeoutMs: 0 } });
  const pairs = await replicas(world, ["a", "b"]);
  const session = await sessionOf(world);
  const home = pairs.find(({ name }) => session.startsWith(name))!;
  home.provider.respond = silent();
  const running = world.ask({ body: rpc(9, "tools/call"), headers: { "Mcp-Session-Id": session } });
  await home.provider.arrived(2);
  const busy = await inSession(world, session);
  expect([busy.status, jsonOf(busy)]).toMatchObject([429, { error: { data: { mcp: "MCP_LIMIT_EXCEEDED" } } }]);
  running.abort();
  expect(await world.leftovers()).toEqual({});
});

test("one that dies takes its sessions along; the others and new ones go on", async () => {
  await using world = new McpWorld();
  const [a, b] = await replicas(world, ["a", "b"]);
  const first = await sessionOf(world);
  const second = await sessionOf(world);
  const [ofA, ofB] = first.startsWith("a") ? [first, second] : [second, first];
  await a!.agent.shutdown(0);
  const lost = await inSession(world, ofA);
  expect([lost.status, lost.body.toString()]).toEqual([404, "not mine"]);
  expect((await inSession(world, ofB)).status).toBe(200);
  const fresh = await sessionOf(world);
  expect(fresh).toStartWith("b");
  expect((await inSession(world, fresh)).status).toBe(200);
  // One more joins and takes its part.
  const [c] = await replicas(world, ["c"]);
  const spread = new Set([await sessionOf(world), await sessionOf(world)].map(session => session[0]));
  expect(spread).toEqual(new Set(["b", "c"]));
  expect(c!.provider.requests).toHaveLength(1);
  expect(b!.provider.requests.length).toBeGreaterThan(0);
  expect(await world.leftovers()).toEqual({});
});

test("one that drains keeps its sessions to itself until it is gone", async () => {
  await using world = new McpWorld();
  const pairs = await replicas(world, ["a", "b"]);
  const session = await sessionOf(world);
  const home = pairs.find(({ name }) => session.startsWith(name))!;
  home.provider.respond = silent();
  const running = world.ask({ body: rpc(9, "tools/call"), headers: { "Mcp-Session-Id": session } });
  await home.provider.arrived(2);
  const ended = home.agent.shutdown(60_000);
  await world.said("worker changed");
  const refused = await inSession(world, session);
  expect(refused.status).toBe(503);
  expect(headerOf(refused, "retry-after")).toBeDefined();
  expect(jsonOf(refused)).toMatchObject({ id: 2, error: { data: { mcp: "MCP_PROVIDER_UNAVAILABLE" } } });
  const other = pairs.find(pair => pair !== home)!;
  expect(await sessionOf(world)).toStartWith(other.name);
  running.abort();
  expect(await ended).toBeTrue();
});

test("all of them must say that they share their id", async () => {
  await using world = new McpWorld();
  await world.pair(REPLICA);
  const provider = await world.provider();
  world.start(provider);
  expect(String(await world.runs[1])).toContain("id in use");
  await using other = new McpWorld();
  await other.pair();
  other.start(provider, REPLICA);
  expect(String(await other.runs[1])).toContain("id in use");
});
