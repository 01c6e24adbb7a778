// Many sessions of one relay: abandoned ones, and such that must not hear of each other.
import { expect, test } from "bun:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CreateMessageRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { startHttpFixture } from "../conformance/fixtures/http.ts";
import { Call } from "../kit/http/call.ts";
import { toolsCommand } from "../kit/mcp/command.ts";
import { textOf } from "../kit/mcp/provider.ts";
import { Roll } from "../kit/mcp/roll.ts";
import { HELLO, McpSession } from "../kit/mcp/session.ts";
import { MCP_HEADERS } from "../kit/mcp/world.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Processes, troubles } from "../kit/processes.ts";

const ID = "tools";
const ABANDONED = 200;
const LANES = 4;
/** MiB by which broker and relay may grow, their servers not counted. */
const GROWTH = 64;
/** Servers beyond the sessions allowed that may run, as doc/limits.md has it. */
const ENDING_MAX = 16;

/** Clients that begin a session and are never seen again; some do not even wait for the answer. */
async function abandon(broker: BrokerProgram, count: number, lanes = LANES): Promise<void> {
  let left = count;
  const lane = async (): Promise<void> => {
    for (let n = left--; n > 0; n = left--) {
      const hello = new Call(broker.relayUrl(ID), { headers: MCP_HEADERS, body: HELLO });
      const { status } = await hello.head();
      if (n % 4 > 0) await hello.shows("serverInfo");
      hello.abort(n % 2 === 0 ? "fin" : "rst");
      expect(status).toBe(200);
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

test(`${ABANDONED} abandoned sessions of a program: its servers are bounded, and so is memory`, async () => {
  const most = 16;
  await using roll = await Roll.start();
  await using processes = new Processes();
  const broker = await processes.broker();
  const relay = await processes.relay(broker, toolsCommand(roll), { CLIENT_ID: ID, MCP_MAX_SESSIONS: `${most}` });
  // Warm: code compiled, heaps grown to what sessions need.
  await abandon(broker, most);
  const before = { broker: broker.rss, relay: relay.rss };
  broker.resetPeak();
  relay.resetPeak();

  await abandon(broker, ABANDONED);
  expect(roll.total).toBeGreaterThanOrEqual(ABANDONED);
  expect(roll.peak).toBeLessThanOrEqual(most + ENDING_MAX);
  const grown = { broker: broker.peak - before.broker, relay: relay.peak - before.relay };
  expect(grown.broker).toBeLessThan(GROWTH);
  expect(grown.relay).toBeLessThan(GROWTH);

  const session = await McpSession.open(broker.relayUrl(ID));
  expect(await session.text("echo", { text: "still served" })).toBe("still served");
  // The sessions allowed, this one among them, and the server that is kept for clients without sessions.
  await roll.alive(most + 1);
  await session.end();
  await roll.alive(most);
  await broker.quiet();
  expect(troubles(processes)).toEqual([]);
}, 60_000);

test("servers that do not end when they are told to: there are no more of them than that", async () => {
  const most = 4;
  const count = most + ENDING_MAX + 8;
  await using roll = await Roll.start();
  await using processes = new Processes();
  const broker = await processes.broker();
  await processes.relay(broker, toolsCommand(roll, "lingers"), { CLIENT_ID: ID, MCP_MAX_SESSIONS: `${most}` });
  await abandon(broker, count, 1);
  expect(roll.total).toBeGreaterThanOrEqual(count);
  // It was tried: on a slow machine some have ended by the time that others start.
  expect(roll.peak).toBeGreaterThan(most + 1);
  expect(roll.peak).toBeLessThanOrEqual(most + ENDING_MAX);
  await roll.alive(most + 1);
  await broker.quiet();
  expect(troubles(processes)).toEqual([]);
}, 60_000);

test("abandoned sessions of a program end by themselves, but not one that somebody listens to", async () => {
  const count = 50;
  await using roll = await Roll.start();
  await using processes = new Processes();
  const broker = await processes.broker();
  await processes.relay(broker, toolsCommand(roll), { CLIENT_ID: ID, MCP_SESSION_IDLE: "1s" });
  const kept = await McpSession.open(broker.relayUrl(ID));
  const listener = kept.listen();
  await listener.head();
  await abandon(broker, count);
  await roll.alive(2);
  expect(roll.total).toBeGreaterThanOrEqual(count + 1);
  expect(await kept.text("echo", { text: "still there" })).toBe("still there");
  listener.abort();
  await roll.alive(1);
  expect((await kept.call("echo").answer()).status).toBe(404);
  await broker.quiet();
  expect(troubles(processes)).toEqual([]);
}, 60_000);

const CLIENTS = 50;
const CALLS = 3;

/** A client of the official SDK whose model answers in its own name. */
async function connect(url: string, name: string): Promise<{ client: Client; asked: string[] }> {
  const client = new Client({ name, version: "1" }, { capabilities: { sampling: {} } });
  const asked: string[] = [];
  client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => {
    const [message] = params.messages;
    const text = JSON.stringify(message?.content);
    asked.push(text);
    return { model: name, role: "assistant", content: { type: "text", text: `${name} heard ${text}` } };
  });
  // The SDK's transport allows an undefined session id where its interface, read exactly, does not.
  const transport: object = new StreamableHTTPClientTransport(new URL(url));
  await client.connect(transport as Parameters<Client["connect"]>[0]);
  return { client, asked };
}

/** Every client calls a tool that asks its model, several times at once; whatever says a word of another client. */
async function crossTalk(url: string, ask: (prompt: string) => { name: string; arguments: Record<string, unknown> }) {
  const names = Array.from({ length: CLIENTS }, (_, i) => `client-${i}.`);
  const connected = await Promise.all(names.map(async name => ({ name, ...(await connect(url, name)) })));
  const strange: unknown[] = [];
  await Promise.all(
    connected.map(async ({ name, client, asked }) => {
      const prompts = Array.from({ length: CALLS }, (_, n) => `${name}${n}`);
      const said = await Promise.all(prompts.map(async prompt => textOf(await client.callTool(ask(prompt)))));
      for (const [n, text] of said.entries())
        if (!text.includes(`${name} heard`) || !text.includes(`${prompts[n]}`)) strange.push({ name, n, text });
      for (const text of [...said, ...asked])
        for (const [found] of text.matchAll(/client-\d+\./g)) if (found !== name) strange.push({ name, text });
    }),
  );
  const asked = connected.reduce((sum, client) => sum + client.asked.length, 0);
  await Promise.all(connected.map(({ client }) => client.close()));
  return { strange, asked };
}

const WIDE = { BROKER_MAX_CONCURRENCY_PER_CLIENT: "1000" };

test(`${CLIENTS} sessions of a program with equal ids, each asked for samples at once: none hears of another`, async () => {
  await using roll = await Roll.start();
  await using processes = new Processes();
  const broker = await processes.broker(WIDE);
  await processes.relay(broker, toolsCommand(roll), { CLIENT_ID: ID });
  const talk = await crossTalk(broker.relayUrl(ID), prompt => ({
    name: "ask",
    arguments: { texts: [`${prompt} a`, `${prompt} b`] },
  }));
  expect(talk).toEqual({ strange: [], asked: 2 * CLIENTS * CALLS });
  expect(roll.peak).toBeGreaterThan(CLIENTS);
  await broker.quiet();
  expect(troubles(processes)).toEqual([]);
}, 60_000);

test(`${CLIENTS} sessions of an HTTP server with equal ids, each asked for samples at once: none hears of another`, async () => {
  await using fixture = startHttpFixture();
  await using processes = new Processes();
  const broker = await processes.broker(WIDE);
  await processes.relay(broker, { http: fixture.url }, { CLIENT_ID: ID });
  const talk = await crossTalk(broker.relayUrl(ID), prompt => ({ name: "test_sampling", arguments: { prompt } }));
  expect(talk).toEqual({ strange: [], asked: CLIENTS * CALLS });
  await broker.quiet();
  expect(troubles(processes)).toEqual([]);
}, 60_000);
