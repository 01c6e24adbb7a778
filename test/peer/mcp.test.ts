// MCP with the programs of the 0.9 series, from the folder in NFRX_PEER: their relay at our broker, our relay at theirs.
import { expect } from "bun:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { type ProviderSettings, relayAgent } from "../../src/agent/relay-agent.ts";
import type { Agent } from "../../src/agent/run.ts";
import { defaultsOf } from "../../src/config/group.ts";
import { silentLog } from "../../src/lib/log.ts";
import { mcpAgentOptions } from "../../src/modules/mcp-provider.ts";
import { V1_MCP_FRAME } from "../../src/protocol/limits.ts";
import { startHttpFixture } from "../conformance/fixtures/http.ts";
import { type RecordedRequest, type Respond, startBackend, status } from "../kit/backend/backend.ts";
import { Call } from "../kit/http/call.ts";
import { headerOf, jsonOf, MCP_HEADERS, McpProvider, McpWorld, RELAY, rpc } from "../kit/mcp/world.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";
import { freePort, listening, OldProgram, withPeer } from "./old.ts";

/** A call whose numbers no double holds, and the answer to it. */
const EXACT = '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"n":12345678901234567890,"x":1.50,"e":1E5}}';
const EXACT_ANSWER = '{"jsonrpc":"2.0","id":1,"result":{"n":98765432109876543210,"x":2.50,"s":"grüß dich 😀"}}';
/** A relay of the 0.9 series does not say how it is guarded, so its callers bring the API key. */
const KEY = { Authorization: `Bearer ${API_KEY}` };
const EVENTS = { "content-type": "text/event-stream" };

const mcpError = (mcp: string, id: unknown = 1) => ({
  jsonrpc: "2.0",
  id,
  error: { code: -32000, message: expect.any(String), data: expect.objectContaining({ mcp }) },
});

/** An old relay looks at its provider by a call of its own. */
const isLook = ({ body }: RecordedRequest): boolean =>
  body?.includes('"id":"1","jsonrpc":"2.0","method":"tools/list"') ?? false;

/** The calls of callers, once they can be told from looks. */
const callsAt = (provider: McpProvider): RecordedRequest[] =>
  provider.requests.filter(request => request.body !== undefined && !isLook(request));

/** Answers a call with its own parameters, once `gate` lets it pass. */
const echoing =
  (gate?: Gate): Respond =>
  async (request, recorded) => {
    const { params } = JSON.parse(recorded.body ?? "{}");
    if (!isLook(recorded)) await gate?.wait(request.signal);
    return status(200, { jsonrpc: "2.0", id: 1, result: params })(request, recorded);
  };

// ---- the old relay at our broker -------------------------------------------------------------------------------

interface OldRelay extends AsyncDisposable {
  world: McpWorld;
  provider: McpProvider;
  relay: OldProgram;
}

async function startOldRelay(world: McpWorld, url: string, env: Record<string, string> = {}): Promise<OldProgram> {
  const relay = new OldProgram("nfrx-mcp", {
    SERVER_URL: world.connectUrl,
    CLIENT_KEY,
    CLIENT_ID: RELAY,
    CLIENT_NAME: "old",
    PROVIDER_URL: url,
    LOG_LEVEL: "debug",
    ...env,
  });
  await world.when(
    () => world.relays.pool.registry.serves(env["CLIENT_ID"] ?? RELAY),
    () => `the old relay registers:\n${relay.output}`,
  );
  return relay;
}

