// What is killed behind a relay's address: a server of a session, the relay, the broker.
import { expect, test } from "bun:test";
import type { Call } from "../kit/http/call.ts";
import { call } from "../kit/http/call.ts";
import { toolsCommand } from "../kit/mcp/command.ts";
import { Roll } from "../kit/mcp/roll.ts";
import { HELLO, McpSession, messagesOf, textOf } from "../kit/mcp/session.ts";
import { HttpTools } from "../kit/mcp/tools-http.ts";
import { headerOf, jsonOf, MCP_HEADERS } from "../kit/mcp/world.ts";
import type { Env } from "../kit/process/program.ts";
import { Processes, troubles } from "../kit/processes.ts";

const ID = "tools";
const RELAY: Env = { CLIENT_ID: ID };
const UNAVAILABLE = { error: { data: { mcp: "MCP_PROVIDER_UNAVAILABLE" } } };

/** Whether the client was told by the end of its connection that its answer is not whole. */
async function isCut(asked: Call): Promise<boolean> {
  return !(await asked.answer()).complete;
}

/** A call that says nothing for ever is under way. */
async function hold(session: McpSession, name: string, roll: Roll): Promise<Call> {
  const asked = session.call("hold", { name });
  await roll.holds(name);
  await asked.shows("notifications/progress");
  return asked;
}

test("SIGKILL of a session's server in mid-call: its caller is told, its session is over, the others go on", async () => {
  await using roll = await Roll.start();
  await using processes = new Processes();
  const broker = await processes.broker();
  const relay = await processes.relay(broker, toolsCommand(roll), RELAY);
  const url = broker.relayUrl(ID);
  const [doomed, other, idle] = await Promise.all([1, 2, 3].map(() => McpSession.open(url)));
  if (doomed === undefined || other === undefined || idle === undefined) throw new Error("no sessions");
  const [lost, alsoLost, going] = [
    await hold(doomed, "one", roll),
    await hold(doomed, "two", roll),
    await hold(other, "three", roll),
  ];
  const listener = doomed.listen();
  await listener.head();
  const before = roll.members.size;
  const pid = await idle.text("pid");

  (await roll.holds("one")).kill();
  for (const [id, asked] of [lost, alsoLost].entries()) {
    const answer = await asked.answer();
    expect(answer).toMatchObject({ status: 200, complete: true });
    expect(messagesOf(answer).at(-1)).toMatchObject({
      id: id + 1,
      error: { code: -32_000, message: expect.stringContaining("SIGKILL") },
    });
  }
  await listener.answer();
  const after = await doomed.call("echo", { text: "gone" }, "late").answer();
  expect(after.status).toBe(404);
  expect(jsonOf(after)).toMatchObject({ error: { code: -32_001 } });
  await roll.alive(before - 1);

  const next = await McpSession.open(url);
  expect(await next.text("echo", { text: "here again" })).toBe("here again");
  expect(await idle.text("pid")).toBe(pid);
  roll.release();
  expect(textOf(await going.answer())).toBe("held three");
  expect(await other.text("echo", { text: "well" })).toBe("well");
  await Promise.all([next, other, idle].map(session => session.end()));
  await broker.quiet();
  // The one that is kept for clients without sessions.
  await roll.alive(1);
  expect(relay.running).toBeTrue();
  expect(troubles(processes)).toEqual([]);
}, 60_000);

test("SIGKILL of a relay in front of a program: clients are cut, its servers end, and it takes its id again", async () => {
  await using roll = await Roll.start();
  await using processes = new Processes();
  const broker = await processes.broker();
  const relay = await processes.relay(broker, toolsCommand(roll), RELAY);
  const url = broker.relayUrl(ID);
  const sessions = await Promise.all([1, 2, 3].map(() => McpSession.open(url)));
  const streams = await Promise.all(sessions.map((session, i) => hold(session, `call ${i}`, roll)));
  const listeners = sessions.map(session => session.listen());
  await Promise.all(listeners.map(listener => listener.head()));

  await relay.kill();
  expect(await Promise.all([...streams, ...listeners].map(isCut))).toEqual([...streams, ...listeners].map(() => true));
  await roll.alive(0);
  const offline = await call(url, { headers: MCP_HEADERS, body: HELLO });
  expect([offline.status, headerOf(offline, "retry-after")]).toEqual([503, expect.stringMatching(/^\d+$/)]);
  // Nobody reads a body that no relay takes, so the call's id is not known.
  expect(jsonOf(offline)).toMatchObject({ id: null, ...UNAVAILABLE });
  await broker.quiet();

  await processes.relay(broker, toolsCommand(roll), RELAY);
  const next = await McpSession.open(url);
  expect(await next.text("echo", { text: "back" })).toBe("back");
  // Its session went with its server.
  expect((await sessions[0]?.call("echo").answer())?.status).toBe(404);
  await next.end();
  await broker.quiet();
  expect(troubles(processes)).toEqual([]);
}, 60_000);

