// The stateless era: one server for all, and nothing between its clients; and clients that know no sessions before it.
import { describe, expect, test } from "bun:test";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { answerOf, Events, listen, openSession, post, rpc } from "../../../kit/mcp/http.ts";
import { callText, connect, type Reach, reach, textOf, URL_OF_PROVIDER } from "../../../kit/mcp/provider.ts";
import { Changes, until } from "../../../kit/time/until.ts";

const VERSION = "2026-07-28";
const META = {
  "io.modelcontextprotocol/protocolVersion": VERSION,
  "io.modelcontextprotocol/clientInfo": { name: "test", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
};

/** The headers that a request of the stateless era brings. */
function headersOf(method: string, params: { name?: string } = {}): Record<string, string> {
  const name: Record<string, string> = params.name === undefined ? {} : { "mcp-name": params.name };
  return { "mcp-protocol-version": VERSION, "mcp-method": method, ...name };
}

const ask = (
  server: Reach,
  method: string,
  params: { name?: string; [key: string]: unknown } = {},
  { id = 1, meta = {}, signal }: { id?: string | number; meta?: object; signal?: AbortSignal } = {},
) => post(server, rpc(id, method, { ...params, _meta: { ...META, ...meta } }), headersOf(method, params), signal);

const callTool = (server: Reach, name: string, args: object = {}, more: Parameters<typeof ask>[3] = {}) =>
  ask(server, "tools/call", { name, arguments: args }, more);

async function said(response: Response): Promise<string> {
  const { result, error } = await answerOf(response);
  return typeof result === "object" && result !== null ? textOf(result) : JSON.stringify(error);
}

/** A client of the SDK's second generation. */
async function connectModern(server: Reach, mode: "auto" | "legacy" = "auto"): Promise<Client> {
  const client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(URL_OF_PROVIDER, { fetch: server.fetch }));
  return client;
}