async function oldRelay(env: Record<string, string> = {}): Promise<OldRelay> {
  const world = new McpWorld();
  const provider = await world.provider();
  const relay = await startOldRelay(world, provider.url, env);
  return {
    world,
    provider,
    relay,
    async [Symbol.asyncDispose]() {
      await relay[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

withPeer("old relay: a call and its answer keep every character", async () => {
  await using old = await oldRelay();
  const { world, provider } = old;
  for (const events of [false, true]) {
    provider.respond = status(200, events ? `data: ${EXACT_ANSWER}\n\n` : EXACT_ANSWER, events ? EVENTS : {});
    const answer = await world.call(EXACT, { headers: KEY });
    expect([answer.status, headerOf(answer, "content-type")]).toEqual([200, "application/json"]);
    expect(answer.body.toString()).toBe(EXACT_ANSWER);
    expect(callsAt(provider).at(-1)?.body).toBe(EXACT);
  }
  expect((await world.state()).clients).toMatchObject([{ id: RELAY, name: "old", status: "idle", wire: 1 }]);
  expect(await world.leftovers()).toEqual({});
});

withPeer("old relay: the official client connects and calls", async () => {
  await using fixture = startHttpFixture({ sessions: false });
  await using world = new McpWorld();
  await using relay = await startOldRelay(world, fixture.url);
  const client = new Client({ name: "test", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(new URL(world.url()), { requestInit: { headers: KEY } }));
  expect((await client.listTools()).tools.length).toBeGreaterThan(0);
  const { content } = await client.callTool({ name: "test_simple_text", arguments: {} });
  expect([content, relay.output.includes("panic")]).toEqual([[expect.objectContaining({ type: "text" })], false]);
  await client.close();
  expect(await world.leftovers()).toEqual({});
});

withPeer("old relay: what it cannot carry is refused, and it lives on", async () => {
  await using old = await oldRelay();
  const { world, provider } = old;
  provider.respond = echoing();
  const large = rpc(1, "tools/call", { text: "x".repeat(V1_MCP_FRAME) });
  for (const [method, body, code] of [
    ["GET", undefined, 405],
    ["DELETE", undefined, 405],
    ["POST", '{"jsonrpc":"2.0","method":"notifications/initialized"}', 202],
    ["POST", '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}', 501],
    ["POST", '{"jsonrpc":"2.0","id":1,"result":{}}', 501],
    ["POST", `[${EXACT}]`, 400],
    ["POST", "{", 400],
    ["POST", large, 413],
  ] as const) {
    const answer = await world.call(body, { method, headers: KEY });
    expect([method, body, answer.status]).toEqual([method, body, code]);
    if (code !== 202) expect(jsonOf(answer)).toMatchObject({ jsonrpc: "2.0", error: { code: -32000 } });
  }
  // As large as it takes.
  const room = V1_MCP_FRAME - '{"t":"rpc","sid":"s99","payload":}'.length;
  const full = rpc(1, "tools/call", { text: "x".repeat(room - rpc(1, "tools/call", { text: "" }).length) });
  expect((await world.call(full, { headers: KEY })).status).toBe(200);
  expect(callsAt(provider).map(({ body }) => body)).toEqual([full]);
  expect(await world.leftovers()).toEqual({});
});

withPeer("old relay: its own token beside the API key, and errors of its provider", async () => {
  await using old = await oldRelay({ AUTH_TOKEN: "secret" });
  const { world, provider } = old;
  provider.respond = echoing();
  // The broker does not know its token, and refuses before it reads the call with its id.
  const refused = await world.call(EXACT, { headers: { Authorization: "Bearer secret" } });
  expect([refused.status, jsonOf(refused)]).toEqual([401, mcpError("MCP_UNAUTHORIZED", null)]);
  for (const headers of [{ Authorization: "Bearer wrong", "X-Api-Key": API_KEY }, KEY]) {
    const refused = await world.call(EXACT, { headers });
    expect([refused.status, jsonOf(refused)]).toEqual([401, mcpError("MCP_UNAUTHORIZED")]);
  }
  const headers = { Authorization: "Bearer secret", "X-Api-Key": API_KEY };
  expect((await world.call(EXACT, { headers })).status).toBe(200);
  provider.respond = status(500, "broken");
  expect(jsonOf(await world.call(EXACT, { headers }))).toEqual(mcpError("MCP_UPSTREAM_ERROR"));
  provider.respond = status(200, "no JSON at all");
  expect((await world.call(EXACT, { headers })).status).toBe(502);
  await provider.backend.stop();
  // It names no id then; ours gives the error that of its call.
  const down = await world.call(EXACT, { headers });
  expect([down.status, jsonOf(down)]).toEqual([200, mcpError("MCP_UPSTREAM_ERROR")]);
  expect(await world.leftovers()).toEqual({});
});

withPeer("old relay: many calls with one id at once", async () => {
  await using old = await oldRelay();
  const gate = new Gate();
  old.provider.respond = echoing(gate);
  const calls = Array.from({ length: 16 }, (_, n) => old.world.call(rpc(1, "tools/call", { n }), { headers: KEY }));
  await old.provider.backend.when(() => callsAt(old.provider).length >= 16, "all calls at once");
  const waiting = old.world.call(EXACT, { headers: KEY });
  await old.world.when(() => old.world.underway["waiting"] === 1, "one more waits");
  expect(callsAt(old.provider)).toHaveLength(16);
  gate.open();
  expect((await waiting).status).toBe(200);
  const answers = (await Promise.all(calls)).map(jsonOf);
  expect(answers).toEqual(calls.map((_, n) => ({ jsonrpc: "2.0", id: 1, result: { n } })));
  expect(await old.world.leftovers()).toEqual({});
});

withPeer("old relay: a client that goes away ends the call at the provider", async () => {
  await using old = await oldRelay();
  old.provider.respond = echoing(new Gate());
  const asked = old.world.ask({ body: EXACT, headers: KEY });
  await old.provider.backend.when(() => callsAt(old.provider).length === 1, "the call");
  asked.abort();
  await old.provider.backend.when(() => callsAt(old.provider)[0]?.aborted ?? false, "the end of the call");
  expect(await old.world.leftovers()).toEqual({});
});

withPeer("old relay: killed in the midst of a call", async () => {
  await using old = await oldRelay();
  old.provider.respond = echoing(new Gate());
  const running = old.world.call(EXACT, { headers: KEY });
  await old.provider.backend.when(() => callsAt(old.provider).length === 1, "the call");
  await old.relay[Symbol.asyncDispose]();
  const answer = await running;
  expect([answer.status, jsonOf(answer)]).toEqual([502, mcpError("MCP_UPSTREAM_ERROR")]);
  expect((await old.world.call(EXACT, { headers: KEY })).status).toBe(503);
  expect(await old.world.leftovers()).toEqual({});
});

withPeer("old relay: gets an id when it has none, and not one in use", async () => {
  await using old = await oldRelay();
  const { world, provider } = old;
  const env = { SERVER_URL: world.connectUrl, CLIENT_KEY, PROVIDER_URL: provider.url };
  await using second = new OldProgram("nfrx-mcp", { ...env, CLIENT_ID: RELAY });
  expect(await second.exited).not.toBe(0);
  await using nameless = new OldProgram("nfrx-mcp", { ...env, CLIENT_NAME: "nameless" });
  await world.when(
    () => world.relays.pool.registry.size === 2,
    () => nameless.output,
  );
  const id = (await world.state()).clients.find(({ name }) => name === "nameless")?.["id"];
  provider.respond = echoing();
  expect((await world.call(EXACT, { id: String(id), headers: KEY })).status).toBe(200);
});

withPeer("old relay: with a wrong key it does not get in", async () => {
  await using world = new McpWorld();
  await using relay = new OldProgram("nfrx-mcp", { SERVER_URL: world.connectUrl, CLIENT_KEY: "wrong" });
  expect(await relay.exited).not.toBe(0);
  expect(world.relays.pool.registry.size).toBe(0);
});

// ---- our relay at the old broker -------------------------------------------------------------------------------

interface OldBroker extends AsyncDisposable {
  agent: Agent;
  provider: McpProvider;
  url: string;
  ask(body: string, headers?: Record<string, string>): Call;
  /** The body of a call's answer. */
  text(body: string, headers?: Record<string, string>): Promise<string>;
}

async function oldBroker(settings: Partial<ProviderSettings> = {}): Promise<OldBroker> {
  const port = freePort();
  const broker = new OldProgram("nfrx", { PORT: String(port), METRICS_PORT: String(port), CLIENT_KEY });
  await listening(broker, port);
  const provider = new McpProvider(await startBackend());
  const agent = relayAgent({
    id: RELAY,
    provider: { ...defaultsOf(mcpAgentOptions), transportOrder: ["http"], providerUrl: provider.url, ...settings },
    servers: [{ serverUrl: `ws://127.0.0.1:${port}/api/mcp/connect`, clientKey: CLIENT_KEY }],
    clientName: "ours",
    reconnect: false,
    log: silentLog,
  });
  const running = agent.run();
  const url = `http://127.0.0.1:${port}/api/mcp/id/${RELAY}`;
  const ask = (body: string, headers: Record<string, string> = {}): Call =>
    new Call(url, { body, headers: { ...MCP_HEADERS, ...headers } });
  // The old broker does not say when a relay has come.
  for (let tries = 0; (await ask(rpc(0, "ping")).answer()).status === 503; tries++)
    if (tries > 1_000) throw new Error(`the relay does not register:\n${broker.output}`);
  return {
    agent,
    provider,
    url,
    ask,
    text: async (body, headers) => (await ask(body, headers).answer()).body.toString(),
    async [Symbol.asyncDispose]() {
      await agent.shutdown(0);
      await running;
      await broker[Symbol.asyncDispose]();
      await provider.backend.stop();
    },
  };
}

withPeer("old broker: a call and its answer keep every character", async () => {
  await using old = await oldBroker();
  old.provider.respond = status(200, EXACT_ANSWER);
  expect(await old.text(EXACT)).toBe(EXACT_ANSWER);
  const seen = old.provider.requests.at(-1);
  expect([seen?.body, seen?.headers.get("accept")]).toEqual([EXACT, "application/json, text/event-stream"]);
});

withPeer("old broker: the response among events, in chunks of any size", async () => {
  await using old = await oldBroker();
  const noise = 'id: 1\r\ndata: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\r\n\r\n: wait\r\n\r\n';
  const text = `${noise}event: message\r\ndata: ${EXACT_ANSWER}\r\n\r\n`;
  old.provider.respond = () =>
    new Response(
      (async function* () {
        for (const byte of Buffer.from(text)) yield Buffer.of(byte);
      })(),
      { headers: EVENTS },
    );
  expect(await old.text(EXACT)).toBe(EXACT_ANSWER);
});

withPeer("old broker: events that do not end do not hold the answer up, nor stay", async () => {
  await using old = await oldBroker();
  old.provider.respond = ({ signal }) =>
    new Response(
      (async function* () {
        yield Buffer.from(`data: ${EXACT_ANSWER}\n\n`);
        await new Gate().wait(signal);
      })(),
      { headers: EVENTS },
    );
  expect(await old.text(EXACT)).toBe(EXACT_ANSWER);
  await old.provider.aborted(1);
});

withPeer("old broker: the official client connects and calls", async () => {
  await using fixture = startHttpFixture({ sessions: false });
  await using old = await oldBroker({ providerUrl: fixture.url });
  const client = new Client({ name: "test", version: "1" });
  const transport = new StreamableHTTPClientTransport(new URL(old.url));
  // The old broker takes no notification, which its clients had to live with.
  transport.onerror = () => {};
  await client.connect(transport);
  expect((await client.listTools()).tools.length).toBeGreaterThan(0);
  const { content } = await client.callTool({ name: "test_simple_text", arguments: {} });
  expect(content).toEqual([expect.objectContaining({ type: "text" })]);
  await client.close();
});

withPeer("old broker: our token, and errors of our provider", async () => {
  await using old = await oldBroker();
  for (const [answer, mcp] of [
    [status(500, "broken"), "MCP_UPSTREAM_ERROR"],
    [status(503, ""), "MCP_PROVIDER_UNAVAILABLE"],
    [status(200, "no JSON at all"), "MCP_UPSTREAM_ERROR"],
    [status(202, ""), "MCP_UPSTREAM_ERROR"],
  ] as const) {
    old.provider.respond = answer;
    expect(JSON.parse(await old.text(EXACT))).toEqual(mcpError(mcp));
  }
  const error = '{"code":-32001,"message":"Session not found"}';
  old.provider.respond = status(404, `{"jsonrpc":"2.0","id":null,"error":${error}}`);
  expect(await old.text(EXACT)).toBe(`{"jsonrpc":"2.0","id":1,"error":${error}}`);
  await old.provider.backend.stop();
  expect(JSON.parse(await old.text(EXACT))).toMatchObject({ id: 1, error: { data: { mcp: expect.any(String) } } });
});

withPeer("old broker: a caller without our token is refused", async () => {
  await using old = await oldBroker({ authToken: "secret" });
  const seen = old.provider.requests.length;
  for (const headers of [{}, { authorization: "Bearer wrong" }])
    expect(JSON.parse(await old.text(EXACT, headers))).toEqual(mcpError("MCP_UNAUTHORIZED"));
  expect(old.provider.requests.length).toBe(seen);
  old.provider.respond = echoing();
  expect(JSON.parse(await old.text(EXACT, { authorization: "Bearer secret" }))).toHaveProperty("result");
  expect(old.provider.requests.at(-1)?.headers.get("authorization")).toBeNull();
});

withPeer("old broker: many calls with one id at once", async () => {
  await using old = await oldBroker();
  const gate = new Gate();
  const seen = old.provider.requests.length;
  old.provider.respond = echoing(gate);
  const calls = Array.from({ length: 16 }, (_, n) => old.text(rpc(1, "tools/call", { n })));
  await old.provider.arrived(seen + 16);
  gate.open();
  const answers = (await Promise.all(calls)).map(text => JSON.parse(text));
  expect(answers).toEqual(calls.map((_, n) => ({ jsonrpc: "2.0", id: 1, result: { n } })));
});

withPeer("old broker: a client that goes away ends the call at our provider", async () => {
  await using old = await oldBroker();
  const seen = old.provider.requests.length;
  old.provider.respond = echoing(new Gate());
  const asked = old.ask(EXACT);
  await old.provider.arrived(seen + 1);
  asked.abort();
  await old.provider.aborted(1);
});

withPeer("old broker: our relay leaves in peace", async () => {
  await using old = await oldBroker();
  const gate = new Gate();
  const seen = old.provider.requests.length;
  old.provider.respond = echoing(gate);
  const running = old.text(rpc(1, "tools/call", { n: 1 }));
  await old.provider.arrived(seen + 1);
  const shut = old.agent.shutdown(Number.POSITIVE_INFINITY);
  const late = await old.ask(EXACT).answer();
  expect([late.status, jsonOf(late)]).toEqual([503, mcpError("MCP_PROVIDER_UNAVAILABLE")]);
  gate.open();
  expect(JSON.parse(await running)).toEqual({ jsonrpc: "2.0", id: 1, result: { n: 1 } });
  expect(await shut).toBeTrue();
});
