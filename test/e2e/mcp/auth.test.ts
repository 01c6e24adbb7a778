// Who may call a relay, and which credentials go how far.
import { expect, test } from "bun:test";
import { status } from "../../kit/backend/backend.ts";
import type { CallAnswer } from "../../kit/http/call.ts";
import { headerOf, jsonOf, McpWorld, rpc } from "../../kit/mcp/world.ts";
import { API_KEY } from "../../kit/world.ts";

const TOKEN = "relay-token";
const ask = (world: McpWorld, headers: Record<string, string> = {}): Promise<CallAnswer> =>
  world.call(rpc(3, "tools/call"), { headers });

function expectUnauthorized(answer: CallAnswer, id: number | null): void {
  expect(answer.status).toBe(401);
  expect(headerOf(answer, "www-authenticate")).toBe("Bearer");
  expect(jsonOf(answer)).toMatchObject({
    jsonrpc: "2.0",
    id,
    error: {
      code: -32_000,
      message: "unauthorized",
      data: { mcp: "MCP_UNAUTHORIZED" },
    },
  });
}

test("an open relay, where the broker allows it, serves anybody, and no Authorization reaches the provider", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  expect((await ask(world)).status).toBe(200);
  expect((await ask(world, { Authorization: "Bearer whatever", "X-Api-Key": "mine" })).status).toBe(200);
  expect(provider.requests.map(({ headers }) => headers.get("authorization"))).toEqual([null, null]);
  expect(provider.requests.map(({ headers }) => headers.get("x-api-key"))).toEqual([null, "mine"]);
});

test("the relay's token opens it and stops there", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair({ provider: { authToken: TOKEN } });
  for (const Authorization of [`Bearer ${TOKEN}`, `bearer ${TOKEN}`])
    expect((await ask(world, { Authorization })).status).toBe(200);
  for (const name of ["X-Api-Key", "Api-Key"]) expect((await ask(world, { [name]: TOKEN })).status).toBe(200);
  for (const headers of [
    {},
    { Authorization: `Bearer ${TOKEN}x` },
    { Authorization: "Bearer " },
    { Authorization: TOKEN },
    { Authorization: `Basic ${TOKEN}` },
    { Authorization: `Bearer ${API_KEY}` },
    { "X-Api-Key": API_KEY },
  ])
    expectUnauthorized(await ask(world, headers), null);
  for (const method of ["GET", "DELETE", "OPTIONS"]) expectUnauthorized(await world.call(undefined, { method }), null);
  expectUnauthorized(await world.call(rpc(3, "x"), { rest: "/below" }), null);
  expect(provider.requests).toHaveLength(4);
  for (const name of ["authorization", "x-api-key", "api-key"])
    expect(provider.requests.every(({ headers }) => headers.get(name) === null)).toBeTrue();
  expect(await world.leftovers()).toEqual({});
});

test("a relay without a token is reached with the API key, which goes no further", async () => {
  for (const [allowOpen, open] of [
    [false, true],
    [true, false],
  ] as const) {
    await using world = new McpWorld({ relays: { allowOpen }, broker: { apiHttpRoles: ["tools"] } });
    const { provider } = await world.pair({ provider: { open } });
    for (const headers of [{}, { Authorization: "Bearer whatever" }, { "X-Api-Key": "whatever" }])
      expectUnauthorized(await ask(world, headers), null);
    for (const method of ["GET", "DELETE", "OPTIONS"])
      expectUnauthorized(await world.call(undefined, { method }), null);
    expect(provider.requests).toHaveLength(0);
    for (const headers of [
      { Authorization: `Bearer ${API_KEY}` },
      { "X-Api-Key": API_KEY },
      { "X-User-Roles": "tools" },
    ])
      expect((await ask(world, headers)).status).toBe(200);
    for (const name of ["authorization", "x-api-key", "x-user-roles"])
      expect(provider.requests.map(({ headers }) => headers.get(name))).toEqual([null, null, null]);
    expect((await world.state()).clients).toMatchObject([{ guard: "api_key" }]);
    expect(await world.leftovers()).toEqual({});
  }
});

test("state and log say how each relay is guarded", async () => {
  await using world = new McpWorld();
  await world.pair({ id: "open" });
  await world.pair({ id: "token", provider: { authToken: TOKEN } });
  await world.pair({ id: "key", provider: { open: false } });
  const { clients } = await world.state();
  expect(Object.fromEntries(clients.map(({ id, guard }) => [id, guard]))).toEqual({
    open: "open",
    token: "token",
    key: "api_key",
  });
  const registered = world.logs.filter(({ message }) => message === "worker registered");
  expect(registered.map(({ fields }) => fields["guard"])).toEqual(["open", "token", "api_key"]);
});

