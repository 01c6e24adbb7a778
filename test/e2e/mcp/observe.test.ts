// What an operator sees of relays and their calls.
import { expect, test } from "bun:test";
import { headThenSilent, silent, status } from "../../kit/backend/backend.ts";
import { call } from "../../kit/http/call.ts";
import { McpWorld, result, rpc } from "../../kit/mcp/world.ts";
import { World } from "../../kit/world.ts";

const labels = (label: string): string => `{ext="mcp",plugin_type="tunnel",job_type="mcp.call",label="${label}"`;

test("a broker of relays alone is healthy while there is one", async () => {
  await using world = new McpWorld();
  const health = async (path: string): Promise<unknown[]> => {
    const { status: code, body } = await call(`${world.origin}${path}`);
    return [code, JSON.parse(body.toString())];
  };
  expect(await health("/healthz")).toEqual([503, { status: "unavailable" }]);
  expect(await health("/readyz")).toMatchObject([503, { status: "not_ready" }]);
  const { agent } = await world.pair();
  expect(await health("/healthz")).toEqual([200, { status: "ok" }]);
  expect(await health("/readyz")).toMatchObject([200, { status: "ready" }]);
  await agent.shutdown(0);
  await world.when(() => world.relays.pool.registry.size === 0, "it has gone");
  expect(await health("/healthz")).toEqual([503, { status: "unavailable" }]);
});

test("beside other modules the broker is healthy without a relay", async () => {
  await using world = new World();
  expect((await call(`${world.origin}/healthz`)).status).toBe(200);
});

test("the state shows relays and the calls that run", async () => {
  await using world = new McpWorld();
  const { provider: tools } = await world.pair({ clientName: "Tools" });
  await world.pair({ id: "idle", clientName: "Idle" });
  for (const method of ["initialize", "tools/list", "tools/list"]) await world.call(rpc(1, method));
  await world.call('{"jsonrpc":"2.0","method":"notifications/initialized"}');
  await world.call('{"jsonrpc":"2.0","id":1,"result":{}}');
  tools.respond = (request, recorded) => (recorded.method === "GET" ? headThenSilent() : silent())(request, recorded);
  const before = Date.now();
  const running = world.ask({ body: rpc(1, "tools/call") });
  const listener = world.ask();
  await tools.arrived(7);
  await listener.head();
  const state = await world.state();
  expect(state.clients).toMatchObject([
    {
      id: "tools",
      name: "Tools",
      status: "active",
      ready: true,
      inflight: 1,
      listeners: 1,
      functions: {
        initialize: 1,
        "tools/list": 2,
        "notifications/initialized": 1,
        response: 1,
        "tools/call": 1,
        GET: 1,
      },
      wire: 2,
    },
    { id: "idle", name: "Idle", status: "idle", inflight: 0, listeners: 0, functions: {} },
  ]);
  const byMethod = Object.fromEntries(state.sessions.map(session => [session["method"], session]));
  expect(byMethod).toMatchObject({
    "tools/call": { id: expect.any(String), client_id: "tools", duration_ms: expect.any(Number) },
    GET: { client_id: "tools" },
  });
  const began = Date.parse(String(byMethod["tools/call"]?.["started_at"]));
  expect(began).toBeGreaterThanOrEqual(before);
  expect(began).toBeLessThanOrEqual(Date.now());
  running.abort();
  listener.abort();
  expect(await world.leftovers()).toEqual({});
  expect((await world.state()).sessions).toEqual([]);
});

test("the state asks for the key, and forgets a relay that is gone", async () => {
  await using world = new McpWorld();
  const { agent } = await world.pair();
  expect((await call(`${world.origin}/api/state`)).status).toBe(401);
  await world.call(rpc(1, "tools/list"));
  await agent.shutdown(0);
  await world.when(() => world.relays.pool.registry.size === 0, "it has gone");
  expect(await world.state()).toMatchObject({ clients: [], sessions: [], sessions_total: 0 });
  await world.pair();
  expect((await world.state()).clients).toMatchObject([{ functions: {} }]);
});

