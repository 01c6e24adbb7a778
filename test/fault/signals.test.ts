import { expect, test } from "bun:test";
import { AfterFirst } from "../kit/backend/after-first.ts";
import { chatStream, type TestBackend } from "../kit/backend/backend.ts";
import { RawClient } from "../kit/http/raw-client.ts";
import { AUTHORIZED, type BrokerProgram, chatBody } from "../kit/process/broker.ts";
import type { Env, Program } from "../kit/process/program.ts";
import { Processes } from "../kit/processes.ts";
import { Gate } from "../kit/time/gate.ts";

const WORDS = ["one ", "two ", "three"];
const CHAT = "/api/llm/v1/chat/completions";

/** A broker and an agent with three streams that have begun and wait at the gate. */
class Busy {
  constructor(
    readonly processes: Processes,
    readonly gate: Gate,
    readonly backend: TestBackend,
    readonly broker: BrokerProgram,
    readonly agent: Program,
    readonly clients: RawClient[],
  ) {}

  static async start(processes: Processes, env: { broker?: Env; agent?: Env } = {}): Promise<Busy> {
    const gate = new Gate();
    const backend = await processes.backend();
    backend.respond = (request, recorded) => chatStream(WORDS, { gate: new AfterFirst(gate) })(request, recorded);
    const broker = await processes.broker(env.broker);
    const agent = await processes.agent(broker, backend, { MAX_CONCURRENCY: "3", CLIENT_ID: "busy", ...env.agent });
    const clients = await Promise.all([1, 2, 3].map(() => askForEvents(broker)));
    await Promise.all(clients.map(client => client.when(() => client.text !== "", "the first word of a stream")));
    return new Busy(processes, gate, backend, broker, agent, clients);
  }

  /** Lets the streams run to their end; whether all of them are whole. */
  async finish(): Promise<boolean> {
    this.gate.open();
    await Promise.all(this.clients.map(client => client.settled()));
    return this.clients.every(isWhole);
  }

  /** Whether all streams have failed for whoever reads them. */
  async areCut(): Promise<boolean> {
    await Promise.all(this.clients.map(client => client.settled()));
    return this.clients.every(
      client => !isWhole(client) && (!client.complete || client.text.includes("event: error\n")),
    );
  }

  /** Nothing but log lines has been printed. */
  get strays(): string[] {
    return this.processes.all.flatMap(program => program.strays);
  }
}

async function askForEvents(broker: BrokerProgram): Promise<RawClient> {
  const client = await RawClient.connect(broker.port);
  await client.post(CHAT, JSON.stringify(chatBody({ stream: true })), AUTHORIZED);
  return client;
}

const isWhole = (client: RawClient): boolean =>
  client.complete && WORDS.every(word => client.text.includes(word)) && client.text.endsWith("data: [DONE]\n\n");

const draining = (program: Program): Promise<unknown> =>
  program.line(line => line.msg === "draining", "begins to drain");
const LEFT = { code: 0, signal: null };

test("SIGTERM to a broker: new work is refused, what runs and waits finishes, then it ends with 0", async () => {
  await using processes = new Processes();
  const busy = await Busy.start(processes);
  const { broker } = busy;
  const waiting = await askForEvents(broker);
  await waiting.when(() => waiting.text.includes("nfrx.queue"), "its place in the queue");
  broker.signal("SIGTERM");
  await draining(broker);
  const refused = await broker.chat();
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, expect.stringMatching(/^\d+$/)]);
  expect((await fetch(`${broker.origin}/healthz`)).status).toBe(503);
  expect((await fetch(`${broker.origin}/readyz`)).status).toBe(503);
  expect(await busy.finish()).toBe(true);
  expect(isWhole(await waiting.settled())).toBe(true);
  expect(await broker.ending()).toEqual(LEFT);
  expect(await busy.agent.ending()).toMatchObject({ code: 1 });
  expect(busy.strays).toEqual([]);
}, 60_000);

test("a second SIGTERM ends a broker at once", async () => {
  await using processes = new Processes();
  const busy = await Busy.start(processes);
  busy.broker.signal("SIGTERM");
  await draining(busy.broker);
  busy.broker.signal("SIGTERM");
  expect(await busy.broker.ending()).toEqual({ code: 143, signal: null });
  expect(await busy.areCut()).toBe(true);
  await busy.backend.aborted(3);
  expect(busy.strays).toEqual([]);
}, 60_000);

