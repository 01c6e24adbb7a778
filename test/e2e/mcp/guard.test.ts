// Web pages: whose may call a relay, under which name, and what they may read.
import { expect, test } from "bun:test";
import { startRawBackend, status } from "../../kit/backend/backend.ts";
import { type CallAnswer, call } from "../../kit/http/call.ts";
import { RawClient } from "../../kit/http/raw-client.ts";
import { headerOf, jsonOf, McpWorld, rpc } from "../../kit/mcp/world.ts";
import { until } from "../../kit/time/until.ts";

const APP = "https://app.example";

function expectForbidden(answer: { status: number; body: Buffer }): void {
  expect(answer.status).toBe(403);
  expect(jsonOf(answer)).toMatchObject({ jsonrpc: "2.0", error: { data: { mcp: "MCP_UNAUTHORIZED" } } });
}

/** The status of a call whose Host is the test's. */
async function asked(world: McpWorld, host: string | undefined, headers: Record<string, string> = {}): Promise<number> {
  const client = await RawClient.connect(world.broker.port);
  const body = rpc(1, "x");
  const lines = { ...(host !== undefined && { Host: host }), ...headers, "Content-Length": String(body.length) };
  const head = Object.entries(lines).map(([name, value]) => `${name}: ${value}\r\n`);
  await client.write(`POST /api/mcp/id/tools HTTP/1.1\r\n${head.join("")}\r\n${body}`);
  await until(client.settled(), "an answer");
  client.destroy("fin");
  return client.status;
}

test("a foreign page is refused, with every method; an allowed one and no page at all pass", async () => {
  await using world = new McpWorld({ broker: { allowedOrigins: [APP] } });
  const { provider } = await world.pair();
  const from = (Origin: string, method = "POST"): Promise<CallAnswer> =>
    world.call(method === "POST" ? rpc(1, "x") : undefined, { method, headers: { Origin } });
  for (const method of ["POST", "GET", "DELETE", "OPTIONS"])
    expectForbidden(await from("https://evil.example", method));
  for (const origin of [
    "null",
    "http://app.example",
    `${APP}:8443`,
    `${APP}.evil.example`,
    "https://evil.example#",
    "",
  ])
    expectForbidden(await from(origin));
  expect(provider.requests).toHaveLength(0);
  expect((await from(APP)).status).toBe(200);
  expect((await from("https://APP.example")).status).toBe(200);
  expect((await world.call(rpc(1, "x"))).status).toBe(200);
  // The provider has rules of its own, which know nothing of the broker's public address.
  expect(provider.requests.map(({ headers }) => headers.get("origin"))).toEqual([null, null, null]);
  expect(await world.leftovers()).toEqual({});
});

test("* allows every page", async () => {
  await using world = new McpWorld({ broker: { allowedOrigins: ["*"] } });
  await world.pair();
  for (const Origin of ["https://evil.example", "null"])
    expect((await world.call(rpc(1, "x"), { headers: { Origin } })).status).toBe(200);
});

test("a page of this machine may call a broker of this machine", async () => {
  await using world = new McpWorld();
  await world.pair();
  for (const Origin of ["http://localhost:6274", "http://127.0.0.1:6274", "http://[::1]:1", "https://localhost"])
    expect((await world.call(rpc(1, "x"), { headers: { Origin } })).status).toBe(200);
  for (const Origin of [
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "http://128.0.0.1",
    "file://",
  ])
    expectForbidden(await world.call(rpc(1, "x"), { headers: { Origin } }));
});

test("a broker of this machine alone is called by this machine's names", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  const { port } = world.broker;
  for (const host of ["localhost", `localhost:${port}`, `127.0.0.1:${port}`, "127.8.9.1", `[::1]:${port}`, "LOCALHOST"])
    expect([host, await asked(world, host)]).toEqual([host, 200]);
  const before = provider.requests.length;
  for (const host of [
    "evil.example",
    `evil.example:${port}`,
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "0.0.0.0",
    "",
    "a b",
  ])
    expect([400, 403, 404]).toContain(await asked(world, host));
  expect([400, 403, 404]).toContain(await asked(world, undefined));
  expect(provider.requests).toHaveLength(before);
});