test("calls are counted by their method", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  for (let n = 0; n < 3; n++) await world.call(rpc(n, "tools/call"));
  await world.call('{"jsonrpc":"2.0","method":"notifications/cancelled"}');
  await world.call(`[${rpc(1, "x")}]`);
  provider.respond = status(404);
  await world.call(undefined, { method: "DELETE" });
  await world.call(rpc(1, "tools/list"), { id: "nobody" });
  const counted = async (name: string): Promise<string[]> => (await world.metrics(`${name}{`)).sort();
  const served = (name: string): string[] => [
    `${name}${labels("DELETE")}} 1`,
    `${name}${labels("batch")}} 1`,
    `${name}${labels("notifications/cancelled")}} 1`,
    `${name}${labels("tools/call")}} 3`,
  ];
  // A call to nobody is turned away before its method is read.
  expect(await counted("nfrx_request_total")).toEqual(served("nfrx_request_total"));
  expect((await counted("nfrx_request_started_total")).filter(line => !line.endsWith(" 0"))).toEqual(
    served("nfrx_request_started_total"),
  );
  // A server's own refusal is an answer, and not the broker's failure.
  expect(await counted("nfrx_request_completed_total")).toEqual([
    `nfrx_request_completed_total${labels("DELETE")},success="true",error_code=""} 1`,
    `nfrx_request_completed_total${labels("batch")},success="true",error_code=""} 1`,
    `nfrx_request_completed_total${labels("notifications/cancelled")},success="true",error_code=""} 1`,
    `nfrx_request_completed_total${labels("tools/call")},success="true",error_code=""} 3`,
  ]);
  expect(await counted("nfrx_request_duration_seconds_count")).toContain(
    `nfrx_request_duration_seconds_count${labels("tools/call")}} 3`,
  );
  expect(await world.leftovers()).toEqual({});
});

test("made-up methods do not fill the metrics, nor push the real ones out", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  provider.respond = result();
  for (let n = 0; n < 700; n++)
    await world.call(rpc(n, `made/up-${n}-${"x".repeat(100)}`), { id: n % 2 ? "tools" : "no" });
  await world.call(rpc(1, "tools/call"));
  await world.call(rpc(1, "resources/templates/list"));
  const lines = await world.metrics("nfrx_request_total{");
  expect(lines.length).toBeLessThanOrEqual(103);
  expect(lines).toContain(`nfrx_request_total${labels("tools/call")}} 1`);
  expect(lines).toContain(`nfrx_request_total${labels("resources/templates/list")}} 1`);
  expect(lines).toContain(`nfrx_request_total${labels("other")}} 250`);
  for (const line of lines) expect(line.length).toBeLessThan(200);
  const [client] = (await world.state()).clients;
  expect(Object.keys(client?.["functions"] ?? {}).length).toBeLessThanOrEqual(103);
});

test("every line about a call carries its request's id, which also reaches the provider and the client", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  const answer = await world.call(rpc(1, "tools/call"), { headers: { "X-Request-Id": "mine-1" } });
  expect(answer.headers.filter(([name]) => name === "x-request-id")).toEqual([["x-request-id", "mine-1"]]);
  expect(provider.requests[0]?.headers.get("x-request-id")).toBe("mine-1");
  const about = world.logs.filter(({ fields }) => fields["request_id"] === "mine-1").map(({ message }) => message);
  expect(about).toEqual(["request dispatched", "request ended"]);
  await world.call(rpc(1, "x"), { headers: { "X-Request-Id": "bad id; drop" } });
  expect(provider.requests[1]?.headers.get("x-request-id")).toMatch(/^[\w-]{36}$/);
  // No bodies, at any level.
  await world.call(rpc(1, "tools/call", { secret: "body-secret" }));
  expect(JSON.stringify(world.logs)).not.toContain("body-secret");
});