describe("a server of the stateless era", () => {
  test("serves clients of the SDK, all from one process", async () => {
    await using server = reach("stateless");
    const [a, b] = [await connectModern(server), await connectModern(server)];
    expect(a.getProtocolEra()).toBe("modern");
    const progress: number[] = [];
    const counted = await a.callTool(
      { name: "count", arguments: { to: 5 } },
      { onprogress: ({ progress: at }) => progress.push(at) },
    );
    expect([textOf(counted), progress]).toEqual(["counted to 5", [1, 2, 3, 4, 5]]);
    const pids = await Promise.all([a, b].map(client => client.callTool({ name: "pid" })));
    expect(textOf(pids[0] ?? {})).toBe(textOf(pids[1] ?? {}));
    expect([server.provider.sessions, server.provider.servers]).toEqual([0, 1]);
    await Promise.all([a.close(), b.close()]);
  });

  test("serves older clients too, with a session each", async () => {
    await using server = reach("stateless");
    const [modern, legacy] = [await connectModern(server), await connect(server)];
    expect(await callText(legacy, "echo", { text: "old" })).toBe("old");
    expect(textOf(await modern.callTool({ name: "echo", arguments: { text: "new" } }))).toBe("new");
    expect([server.provider.sessions, server.provider.servers]).toEqual([1, 2]);
    await Promise.all([modern.close(), legacy.close()]);
  });

  test("serves a call without a session beside one, since it has been seen to run twice at once", async () => {
    await using server = reach("stateless");
    const [modern, legacy] = [await connectModern(server), await connect(server)];
    const response = await post(server, rpc(1, "tools/call", { name: "echo", arguments: { text: "none" } }));
    expect([response.status, await said(response)]).toEqual([200, "none"]);
    expect(server.provider.sessions).toBe(1);
    await Promise.all([modern.close(), legacy.close()]);
  });

  test("that knows no sessions refuses a handshake, and is found at work by a probe", async () => {
    await using server = reach("stateless", {}, ["modern-only"]);
    await server.provider.probe(new AbortController().signal);
    const response = await post(server, rpc(1, "initialize", { protocolVersion: "2025-06-18", capabilities: {} }));
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { error: { code: -32022, data: { supported: [VERSION] } } },
    ]);
    expect((await listen(server, {})).status).toBe(405);
    expect(await said(await callTool(server, "echo", { text: "hi" }))).toBe("hi");
  });

  test("gives equal ids and tokens of many clients back to each of them", async () => {
    await using server = reach("stateless");
    const heard = await until(
      Promise.all(
        Array.from({ length: 50 }, async (_, at) => {
          const to = 1 + (at % 5);
          const response = await callTool(server, "count", { to }, { id: "same", meta: { progressToken: "token" } });
          return { to, messages: await new Events(response).rest() };
        }),
      ),
      "all counts",
    );
    for (const { to, messages } of heard) {
      const tokens = messages.slice(0, -1).map(({ params }) => params);
      expect(tokens).toEqual(
        Array.from({ length: to }, (_, at) => ({ progressToken: "token", progress: at + 1, total: to })),
      );
      expect(messages.at(-1)).toMatchObject({ id: "same", result: { content: [{ text: `counted to ${to}` }] } });
    }
  });

  test("hears that a client has left", async () => {
    await using server = reach("stateless");
    const abort = new AbortController();
    const quiet = callTool(server, "wait", {}, { signal: abort.signal });
    const events = new Events(await callTool(server, "wait", {}, { meta: { progressToken: 1 } }));
    expect((await events.next())?.data).toContain("notifications/progress");
    expect(await said(await callTool(server, "cancelled"))).toBe("0");
    await events.cancel();
    abort.abort();
    expect((await quiet).status).toBe(499);
    expect(await said(await callTool(server, "cancelled"))).toBe("2");
  });

  test("tells subscriptions of changes, each under its own id, until their client leaves", async () => {
    await using server = reach("stateless");
    const wanted = { notifications: { toolsListChanged: true } };
    const [a, b] = [
      new Events(await ask(server, "subscriptions/listen", wanted, { id: "mine" })),
      new Events(await ask(server, "subscriptions/listen", wanted, { id: 7 })),
    ];
    const acknowledged = (id: string | number) => ({
      method: "notifications/subscriptions/acknowledged",
      params: { _meta: { "io.modelcontextprotocol/subscriptionId": id } },
    });
    expect(JSON.parse((await a.next())?.data ?? "")).toMatchObject(acknowledged("mine"));
    expect(JSON.parse((await b.next())?.data ?? "")).toMatchObject(acknowledged(7));
    await said(await callTool(server, "grow"));
    const changed = (id: string | number) => ({ ...acknowledged(id), method: "notifications/tools/list_changed" });
    expect(JSON.parse((await a.next())?.data ?? "")).toMatchObject(changed("mine"));
    expect(JSON.parse((await b.next())?.data ?? "")).toMatchObject(changed(7));
    await Promise.all([a.cancel(), b.cancel()]);
  });

  test.each<[string, object, Record<string, string>, number, number]>([
    ["no _meta", rpc(1, "tools/list"), headersOf("tools/list"), 400, -32602],
    [
      "no capabilities",
      rpc(1, "tools/list", { _meta: { "io.modelcontextprotocol/protocolVersion": VERSION } }),
      headersOf("tools/list"),
      400,
      -32602,
    ],
    [
      "another version in the header",
      rpc(1, "tools/list", { _meta: META }),
      { "mcp-protocol-version": "2025-06-18" },
      400,
      -32020,
    ],
    ["no version in the header", rpc(1, "tools/list", { _meta: META }), { "mcp-method": "tools/list" }, 400, -32020],
    [
      "no method in the header",
      rpc(1, "tools/list", { _meta: META }),
      { "mcp-protocol-version": VERSION },
      400,
      -32020,
    ],
    ["another method in the header", rpc(1, "tools/list", { _meta: META }), headersOf("ping"), 400, -32020],
    ["no name in the header", rpc(1, "tools/call", { name: "pid", _meta: META }), headersOf("tools/call"), 400, -32020],
    [
      "another name",
      rpc(1, "tools/call", { name: "pid", _meta: META }),
      headersOf("tools/call", { name: "x" }),
      400,
      -32020,
    ],
    ["an unknown method", rpc(1, "no/such", { _meta: META }), headersOf("no/such"), 404, -32601],
  ])("refuses a request with %s", async (_what, body, headers, status, code) => {
    await using server = reach("stateless");
    const response = await post(server, body, headers);
    expect([response.status, await response.json()]).toMatchObject([status, { id: 1, error: { code } }]);
  });

  test("holds headers that repeat arguments against the arguments", async () => {
    await using server = reach("stateless");
    const place = async (args: object, headers: Record<string, string>) => {
      const params = { name: "place", arguments: args };
      const body = rpc(1, "tools/call", { ...params, _meta: META });
      const response = await post(server, body, { ...headersOf("tools/call", params), ...headers });
      return response.status === 200 ? said(response) : [response.status, await response.json()];
    };
    const refused = [400, { id: 1, error: { code: -32020 } }];
    expect(await place({ region: "eu" }, { "mcp-param-region": "eu" })).toBe("eu");
    expect(await place({ region: "eu", level: 1 }, { "mcp-param-region": "eu", "mcp-param-level": "1.0" })).toBe("eu");
    const encoded = `=?base64?${Buffer.from("süd").toString("base64")}?=`;
    expect(await place({ region: "süd" }, { "mcp-param-region": encoded })).toBe("süd");
    expect(await place({ region: "eu" }, {})).toMatchObject(refused);
    expect(await place({ region: "eu" }, { "mcp-param-region": "us" })).toMatchObject(refused);
    expect(await place({ region: "eu" }, { "mcp-param-region": "=?base64?*?=" })).toMatchObject(refused);
    expect(await place({ region: "eu", level: 2 }, { "mcp-param-region": "eu", "mcp-param-level": "3" })).toMatchObject(
      refused,
    );
  });

  test("names what it speaks to who asks for another version", async () => {
    await using server = reach("stateless");
    const other = "2031-01-01";
    const body = rpc(1, "tools/list", { _meta: { ...META, "io.modelcontextprotocol/protocolVersion": other } });
    const response = await post(server, body, { ...headersOf("tools/list"), "mcp-protocol-version": other });
    expect([response.status, await response.json()]).toMatchObject([
      400,
      { id: 1, error: { code: -32022, data: { supported: [VERSION], requested: other } } },
    ]);
  });

  test("takes names that had to be encoded, and notifications without an envelope", async () => {
    await using server = reach("stateless");
    const body = rpc(1, "tools/call", { name: "écho", _meta: META });
    const name = `=?base64?${Buffer.from("écho").toString("base64")}?=`;
    expect((await post(server, body, { ...headersOf("tools/call"), "mcp-name": name })).status).toBe(200);
    expect((await post(server, body, { ...headersOf("tools/call"), "mcp-name": "=?base64?é?=" })).status).toBe(400);
    const told = await post(server, { jsonrpc: "2.0", method: "notifications/x" }, headersOf("notifications/x"));
    expect(told.status).toBe(202);
  });
});