test("a public broker is called by any name, unless it is told its names", async () => {
  await using open = new McpWorld({ broker: { host: "0.0.0.0" } });
  await open.pair();
  expect(await asked(open, "mcp.example")).toBe(200);
  await using named = new McpWorld({ broker: { host: "0.0.0.0", allowedHosts: ["mcp.example", "Other.Example"] } });
  await named.pair();
  for (const host of ["mcp.example", "MCP.example:8443", "other.example"]) expect(await asked(named, host)).toBe(200);
  for (const host of ["evil.example", "mcp.example.evil.example", "x.mcp.example"])
    expect([host, await asked(named, host)]).toEqual([host, 403]);
  // From a page of this machine, by a public name: the page was not made for that name.
  expect(await asked(named, "mcp.example", { Origin: "http://localhost:3000" })).toBe(403);
});

test("a browser's client may ask, and reads what it needs", async () => {
  await using world = new McpWorld({ broker: { allowedOrigins: [APP] } });
  const { provider } = await world.pair();
  const preflight = (Origin: string, method: string): Promise<CallAnswer> =>
    call(world.url(), {
      method: "OPTIONS",
      headers: {
        Origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers":
          "content-type,mcp-session-id,mcp-protocol-version,last-event-id,authorization,mcp-method,mcp-name",
      },
    });
  for (const method of ["POST", "GET", "DELETE"]) {
    const allowed = await preflight(APP, method);
    expect(allowed.status).toBe(204);
    expect(headerOf(allowed, "access-control-allow-origin")).toBe(APP);
    expect(headerOf(allowed, "access-control-allow-methods")).toContain(method);
    for (const name of ["mcp-session-id", "mcp-protocol-version", "last-event-id", "mcp-method"])
      expect(headerOf(allowed, "access-control-allow-headers")).toContain(name);
    const denied = await preflight("https://evil.example", method);
    expect(denied.status).toBe(403);
    expect(headerOf(denied, "access-control-allow-origin")).toBeUndefined();
  }
  // Without these headers it is a question to the provider.
  provider.respond = status(200, "options");
  expect((await world.call(undefined, { method: "OPTIONS" })).body.toString()).toBe("options");
  expect(provider.requests).toHaveLength(1);

  provider.respond = status(200, "{}", { "mcp-session-id": "s", "www-authenticate": "Bearer" });
  for (const init of [{}, { id: "nobody" }]) {
    const answer = await world.call(rpc(1, "x"), { ...init, headers: { Origin: APP } });
    expect(headerOf(answer, "access-control-allow-origin")).toBe(APP);
    expect(headerOf(answer, "vary")?.toLowerCase()).toContain("origin");
    for (const name of ["mcp-session-id", "www-authenticate", "retry-after", "x-request-id"])
      expect(headerOf(answer, "access-control-expose-headers")).toContain(name);
  }
});

test("a preflight names what the official SDKs send, asked or not; a refused origin is logged once", async () => {
  await using world = new McpWorld({ broker: { allowedOrigins: [APP] } });
  const preflight = (Origin: string, asked: Record<string, string> = {}): Promise<CallAnswer> =>
    call(world.url(), {
      method: "OPTIONS",
      headers: { Origin, "Access-Control-Request-Method": "POST", ...asked },
    });
  for (const asked of [{}, { "Access-Control-Request-Headers": "X-Own" }]) {
    const allowed = headerOf(await preflight(APP, asked), "access-control-allow-headers")?.split(", ");
    for (const name of ["authorization", "content-type", "x-stainless-lang", "anthropic-version", "mcp-session-id"])
      expect(allowed).toContain(name);
    expect(allowed?.includes("x-own")).toBe("Access-Control-Request-Headers" in asked);
  }
  for (let time = 0; time < 3; time++) expect((await preflight("https://evil.example")).status).toBe(403);
  const told = world.logs.filter(({ message }) => message.includes("ALLOWED_ORIGINS"));
  expect(told.map(({ level, fields }) => [level, fields["origin"]])).toEqual([["warn", "https://evil.example"]]);
});

test("what a provider says of other origins is not passed on", async () => {
  await using world = new McpWorld({ broker: { allowedOrigins: [APP] } });
  const raw = await startRawBackend(async exchange => {
    await exchange.write(
      "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: *\r\nContent-Length: 2\r\n\r\n{}",
    );
  });
  try {
    await world.relay({ url: raw.url });
    const names = async (headers: Record<string, string>): Promise<[string, string][]> =>
      (await world.call(rpc(1, "x"), { headers })).headers.filter(([name]) => name.startsWith("access-control-"));
    expect(await names({})).toEqual([]);
    expect((await names({ Origin: APP })).filter(([name]) => !name.endsWith("expose-headers"))).toEqual([
      ["access-control-allow-origin", APP],
    ]);
  } finally {
    await raw.stop();
  }
});