for (const timeout of ["0", "100ms"]) {
  test(`a broker with DRAIN_TIMEOUT=${timeout} cuts what does not end in time`, async () => {
    await using processes = new Processes();
    const busy = await Busy.start(processes, { broker: { DRAIN_TIMEOUT: timeout } });
    busy.broker.signal("SIGTERM");
    expect(await busy.broker.ending()).toEqual(LEFT);
    expect(await busy.areCut()).toBe(true);
    await busy.backend.aborted(3);
    expect(busy.broker.lines.map(line => line.msg)).toContain("not all work finished before the drain timed out");
    expect(busy.strays).toEqual([]);
  }, 60_000);
}

test("SIGTERM to an agent: it finishes its work and ends with 0, new work goes elsewhere", async () => {
  await using processes = new Processes();
  const busy = await Busy.start(processes);
  const { broker, agent } = busy;
  const other = await processes.backend();
  await processes.agent(broker, other, { CLIENT_ID: "other" });
  agent.signal("SIGTERM");
  await broker.line(line => line.msg === "worker changed" && line["state"] === "draining", "the worker drains");
  for (let i = 0; i < 4; i++) expect((await broker.chat()).status).toBe(200);
  expect(other.requests).toHaveLength(4);
  expect(busy.backend.requests).toHaveLength(3);
  expect(agent.running).toBe(true);
  expect(await busy.finish()).toBe(true);
  expect(await agent.ending()).toEqual(LEFT);
  await broker.line(line => line.msg === "worker disconnected" && line["worker_id"] === "busy", "the worker is gone");
  await broker.quiet();
  expect(busy.strays).toEqual([]);
}, 60_000);

test("a second SIGTERM ends an agent at once", async () => {
  await using processes = new Processes();
  const busy = await Busy.start(processes);
  busy.agent.signal("SIGTERM");
  await draining(busy.agent);
  busy.agent.signal("SIGTERM");
  expect(await busy.agent.ending()).toEqual({ code: 143, signal: null });
  expect(await busy.areCut()).toBe(true);
  await busy.broker.quiet();
  expect(busy.strays).toEqual([]);
}, 60_000);

for (const timeout of ["0", "100ms"]) {
  test(`an agent with DRAIN_TIMEOUT=${timeout} cuts what does not end in time`, async () => {
    await using processes = new Processes();
    const busy = await Busy.start(processes, { agent: { DRAIN_TIMEOUT: timeout } });
    busy.agent.signal("SIGTERM");
    expect(await busy.agent.ending()).toEqual(LEFT);
    expect(await busy.areCut()).toBe(true);
    await busy.broker.quiet();
    expect(busy.strays).toEqual([]);
  }, 60_000);
}

test("an agent in the middle of connecting ends with 0 on SIGTERM", async () => {
  await using processes = new Processes();
  const backend = await processes.backend();
  const agent = processes.start("nfrx-llm", {
    SERVER_URL: "ws://127.0.0.1:9",
    COMPLETION_BASE_URL: backend.url,
    RECONNECT: "true",
  });
  await agent.line(line => line.msg === "not connected", "finds no broker");
  agent.signal("SIGTERM");
  expect(await agent.ending()).toEqual(LEFT);
  expect(agent.strays).toEqual([]);
}, 60_000);

test("a broker restarts: an agent with RECONNECT comes back, one without says why it ends", async () => {
  await using processes = new Processes();
  const backend = await processes.backend();
  const broker = await processes.broker();
  const faithful = await processes.agent(broker, backend, { CLIENT_ID: "faithful", RECONNECT: "true" });
  const fickle = await processes.agent(broker, backend, { CLIENT_ID: "fickle" });
  broker.signal("SIGTERM");
  expect(await broker.ending()).toEqual(LEFT);
  expect(await fickle.ending()).toMatchObject({ code: 1 });
  const last = fickle.lines.at(-1);
  expect([last?.level, last?.["reason"]]).toEqual(["error", expect.stringContaining("1012")]);
  const next = await processes.broker({ PORT: String(broker.port) });
  await next.line(line => line.msg === "worker registered" && line["worker_id"] === "faithful", "the agent is back");
  expect((await next.chat()).status).toBe(200);
  await next.quiet();
  expect([broker, next, faithful, fickle].flatMap(program => program.strays)).toEqual([]);
}, 60_000);

test("a taken port ends a broker with a word about it", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  for (const env of [{ PORT: String(broker.port) }, { PORT: "0", METRICS_PORT: String(broker.port) }]) {
    const second = processes.start("nfrx", { HOST: "127.0.0.1", ...env });
    const { code } = await second.ending();
    expect(code).toBe(1);
    const said = [...second.strays, ...second.lines.map(line => JSON.stringify(line))].join("\n");
    expect(said).toContain(String(broker.port));
    expect(said).toMatch(/PORT: cannot listen on .*: another program uses this port/);
    expect(second.strays).toHaveLength(1);
  }
  expect((await fetch(`${broker.origin}/healthz`)).status).toBe(200);
}, 60_000);