describe("a server with sessions", () => {
  test("serves a client that tries without first", async () => {
    await using server = reach("fixture");
    const client = await connectModern(server);
    expect([
      client.getProtocolEra(),
      textOf(await client.callTool({ name: "echo", arguments: { text: "x" } })),
    ]).toEqual(["legacy", "x"]);
    await client.close();
  });

  test("serves requests without a session from one process that is kept", async () => {
    await using server = reach("fixture");
    await server.provider.probe(new AbortController().signal);
    const list = await answerOf(await post(server, rpc("same", "tools/list")));
    expect(JSON.stringify(list)).toContain('"echo"');
    const pid = rpc("same", "tools/call", { name: "pid", arguments: {} });
    const [a, b] = await Promise.all([post(server, pid), post(server, pid)]);
    expect([a.headers.get("content-type"), a.headers.get("mcp-session-id")]).toEqual(["application/json", null]);
    expect(await said(a)).toBe(await said(b));
    expect([server.provider.sessions, server.provider.servers]).toEqual([0, 1]);
    // There is nobody who could be asked.
    const sample = rpc(2, "tools/call", { name: "sample", arguments: { text: "x" } });
    expect(JSON.stringify(await answerOf(await post(server, sample)))).toContain(
      "This server is shared: requests to the client are not supported",
    );
    expect((await post(server, { jsonrpc: "2.0", method: "notifications/initialized" })).status).toBe(202);
  });

  test("is started again for them after it has died", async () => {
    await using server = reach("fixture");
    const call = (name: string, signal?: AbortSignal) =>
      post(server, rpc(1, "tools/call", { name, arguments: {} }), {}, signal);
    const first = await said(await call("pid"));
    const changes = new Changes();
    const waits = call("wait").then(async response => {
      changes.notify();
      return said(response);
    });
    expect(await said(await call("die"))).toContain("exit code 7");
    expect(await waits).toContain("exit code 7");
    expect(await said(await call("pid"))).not.toBe(first);
  });

  test("hears that a client without a session has left, and none of another's progress", async () => {
    await using server = reach("fixture");
    const count = rpc(1, "tools/call", { name: "count", arguments: { to: 3 }, _meta: { progressToken: 9 } });
    const all = await Promise.all([1, 2, 3].map(async () => new Events(await post(server, count)).rest()));
    for (const messages of all) {
      expect(messages.map(({ params }) => params).slice(0, 3)).toEqual(
        [1, 2, 3].map(progress => ({ progressToken: 9, progress, total: 3 })),
      );
    }
    const wait = rpc(1, "tools/call", { name: "wait", arguments: {}, _meta: { progressToken: 9 } });
    const events = new Events(await post(server, wait));
    await events.next();
    await events.cancel();
    expect(await said(await post(server, rpc(1, "tools/call", { name: "cancelled", arguments: {} })))).toBe("1");
  });

  test("keeps sessions apart from what has none", async () => {
    await using server = reach("fixture");
    await server.provider.probe(new AbortController().signal);
    const session = await openSession(server);
    const pid = rpc(1, "tools/call", { name: "pid", arguments: {} });
    expect(await said(await post(server, pid, session))).not.toBe(await said(await post(server, pid)));
  });
});
