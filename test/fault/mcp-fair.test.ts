// Tools and token streams beside each other on one broker: whoever says little is not kept waiting by those who say much.
import { expect, test } from "bun:test";
import { chatStream, type Respond } from "../kit/backend/backend.ts";
import { Call } from "../kit/http/call.ts";
import { McpSession, textOf } from "../kit/mcp/session.ts";
import { answerTo, event, HttpTools } from "../kit/mcp/tools-http.ts";
import { rpc } from "../kit/mcp/world.ts";
import { AUTHORIZED, type BrokerProgram, chatBody } from "../kit/process/broker.ts";
import { Processes, troubles } from "../kit/processes.ts";
import { Gate } from "../kit/time/gate.ts";
import { Changes, eventually } from "../kit/time/until.ts";

const ID = "tools";
const SESSIONS = 100;
const STREAMS = 50;
/** Token streams that flow as fast as they are read. */
const FLOODS = 25;
const STEPS = 8;
const WORDS = Array.from({ length: STEPS }, (_, i) => `word${i + 1} `);
/** Stands between the flood and its end, so that no part of the end is taken for flood. */
const BREAK = ": the end\n\n";
const EVENTS = { "content-type": "text/event-stream" };
/** Longest wait for a step, on a busy machine. */
const STEP_MS = 30_000;

/** Events as fast as they are taken until it is stopped, then an end; and whoever reads them. */
class Flood {
  readonly #piece: Buffer;
  readonly #changes = new Changes();
  readonly #readers: { taken: number; seen: number; tail: string }[] = [];
  #stopped = false;

  constructor(one: string) {
    this.#piece = Buffer.alloc(Math.floor((64 * 1024) / one.length) * one.length, one);
  }

  /** The writing side. */
  respond(end: string): Respond {
    const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => this.#pull(controller, end);
    return () => new Response(new ReadableStream<Uint8Array>({ pull }, { highWaterMark: 0 }), { headers: EVENTS });
  }

