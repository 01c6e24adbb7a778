// SIGTERM in the middle of calls: to the relay, to the broker.
import { expect, test } from "bun:test";
import type { Call } from "../kit/http/call.ts";
import { toolsCommand } from "../kit/mcp/command.ts";
import { Roll } from "../kit/mcp/roll.ts";
import { HELLO, McpSession, messagesOf, textOf } from "../kit/mcp/session.ts";
import { headerOf, jsonOf } from "../kit/mcp/world.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import type { Program } from "../kit/process/program.ts";
import { Processes, troubles } from "../kit/processes.ts";

const ID = "tools";
const LEFT = { code: 0, signal: null };

/** A program's relay with two sessions: one call is held, another waits for its client's model, and a client listens. */
class Busy {
  private constructor(
    readonly broker: BrokerProgram,
    readonly relay: Program,
    readonly sessions: readonly [McpSession, McpSession],
    readonly held: Call,
    readonly asking: Call,
    readonly listener: Call,
  ) {}

  static async start(processes: Processes, roll: Roll, ...args: "lingers"[]): Promise<Busy> {
    const broker = await processes.broker();
    const relay = await processes.relay(broker, toolsCommand(roll, ...args), { CLIENT_ID: ID, RECONNECT: "true" });
    const [first, second] = await Promise.all([1, 2].map(() => McpSession.open(broker.relayUrl(ID))));
    if (first === undefined || second === undefined) throw new Error("no sessions");
    const held = first.call("hold", { name: "held" });
    await roll.holds("held");
    const asking = second.call("ask", { texts: ["who?"] });
    await asking.shows("sampling/createMessage");
    const listener = second.listen();
    await listener.head();
    return new Busy(broker, relay, [first, second], held, asking, listener);
  }

  /** What is asked now is refused, with a word when to come again. */
  async expectRefusals(): Promise<void> {
    const [session] = this.sessions;
    const fresh = session.post(HELLO);
    for (const asked of [session.call("echo", {}, "late"), fresh, session.listen()]) {
      const answer = await asked.answer();
      expect([answer.status, headerOf(answer, "retry-after")]).toEqual([503, expect.stringMatching(/^\d+$/)]);
      expect(jsonOf(answer)).toMatchObject({ jsonrpc: "2.0", error: { data: { mcp: "MCP_PROVIDER_UNAVAILABLE" } } });
    }
  }

  /** The calls that run get what they wait for, and come to their end. */
  async finish(roll: Roll): Promise<void> {
    const request = messagesOf({
      headers: [["content-type", "text/event-stream"]],
      body: Buffer.from(this.asking.text),
    });
    const { id } = request.find(({ method }) => method === "sampling/createMessage") ?? {};
    const content = { type: "text", text: "me" };
    expect(await this.sessions[1].send({ id, result: { model: "m", role: "assistant", content } })).toMatchObject({
      status: 202,
    });
    expect(textOf(await this.asking.answer())).toBe("me");
    roll.release();
    expect(textOf(await this.held.answer())).toBe("held held");
  }
}

test("SIGTERM to a relay: running calls finish, new ones are refused, and its servers end with it", async () => {
  await using roll = await Roll.start();
  await using processes = new Processes();
  const busy = await Busy.start(processes, roll);
  const { broker, relay } = busy;
  relay.signal("SIGTERM");
  await broker.line(line => line.msg === "worker changed" && line["state"] === "draining", "the relay drains");
  await busy.expectRefusals();
  expect(relay.running).toBeTrue();
  await busy.finish(roll);
  expect(await relay.ending()).toEqual(LEFT);
  // Who only listened was not waited for.
  expect((await busy.listener.answer()).complete).toBeFalse();
  await roll.alive(0);
  await broker.line(line => line.msg === "worker disconnected", "the relay is gone");
  expect((await busy.sessions[0].call("echo").answer()).status).toBe(503);
  await broker.quiet();
  expect(troubles(processes)).toEqual([]);
}, 60_000);

test("SIGTERM to a broker: running calls finish, new ones are refused, and the sessions go on at the next broker", async () => {
  await using roll = await Roll.start();
  await using processes = new Processes();
  const busy = await Busy.start(processes, roll);
  const { broker } = busy;
  broker.signal("SIGTERM");
  await broker.line(line => line.msg === "draining", "drains");
  await busy.expectRefusals();
  await busy.finish(roll);
  expect(await broker.ending()).toEqual(LEFT);
  expect((await busy.listener.answer()).complete).toBeFalse();
  const next = await processes.broker({ PORT: String(broker.port) });
  await next.line(line => line.msg === "worker registered", "the relay is back");
  for (const session of busy.sessions) expect(await session.text("echo", { text: "on" })).toBe("on");
  await next.quiet();
  busy.relay.signal("SIGTERM");
  expect(await busy.relay.ending()).toEqual(LEFT);
  await roll.alive(0);
  expect(troubles(processes)).toEqual([]);
}, 60_000);

test("a second SIGTERM ends a relay at once, and its servers, even those that would stay", async () => {
  await using roll = await Roll.start();
  await using processes = new Processes();
  const { broker, relay, held, asking, listener } = await Busy.start(processes, roll, "lingers");
  relay.signal("SIGTERM");
  await relay.line(line => line.msg === "draining", "drains");
  relay.signal("SIGTERM");
  expect(await relay.ending()).toEqual({ code: 143, signal: null });
  for (const asked of [held, asking, listener]) expect((await asked.answer()).complete).toBeFalse();
  await roll.alive(0);
  await broker.quiet();
  expect(troubles(processes)).toEqual([]);
}, 60_000);

test("a relay with DRAIN_TIMEOUT=100ms cuts what does not end in time, and ends with 0", async () => {
  await using roll = await Roll.start();
  await using processes = new Processes();
  const broker = await processes.broker();
  const relay = await processes.relay(broker, toolsCommand(roll), { CLIENT_ID: ID, DRAIN_TIMEOUT: "100ms" });
  const session = await McpSession.open(broker.relayUrl(ID));
  const held = session.call("hold", { name: "held" });
  await roll.holds("held");
  relay.signal("SIGTERM");
  expect(await relay.ending()).toEqual(LEFT);
  expect((await held.answer()).complete).toBeFalse();
  await roll.alive(0);
  expect(relay.lines.map(line => line.msg)).toContain("drain timeout: some requests did not finish");
  await broker.quiet();
  expect(troubles(processes)).toEqual([]);
}, 60_000);
