// A session belongs to the relay and the caller that began it.
import { expect, test } from "bun:test";
import { type Respond, status } from "../../kit/backend/backend.ts";
import { type CallAnswer, call } from "../../kit/http/call.ts";
import { headerOf, jsonOf, type McpProvider, McpWorld, result, rpc } from "../../kit/mcp/world.ts";
import { API_KEY } from "../../kit/world.ts";

const ALICE = { Authorization: "Bearer alice" };
const BOB = { Authorization: "Bearer bob" };

/** A server with sessions, which it numbers from 1. */
function withSessions(provider: McpProvider): Set<string> {
  const sessions = new Set<string>();
  const respond: Respond = (request, recorded) => {
    const id = recorded.headers.get("mcp-session-id");
    if (recorded.body?.includes("initialize")) {
      const session = `session-${sessions.size + 1}`;
      sessions.add(session);
      return result({ begun: session }, { "mcp-session-id": session })(request, recorded);
    }
    if (id === null) return status(400, "no session")(request, recorded);
    if (!sessions.has(id)) return status(404, "the server's own 404")(request, recorded);
    if (recorded.method === "DELETE") sessions.delete(id);
    return status(200, `served ${id}`)(request, recorded);
  };
  provider.respond = respond;
  return sessions;
}

async function begin(world: McpWorld, headers: Record<string, string> = {}, id?: string): Promise<string> {
  const answer = await world.call(rpc(0, "initialize"), { headers, ...(id !== undefined && { id }) });
  return headerOf(answer, "mcp-session-id") ?? "";
}

function use(
  world: McpWorld,
  session: string,
  init: { headers?: Record<string, string>; method?: string; id?: string; rest?: string } = {},
): Promise<CallAnswer> {
  const { headers, method = "POST", ...rest } = init;
  const body = method === "POST" ? rpc(1, "tools/call") : undefined;
  return world.call(body, { ...rest, method, headers: { "Mcp-Session-Id": session, ...headers } });
}

/** The broker's word, as the official servers have it. */
function expectNoSession(answer: CallAnswer): void {
  expect(answer.status).toBe(404);
  expect(jsonOf(answer)).toMatchObject({
    jsonrpc: "2.0",
    id: null,
    error: { code: -32_001, message: "Session not found" },
  });
}

test("who began it may use it, nobody else may", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  withSessions(provider);
  const session = await begin(world, ALICE);
  const others = [{}, BOB, { "X-Api-Key": "bob" }, { Authorization: "Basic alice" }];
  for (const method of ["POST", "GET", "DELETE"])
    for (const headers of others) expectNoSession(await use(world, session, { method, headers }));
  expect(provider.requests).toHaveLength(1);
  expect((await use(world, session, { headers: ALICE })).body.toString()).toBe(`served ${session}`);
  // One without any credentials is everybody's who has its id.
  const open = await begin(world);
  expect((await use(world, open)).status).toBe(200);
  expectNoSession(await use(world, open, { headers: BOB }));
  expect(await world.leftovers()).toEqual({});
});

test("the broker's own key is a credential too", async () => {
  await using world = new McpWorld({ relays: { requireApiKey: true } });
  const { provider } = await world.pair();
  withSessions(provider);
  const headers = { "X-Api-Key": API_KEY };
  const session = await begin(world, headers);
  expect((await use(world, session, { headers })).status).toBe(200);
});

test("end-to-end the caller's token may change while its session lasts", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair({ provider: { authMode: "end-to-end" } });
  withSessions(provider);
  const session = await begin(world, ALICE);
  expect((await use(world, session, { headers: { Authorization: "Bearer alice-renewed" } })).status).toBe(200);
  expect(provider.requests.at(-1)?.headers.get("authorization")).toBe("Bearer alice-renewed");
});

