// What a relay carries, byte by byte, and what it does not: large answers, large numbers, too much at once.
import { expect, test } from "bun:test";
import { bytes, type Respond, status } from "../kit/backend/backend.ts";
import { call } from "../kit/http/call.ts";
import { toolsCommand } from "../kit/mcp/command.ts";
import { Roll } from "../kit/mcp/roll.ts";
import { HELLO, McpSession, textOf } from "../kit/mcp/session.ts";
import { HttpTools, type ToolCall } from "../kit/mcp/tools-http.ts";
import { headerOf, jsonOf, rpc } from "../kit/mcp/world.ts";
import { Processes, troubles } from "../kit/processes.ts";

const MIB = 1024 * 1024;
const ID = "tools";
const EVENTS = { "content-type": "text/event-stream" };
const KEEP_ALIVE = ": keep-alive\n\n";
/** No double holds this. */
const NUMBER = "9007199254740993123";

/** A result of 8 MiB as an HTTP server of its own making says it. */
const large = (id: ToolCall["id"]): string =>
  `{"jsonrpc":"2.0","id":${id},"result":{"content":[{"type":"text","text":"${"é".repeat(4 * MIB)}"}]}}`;
/** A result with numbers that no double holds. */
const digits = (id: ToolCall["id"]): string =>
  `{"jsonrpc":"2.0",  "id":${id},"result":{"n":${NUMBER},"f":1.10,"e":1E400}}`;

const asJson = (text: string): Respond => status(200, text, { "content-type": "application/json" });
const asEvents = (text: string): Respond => bytes([`id: 1\r\ndata: ${text}\r\n\r\n`], EVENTS);

test("an HTTP server's 8 MiB and its numbers arrive as they are, in JSON and as events", async () => {
  await using tools = await HttpTools.start({
    "large json": ({ id }) => asJson(large(id)),
    "large events": ({ id }) => asEvents(large(id)),
    "digits json": ({ id }) => asJson(digits(id)),
    "digits events": ({ id }) => asEvents(digits(id)),
  });
  await using processes = new Processes();
  const broker = await processes.broker();
  await processes.relay(broker, { http: tools.url }, { CLIENT_ID: ID });
  const session = await McpSession.open(broker.relayUrl(ID));
  for (const [kind, expected] of [
    ["large", large(1)],
    ["digits", digits(1)],
  ]) {
    const json = await session.call(`${kind} json`, {}, 1).answer();
    expect(json).toMatchObject({ status: 200, complete: true });
    expect(json.body.equals(Buffer.from(`${expected}`))).toBeTrue();
    const events = await session.call(`${kind} events`, {}, 1).answer();
    expect(events).toMatchObject({ status: 200, complete: true });
    expect(events.body.toString().replace(KEEP_ALIVE, "") === `id: 1\r\ndata: ${expected}\r\n\r\n`).toBeTrue();
  }
  const body = `{"jsonrpc":"2.0", "id":${NUMBER},"method":"tools/call","params":{"name":"echo","n":-${NUMBER},"f":1.10}}`;
  await session.post(body).answer();
  expect(tools.calls("echo").map(({ body }) => body)).toEqual([body]);
  await broker.quiet();
  expect(troubles(processes)).toEqual([]);
}, 60_000);

test("a program's 8 MiB and its numbers arrive as they are, and its callers' at the program", async () => {
  await using roll = await Roll.start();
  await using processes = new Processes();
  const broker = await processes.broker();
  await processes.relay(broker, toolsCommand(roll), { CLIENT_ID: ID });
  const session = await McpSession.open(broker.relayUrl(ID));
  const answer = await session.call("big", { bytes: 8 * MIB }).answer();
  expect(answer).toMatchObject({ status: 200, complete: true });
  expect(textOf(answer) === "y".repeat(8 * MIB)).toBeTrue();
  for (const id of [NUMBER, `-${NUMBER}`, `"${NUMBER}"`]) {
    const line = `{"jsonrpc":"2.0", "id":${id},"method":"tools/call","params":{"name":"digits","arguments":{"n":"${NUMBER}"},"m":${NUMBER}}}`;
    const said = (await session.post(line).answer()).body.toString();
    expect(said).toContain(`"id":${id},"result":{"n":${NUMBER},"line":${JSON.stringify(line)}}`);
  }
  await session.end();
  await broker.quiet();
  expect(troubles(processes)).toEqual([]);
}, 60_000);

test("a body of 11 MB is refused with 413, and a 17th call with 429 when it has waited; what runs beside it may be told and asked", async () => {
  await using tools = await HttpTools.start();
  await using processes = new Processes();
  const broker = await processes.broker({ MCP_QUEUE_TIMEOUT: "200ms" });
  await processes.relay(broker, { http: tools.url }, { CLIENT_ID: ID });
  const session = await McpSession.open(broker.relayUrl(ID));
  const huge = await session.post(rpc(7, "tools/call", { name: "echo", text: "x".repeat(11_000_000) })).answer();
  expect(huge.status).toBe(413);
  expect(jsonOf(huge)).toMatchObject({ jsonrpc: "2.0", error: { data: { mcp: "MCP_LIMIT_EXCEEDED" } } });
  expect(tools.calls("echo")).toHaveLength(0);

  const running = Array.from({ length: 16 }, () => session.call("silent"));
  await tools.called("silent", running.length);
  for (const body of [rpc(99, "tools/call", { name: "silent" }), HELLO]) {
    const refused = await call(broker.relayUrl(ID), { headers: session.headers, body });
    expect([refused.status, headerOf(refused, "retry-after")]).toEqual([429, expect.stringMatching(/^\d+$/)]);
    expect(jsonOf(refused)).toMatchObject({ error: { data: { mcp: "MCP_LIMIT_EXCEEDED" } } });
  }
  expect(tools.calls("silent")).toHaveLength(running.length);
  const listener = session.listen();
  await listener.shows("hello");
  expect((await session.send({ id: 0, result: {} })).status).toBe(202);
  const answers = running.map(asked => asked.answer());
  tools.gate.release();
  expect(textOf(await Promise.race(answers))).toBe("at last");
  expect(await session.text("echo", { text: "room for one" })).toBe("room for one");
  tools.gate.open();
  expect((await Promise.all(answers)).map(textOf)).toEqual(running.map(() => "at last"));
  listener.abort();
  await session.end();
  await broker.quiet();
  await tools.backend.idle();
  expect(troubles(processes)).toEqual([]);
}, 60_000);