test("replicas with different tokens want both: either may get the call", async () => {
  await using world = new McpWorld();
  await world.pair({ provider: { authToken: TOKEN, replicas: true } });
  await world.pair({ provider: { authToken: "another", replicas: true } });
  expect((await ask(world, { Authorization: `Bearer ${TOKEN}` })).status).toBe(401);
  expect((await ask(world, { Authorization: "Bearer another" })).status).toBe(401);
});

test("end-to-end the relay's token comes beside the caller's own, and does not go through", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair({ provider: { authMode: "end-to-end", authToken: TOKEN } });
  expectUnauthorized(await ask(world, { Authorization: "Bearer theirs" }), null);
  expect((await ask(world, { Authorization: "Bearer theirs", "X-Api-Key": TOKEN })).status).toBe(200);
  const [seen] = provider.requests;
  expect([seen?.headers.get("authorization"), seen?.headers.get("x-api-key")]).toEqual(["Bearer theirs", null]);
});

test("no key of the broker's, no cookie and no word to a proxy reaches a relay", async () => {
  const [adminKey, clientKey] = ["the-admin-key", "the-client-key"];
  await using world = new McpWorld({ broker: { adminKey, clientKey } });
  const { provider } = await world.pair({ clientKey, provider: { authMode: "end-to-end" } });
  for (const key of [API_KEY, adminKey, clientKey]) {
    for (const headers of [
      { Authorization: `Bearer ${key}` },
      { Authorization: `bearer   ${key}` },
      { "X-Api-Key": key },
      { "Api-Key": key },
      { "X-Api-Key": `other, ${key}` },
    ])
      expect((await ask(world, headers)).status).toBe(200);
  }
  const others = { Cookie: "session=1", "Proxy-Authorization": "Basic eDp5", "Proxy-Anything": "1" };
  expect((await ask(world, others)).status).toBe(200);
  expect(provider.requests).toHaveLength(16);
  for (const name of ["authorization", "x-api-key", "api-key", "cookie", "proxy-authorization", "proxy-anything"])
    expect(provider.requests.filter(({ headers }) => headers.has(name))).toEqual([]);
});

for (const [name, key] of [
  ["Authorization", `Bearer ${API_KEY}`],
  ["X-Api-Key", API_KEY],
] as const) {
  test(`with MCP_REQUIRE_API_KEY the broker's key may come as ${name}, and goes no further`, async () => {
    await using world = new McpWorld({ relays: { requireApiKey: true } });
    const { provider } = await world.pair({ provider: { authMode: "end-to-end" } });
    const other = name === "X-Api-Key" ? "authorization" : "x-api-key";
    const value = name === "X-Api-Key" ? "Bearer the provider's" : "the provider's";
    expect((await ask(world, { [name]: key })).status).toBe(200);
    expect((await ask(world, { [name]: key, [other]: value })).status).toBe(200);
    expect(provider.requests.map(({ headers }) => headers.get(name))).toEqual([null, null]);
    expect(provider.requests.map(({ headers }) => headers.get(other))).toEqual([null, value]);
    for (const headers of [{}, { [name]: `${key}x` }, { [other]: value }, { "X-User-Roles": "admin" }])
      expectUnauthorized(await ask(world, headers), null);
    for (const method of ["GET", "DELETE"]) expectUnauthorized(await world.call(undefined, { method }), null);
    expect(provider.requests).toHaveLength(2);
    expect(await world.leftovers()).toEqual({});
  });
}

test("the broker's key in both headers is kept from the provider in both", async () => {
  await using world = new McpWorld({ relays: { requireApiKey: true } });
  const { provider } = await world.pair({ provider: { authMode: "end-to-end" } });
  expect((await ask(world, { Authorization: `Bearer ${API_KEY}`, "X-Api-Key": API_KEY })).status).toBe(200);
  const [seen] = provider.requests;
  expect([seen?.headers.get("authorization"), seen?.headers.get("x-api-key")]).toEqual([null, null]);
});