test("another relay's session is none here", async () => {
  await using world = new McpWorld();
  const [one, two] = [await world.pair({ id: "one" }), await world.pair({ id: "two" })];
  withSessions(one.provider);
  withSessions(two.provider);
  const session = await begin(world, ALICE, "one");
  for (const method of ["POST", "GET", "DELETE"])
    expectNoSession(await use(world, session, { id: "two", headers: ALICE, method }));
  expect(two.provider.requests).toHaveLength(0);
  expect((await use(world, session, { id: "one", headers: ALICE })).status).toBe(200);
});

test("two relays may give out the same id", async () => {
  await using world = new McpWorld();
  const [one, two] = [await world.pair({ id: "one" }), await world.pair({ id: "two" })];
  withSessions(one.provider);
  withSessions(two.provider);
  const session = await begin(world, ALICE, "one");
  expect(await begin(world, BOB, "two")).toBe(session);
  expect((await use(world, session, { id: "one", headers: ALICE })).status).toBe(200);
  expect((await use(world, session, { id: "two", headers: BOB })).status).toBe(200);
  expectNoSession(await use(world, session, { id: "one", headers: BOB }));
  expectNoSession(await use(world, session, { id: "two", headers: ALICE }));
  // The end of one is not the end of the other.
  expect((await use(world, session, { id: "one", headers: ALICE, method: "DELETE" })).status).toBe(200);
  expect((await use(world, session, { id: "two", headers: BOB })).status).toBe(200);
  expect(world.relays.sessions.size).toBe(1);
});

test("a session ends with DELETE, and with the server's 404", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  const sessions = withSessions(provider);
  for (const end of ["DELETE", "404"]) {
    const session = await begin(world, ALICE);
    expect(world.relays.sessions.size).toBe(1);
    // A page that is not there says nothing of the session.
    const serve = provider.respond;
    provider.respond = status(404, "no such page");
    await use(world, session, { headers: ALICE, rest: "/elsewhere" });
    provider.respond = serve;
    expect(world.relays.sessions.size).toBe(1);
    if (end === "DELETE") expect((await use(world, session, { headers: ALICE, method: "DELETE" })).status).toBe(200);
    else sessions.delete(session);
    const gone = await use(world, session, { headers: ALICE });
    expect([gone.status, gone.body.toString()]).toEqual([404, "the server's own 404"]);
    expect(world.relays.sessions.size).toBe(0);
  }
});

test("a server that does not let sessions be ended keeps them", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  withSessions(provider);
  const session = await begin(world, ALICE);
  const serve = provider.respond;
  provider.respond = status(405);
  expect((await use(world, session, { headers: ALICE, method: "DELETE" })).status).toBe(405);
  provider.respond = serve;
  expectNoSession(await use(world, session, { headers: BOB }));
  expect((await use(world, session, { headers: ALICE })).status).toBe(200);
});

test("a session that the broker has never heard of is the server's to judge, as after a restart", async () => {
  await using world = new McpWorld();
  const provider = await world.provider();
  withSessions(provider).add("from-before");
  await world.relay(provider);
  expect((await use(world, "from-before", { headers: ALICE })).body.toString()).toBe("served from-before");
  const unknown = await use(world, "never", { headers: ALICE });
  expect([unknown.status, unknown.body.toString()]).toEqual([404, "the server's own 404"]);
});

test("a session outlives its relay's process when its server does", async () => {
  await using world = new McpWorld();
  const { provider, agent } = await world.pair();
  withSessions(provider);
  const session = await begin(world, ALICE);
  await agent.shutdown(0);
  const away = await use(world, session, { headers: ALICE });
  expect([away.status, jsonOf(away)]).toMatchObject([503, { error: { data: { mcp: "MCP_PROVIDER_UNAVAILABLE" } } }]);
  await world.relay(provider);
  expect((await use(world, session, { headers: ALICE })).status).toBe(200);
  expectNoSession(await use(world, session, { headers: BOB }));
});

test("an answer that failed begins no session", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  provider.respond = status(400, "no", { "mcp-session-id": "s" });
  await call(world.url(), { body: rpc(1, "initialize"), headers: ALICE });
  expect(world.relays.sessions.size).toBe(0);
});