test("SIGKILL of a relay in front of an HTTP server: clients are cut or told, and their sessions go on with the next relay", async () => {
  await using tools = await HttpTools.start();
  await using processes = new Processes();
  const broker = await processes.broker();
  const relay = await processes.relay(broker, { http: tools.url }, RELAY);
  const url = broker.relayUrl(ID);
  const session = await McpSession.open(url);
  const stream = session.call("hold", { name: "stream" });
  await stream.shows("notifications/progress");
  const listener = session.listen();
  await listener.shows("hello");
  const pending = session.call("silent");
  await tools.called("silent", 1);

  await relay.kill();
  expect(await Promise.all([stream, listener].map(isCut))).toEqual([true, true]);
  const answer = await pending.answer();
  expect(answer).toMatchObject({ status: 502, complete: true });
  expect(jsonOf(answer)).toMatchObject({ id: 2, error: { data: { mcp: "MCP_UPSTREAM_ERROR" } } });
  await tools.backend.aborted(3);
  const offline = await session.call("echo", { text: "anybody?" }).answer();
  expect(offline.status).toBe(503);
  expect(jsonOf(offline)).toMatchObject(UNAVAILABLE);
  await broker.quiet();

  await processes.relay(broker, { http: tools.url }, RELAY);
  expect(await session.text("echo", { text: "still here" })).toBe("still here");
  const again = session.listen();
  await again.shows("hello");
  again.abort();
  expect((await session.end()).status).toBe(200);
  expect(tools.sessions.size).toBe(0);
  // Nothing was sent twice.
  expect(["hold", "silent", "echo"].map(tool => tools.calls(tool).length)).toEqual([1, 1, 1]);
  await broker.quiet();
  await tools.backend.idle();
  expect(troubles(processes)).toEqual([]);
}, 60_000);

test("SIGKILL of the broker: relays come back to the next one on its port, and the sessions of their servers go on", async () => {
  await using roll = await Roll.start();
  await using tools = await HttpTools.start();
  await using processes = new Processes();
  const broker = await processes.broker();
  const [http, stdio] = [
    await processes.relay(broker, { http: tools.url }, { CLIENT_ID: "http", RECONNECT: "true" }),
    await processes.relay(broker, toolsCommand(roll), { CLIENT_ID: "stdio", RECONNECT: "true" }),
  ];
  const atHttp = await McpSession.open(broker.relayUrl("http"));
  const atStdio = await McpSession.open(broker.relayUrl("stdio"));
  const pid = await atStdio.text("pid");
  const stream = await hold(atStdio, "stream", roll);
  const begun = atHttp.call("hold", { name: "begun" });
  await begun.shows("notifications/progress");
  const pending = atHttp.call("silent");
  await tools.called("silent", 1);

  await broker.kill();
  expect(await Promise.all([stream, begun].map(isCut))).toEqual([true, true]);
  // Without a word, since nobody was left to say one.
  await expect(pending.answer()).rejects.toThrow("closed without an answer");
  await expect(atHttp.call("echo").answer()).rejects.toThrow("closed without an answer");
  await tools.backend.aborted(2);

  // Until they are back.
  for (const relay of [http, stdio]) relay.signal("SIGSTOP");
  const next = await processes.broker({ PORT: String(broker.port) });
  for (const session of [atHttp, atStdio]) {
    const offline = await session.call("echo", { text: "anybody?" }, "early").answer();
    expect([offline.status, headerOf(offline, "retry-after")]).toEqual([503, expect.stringMatching(/^\d+$/)]);
    expect(jsonOf(offline)).toMatchObject({ id: null, ...UNAVAILABLE });
  }
  for (const relay of [http, stdio]) relay.signal("SIGCONT");
  for (const id of ["http", "stdio"])
    await next.line(line => line.msg === "worker registered" && line["worker_name"] === id, `${id} is back`);

  expect(await atHttp.text("echo", { text: "still here" })).toBe("still here");
  expect(await atStdio.text("pid")).toBe(pid);
  // The call of a program's session goes on, and its client may come back for the answer.
  const seen = [...stream.text.matchAll(/^id: (.+)$/gm)].at(-1)?.[1];
  const resumed = atStdio.listen(seen);
  await resumed.head();
  roll.release();
  expect(textOf(await resumed.answer())).toBe("held stream");
  await Promise.all([atHttp, atStdio].map(session => session.end()));
  await next.quiet();
  await roll.alive(1);
  await tools.backend.idle();
  expect(["hold", "silent", "echo"].map(tool => tools.calls(tool).length)).toEqual([1, 1, 1]);
  expect(troubles(processes)).toEqual([]);
}, 60_000);