test("the broker's key beside the relay's token", async () => {
  await using world = new McpWorld({ relays: { requireApiKey: true } });
  const { provider } = await world.pair({ provider: { authToken: TOKEN } });
  expect((await ask(world, { "X-Api-Key": API_KEY, Authorization: `Bearer ${TOKEN}` })).status).toBe(200);
  expectUnauthorized(await ask(world, { "X-Api-Key": API_KEY }), null);
  expectUnauthorized(await ask(world, { "X-Api-Key": API_KEY, Authorization: "Bearer wrong" }), null);
  expectUnauthorized(await ask(world, { Authorization: `Bearer ${TOKEN}` }), null);
  const [seen] = provider.requests;
  expect([seen?.headers.get("authorization"), seen?.headers.get("x-api-key")]).toEqual([null, null]);
  expect(provider.requests).toHaveLength(1);
});

test("a role from a trusted proxy is as good as the key", async () => {
  await using world = new McpWorld({ relays: { requireApiKey: true }, broker: { apiHttpRoles: ["tools"] } });
  const { provider } = await world.pair();
  expect((await ask(world, { "X-User-Roles": "tools" })).status).toBe(200);
  expect(provider.requests[0]?.headers.get("x-user-roles")).toBeNull();
  expectUnauthorized(await ask(world, { "X-User-Roles": "other" }), null);
});

test("end-to-end the caller's token is the provider's to judge", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair({ provider: { authMode: "end-to-end" } });
  expect((await ask(world, { Authorization: "Bearer theirs" })).status).toBe(200);
  expect(provider.requests[0]?.headers.get("authorization")).toBe("Bearer theirs");
  provider.respond = status(401, "who?", { "www-authenticate": 'Bearer realm="r", error="invalid_token"' });
  for (const headers of [{}, { Authorization: `Bearer ${TOKEN}` }]) {
    const refused = await ask(world, headers);
    expect([refused.status, refused.body.toString()]).toEqual([401, "who?"]);
    expect(headerOf(refused, "www-authenticate")).toBe('Bearer realm="r", error="invalid_token"');
  }
  expect(provider.requests.map(({ headers }) => headers.get("authorization"))).toEqual([
    "Bearer theirs",
    null,
    `Bearer ${TOKEN}`,
  ]);
});

test.each([
  ["a trusted proxy names", { trustedProxies: ["127.0.0.1"] }, "http://HOST/nfrx"],
  ["PUBLIC_URL has", { publicUrl: "https://ai.example/nfrx", allowedHosts: ["127.0.0.1"] }, "https://ai.example/nfrx"],
  ["somebody else names", { trustedProxies: [] }, "http://HOST"],
])("the path prefix that %s is part of the addresses that clients are told", async (_, broker, base) => {
  await using world = new McpWorld({ broker });
  const { provider } = await world.pair({ provider: { authMode: "end-to-end" } });
  provider.respond = status(401, "who?", { "www-authenticate": 'Bearer resource_metadata="http://10.0.0.1/"' });
  const refused = await ask(world, { "X-Forwarded-Prefix": "/nfrx", "X-Forwarded-For": "10.9.8.7" });
  const here = base.replace("HOST", `127.0.0.1:${world.broker.port}`);
  expect(headerOf(refused, "www-authenticate")).toStartWith(
    `Bearer resource_metadata="${here}/.well-known/oauth-protected-resource/api/mcp/id/`,
  );
});

test("shielded, a provider that refuses the relay is the relay's trouble, not the caller's", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  provider.respond = status(401, "who?", { "www-authenticate": 'Bearer resource_metadata="http://10.0.0.1/"' });
  const answer = await ask(world);
  expect(answer.status).toBe(502);
  expect(headerOf(answer, "www-authenticate")).toBeUndefined();
  expect(jsonOf(answer)).toMatchObject({ id: 3, error: { data: { mcp: "MCP_UPSTREAM_ERROR" } } });
  expect(await world.leftovers()).toEqual({});
});

test("no key and no token is ever logged", async () => {
  await using world = new McpWorld({ relays: { requireApiKey: true } });
  await world.pair({ provider: { authToken: TOKEN } });
  await ask(world, { "X-Api-Key": API_KEY, Authorization: `Bearer ${TOKEN}` });
  await ask(world, { Authorization: "Bearer wrong-and-secret" });
  await world.call(undefined, { rest: "?key=query-secret", headers: { "X-Api-Key": API_KEY } });
  const logged = JSON.stringify(world.logs);
  for (const secret of [TOKEN, API_KEY, "wrong-and-secret", "query-secret"]) expect(logged).not.toContain(secret);
});