  #pull(controller: ReadableStreamDefaultController<Uint8Array>, end: string): void {
    controller.enqueue(new Uint8Array(this.#stopped ? Buffer.from(BREAK + end) : this.#piece));
    if (this.#stopped) controller.close();
  }

  /** Reads an answer; what it ends with, beginning where it is no longer the flood. */
  async read(response: Response): Promise<string> {
    const reader = { taken: 0, seen: 0, tail: "" };
    this.#readers.push(reader);
    for await (const chunk of response.body ?? []) {
      this.#check(reader, Buffer.from(chunk));
      this.#changes.notify();
    }
    return reader.tail;
  }

  /** Resolves once every one of `count` readers has got something since the last time. */
  async flows(count: number): Promise<void> {
    const { length } = this.#piece;
    await this.#changes.when(
      () => this.#readers.length === count && this.#readers.every(({ taken, seen }) => taken >= seen + length),
      () =>
        `${count} floods flow on: ${this.#readers.filter(({ taken, seen }) => taken < seen + length).length} do not`,
      STEP_MS,
    );
    for (const reader of this.#readers) reader.seen = reader.taken;
  }

  stop(): void {
    this.#stopped = true;
  }

  #check(reader: { taken: number; tail: string }, chunk: Buffer): void {
    // A relay's stream may begin with a comment.
    let rest =
      reader.taken === 0 && chunk.subarray(0, 1).toString() === ":" ? chunk.subarray(chunk.indexOf("\n\n") + 2) : chunk;
    while (rest.length > 0 && reader.tail === "") {
      const at = reader.taken % this.#piece.length;
      const length = Math.min(rest.length, this.#piece.length - at);
      if (rest.compare(this.#piece, at, at + length, 0, length) !== 0) break;
      reader.taken += length;
      rest = rest.subarray(length);
    }
    reader.tail += rest.toString();
  }
}

interface Both {
  broker: BrokerProgram;
  tools: HttpTools;
  sessions: McpSession[];
}

async function start(processes: Processes, tools: HttpTools, llm: Respond): Promise<Both> {
  const backend = await processes.backend({ respond: llm });
  const broker = await processes.broker({ BROKER_MAX_CONCURRENCY_PER_CLIENT: "1000" });
  await processes.agent(broker, backend, { MAX_CONCURRENCY: "1000" });
  await processes.relay(broker, { http: tools.url }, { CLIENT_ID: ID });
  const open = (): Promise<McpSession> => McpSession.open(broker.relayUrl(ID));
  return { broker, tools, sessions: await Promise.all(Array.from({ length: SESSIONS }, open)) };
}

function openStream(broker: BrokerProgram): Call {
  return new Call(`${broker.url}/chat/completions`, {
    headers: { ...AUTHORIZED, "content-type": "application/json" },
    body: JSON.stringify(chatBody({ stream: true })),
  });
}

/** Lets all go one step and waits until each has come there. */
async function step(gate: Gate, asked: readonly Call[], shows: string): Promise<void> {
  await eventually(
    () => gate.waiting === asked.length,
    () => `${gate.waiting} wait for ${shows}`,
    STEP_MS,
  );
  gate.release(asked.length);
  await Promise.all(asked.map(one => one.when(() => one.text.includes(shows), shows, STEP_MS)));
}

test(`${SESSIONS} tool calls beside ${STREAMS} token streams, all of them in step`, async () => {
  await using tools = await HttpTools.start();
  await using processes = new Processes();
  const gate = new Gate();
  const { broker, sessions } = await start(processes, tools, chatStream(WORDS, { gate }));
  const calls = sessions.map(session => session.call("steps", { steps: STEPS }));
  const streams = Array.from({ length: STREAMS }, () => openStream(broker));
  for (const [at, word] of WORDS.entries())
    await Promise.all([step(tools.gate, calls, `"progress":${at + 1}}`), step(gate, streams, word)]);
  tools.gate.open();
  expect(
    (await Promise.all(calls.map(one => one.answer(STEP_MS)))).filter(answer => textOf(answer) !== "done"),
  ).toEqual([]);
  const answers = await Promise.all(streams.map(one => one.answer(STEP_MS)));
  expect(answers.filter(answer => !answer.complete || !answer.body.toString().endsWith("data: [DONE]\n\n"))).toEqual(
    [],
  );
  await broker.quiet();
  expect(troubles(processes)).toEqual([]);
}, 60_000);

test(`${SESSIONS} tool calls in step beside ${FLOODS} token streams that flow as fast as they are read`, async () => {
  await using tools = await HttpTools.start();
  await using processes = new Processes();
  const flood = new Flood('data: {"choices":[{"delta":{"content":"word "}}]}\n\n');
  const { broker, sessions } = await start(processes, tools, flood.respond("data: [DONE]\n\n"));
  const floods = Array.from({ length: FLOODS }, async () => flood.read(await broker.chat({ stream: true })));
  await flood.flows(FLOODS);
  const calls = sessions.map(session => session.call("steps", { steps: STEPS }));
  for (let at = 1; at <= STEPS; at++) {
    await step(tools.gate, calls, `"progress":${at}}`);
    await flood.flows(FLOODS);
  }
  tools.gate.open();
  expect(
    (await Promise.all(calls.map(one => one.answer(STEP_MS)))).filter(answer => textOf(answer) !== "done"),
  ).toEqual([]);
  await flood.flows(FLOODS);
  flood.stop();
  expect(new Set(await Promise.all(floods))).toEqual(new Set([`${BREAK}data: [DONE]\n\n`]));
  await broker.quiet();
  expect(troubles(processes)).toEqual([]);
}, 60_000);

test(`${STREAMS} token streams in step beside ${FLOODS} tools that talk as fast as they are listened to`, async () => {
  const flood = new Flood(
    event({ jsonrpc: "2.0", method: "notifications/message", params: { level: "info", data: "talk" } }),
  );
  await using tools = await HttpTools.start({ talk: call => flood.respond(event(answerTo(call, "done"))) });
  await using processes = new Processes();
  const gate = new Gate();
  const { broker, sessions } = await start(processes, tools, chatStream(WORDS, { gate }));
  const floods = sessions.slice(0, FLOODS).map(async ({ url, headers }) => {
    const body = rpc(1, "tools/call", { name: "talk" });
    return flood.read(await fetch(url, { method: "POST", headers, body, keepalive: false }));
  });
  await flood.flows(FLOODS);
  const streams = Array.from({ length: STREAMS }, () => openStream(broker));
  for (const word of WORDS) {
    await step(gate, streams, word);
    await flood.flows(FLOODS);
  }
  const answers = await Promise.all(streams.map(one => one.answer(STEP_MS)));
  expect(answers.filter(answer => !answer.complete || !answer.body.toString().endsWith("data: [DONE]\n\n"))).toEqual(
    [],
  );
  await flood.flows(FLOODS);
  flood.stop();
  expect(new Set(await Promise.all(floods))).toEqual(new Set([BREAK + event(answerTo({ id: 1 }, "done"))]));
  await broker.quiet();
  expect(troubles(processes)).toEqual([]);
}, 60_000);
