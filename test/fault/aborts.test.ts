import { expect, test } from "bun:test";
import { bytes, chatJson, chatStream, embeddings, headThenSilent, type Respond, silent } from "../kit/backend.ts";
import { CountingClock } from "../kit/counting-clock.ts";
import { Gate } from "../kit/gate.ts";
import { AUTHORIZED, chatBody } from "../kit/processes.ts";
import { RawClient } from "../kit/raw-client.ts";
import { World } from "../kit/world.ts";

const ABORTS = 10_000;
const SEED = 20260722;
/** Clients at work at once; more than there are seats, so that some of them wait. */
const LANES = 64;
const WORKERS = 3;
const SEATS = 8;
const CHAT = "/api/llm/v1/chat/completions";
const EMBEDDINGS = "/api/llm/v1/embeddings";

const endless = Buffer.alloc(64 * 1024, "data: x\n\n");

/** A stream as fast as it is read, until its reader is gone. */
const flood: Respond = () =>
  new Response(
    new ReadableStream<Uint8Array>(
      { pull: controller => controller.enqueue(new Uint8Array(endless)) },
      { highWaterMark: 0 },
    ),
    { headers: { "content-type": "text/event-stream" } },
  );

/** What a request may ask of the backend, in a field that the broker does not know. */
const behaviours: Record<string, Respond> = {
  answer: chatJson("done"),
  silent: silent(),
  head: headThenSilent(),
  words: (request, recorded) => chatStream(["a ", "b ", "c"], { gate: passes(1) })(request, recorded),
  whole: chatStream(["a ", "b ", "c"]),
  json: (request, recorded) =>
    bytes(
      ['{"a":"', "x".repeat(100_000), '"}'],
      { "content-type": "application/json" },
      200,
      passes(2),
    )(request, recorded),
  flood,
  embed: embeddings(),
  hold: (request, recorded) => (recorded.body?.includes("hold me") ? silent() : embeddings())(request, recorded),
};

function passes(count: number): Gate {
  const gate = new Gate();
  gate.release(count);
  return gate;
}

/** Mulberry32: the same aborts in every run, as far as the choice goes. */
function randomness(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Lets the event loop go round. */
async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>(resolve => setImmediate(resolve));
}

class Storm {
  readonly counts: Record<string, number> = {};
  #left = ABORTS;

  constructor(
    private readonly port: number,
    private readonly random: () => number,
  ) {}

  async run(): Promise<void> {
    await Promise.all(Array.from({ length: LANES }, () => this.#lane()));
  }

  async #lane(): Promise<void> {
    while (this.#left-- > 0) {
      const phase = this.#pick();
      this.counts[phase] = (this.counts[phase] ?? 0) + 1;
      const client = await RawClient.connect(this.port);
      await this.#reach(phase, client);
      client.destroy(this.random() < 0.5 ? "fin" : "rst");
    }
  }

  #pick(): string {
    const names = Object.keys(PHASES);
    const at = this.random() * names.reduce((sum, name) => sum + (PHASES[name] ?? 0), 0);
    let sum = 0;
    return names.find(name => (sum += PHASES[name] ?? 0) > at) ?? "connected";
  }

  /** Brings a client to where it is to be aborted. */
  async #reach(phase: string, client: RawClient): Promise<void> {
    const some = (most: number): Promise<void> => turns(Math.floor(this.random() * most));
    const chat = (behaviour: string, stream = true): Promise<void> =>
      client.post(CHAT, JSON.stringify(chatBody({ stream, behaviour })), AUTHORIZED);
    switch (phase) {
      case "connected":
        return some(3);
      case "head": // of the request
        await client.write(client.head(CHAT, AUTHORIZED).slice(0, Math.floor(this.random() * 150)));
        return some(3);
      case "body": {
        const body = JSON.stringify(chatBody({ behaviour: "answer" }));
        await client.write(client.head(CHAT, { ...AUTHORIZED, "content-length": String(body.length) }));
        await client.write(body.slice(0, Math.floor(this.random() * body.length)));
        return some(5);
      }
      case "upload": {
        // Past what the broker holds, so that the worker is being sent a body whose end never comes.
        const length = 9 * 1024 * 1024;
        await client.write(client.head(CHAT, { ...AUTHORIZED, "content-length": String(2 * length) }));
        await client.write(`{"model":"test-model","behaviour":"answer","pad":"`);
        for (let sent = 0; sent < length; sent += 1024 * 1024) await client.write(Buffer.alloc(1024 * 1024, "x"));
        return some(20);
      }
      case "anywhere": // queued or with a worker, before the answer's head
        await chat(this.random() < 0.5 ? "silent" : "answer", this.random() < 0.5);
        return some(40);
      case "answered":
        await chat(this.random() < 0.5 ? "head" : "words");
        await client.when(() => client.status !== 0 || client.closed, "the head of an answer", 30_000);
        return some(5);
      case "down":
        await chat("words");
        await client.when(() => client.text.includes("a ") || client.closed, "the first word", 30_000);
        return some(5);
      case "json":
        await chat("json", false);
        await client.when(() => client.text !== "" || client.closed, "the first bytes", 30_000);
        return some(5);
      case "flood":
        await chat("flood");
        await client.when(() => client.bytesIn > 100_000 || client.closed, "a flood", 30_000);
        if (this.random() < 0.5) client.pause();
        return some(30);
      case "fanout": {
        const input = Array.from({ length: 12 }, (_, i) => (this.random() < 0.05 ? "hold me" : `text ${i}`));
        await client.post(EMBEDDINGS, JSON.stringify({ model: "test-model", input, behaviour: "hold" }), AUTHORIZED);
        return some(60);
      }
      case "ending":
        await chat(this.random() < 0.5 ? "whole" : "answer");
        await client.when(() => client.status !== 0 || client.closed, "an answer", 30_000);
        return;
      default:
        throw new Error(`no phase ${phase}`);
    }
  }
}

/** Where a client goes away, and how often. */
const PHASES: Record<string, number> = {
  connected: 5,
  head: 5,
  body: 10,
  upload: 0.4,
  anywhere: 30,
  answered: 10,
  down: 10,
  json: 5,
  flood: 2,
  fanout: 15,
  ending: 8,
};

test(`${ABORTS} clients that go away in every phase leave nothing behind`, async () => {
  const clock = new CountingClock();
  await using world = new World({ clock, pool: { queueSize: 10 * LANES, queueUpdateMs: 1000 } });
  for (let worker = 0; worker < WORKERS; worker++) {
    const { backend } = await world.worker({ clock, maxConcurrency: SEATS, batchSize: 2, reconnect: false });
    backend.respond = (request, recorded) => {
      const behaviour = /"behaviour":"(\w+)"/.exec(recorded.body ?? "")?.[1] ?? "answer";
      return (behaviours[behaviour] ?? behaviours["answer"]!)(request, recorded);
    };
  }
  await turns(10);
  const baseline = clock.live;
  const storm = new Storm(world.broker.port, randomness(SEED));
  await storm.run();
  console.log(storm.counts, performance.now());

  await world.when(() => world.quiet, "nothing is left at the broker", 30_000);
  await Promise.all(
    world.backends.map(backend => backend.when(() => backend.inflight === 0, "an idle backend", 30_000)),
  );
  await clock.when(
    () => clock.live <= baseline && world.agents.every(agent => agent.state === "connected_idle"),
    () =>
      `no timer and no job is left (timers ${baseline} → ${clock.live}, agents ${world.agents.map(agent => agent.state)})`,
  );
  expect(clock.live).toBe(baseline);
  expect(world.agents.map(agent => agent.status())).toEqual(
    world.agents.map(() => expect.objectContaining({ current_jobs: 0 })),
  );
  expect(world.logs.filter(line => line.level === "error" || line.message === "worker disconnected")).toEqual([]);

  // And it still serves.
  const answers = await Promise.all(Array.from({ length: WORKERS * SEATS }, () => world.chat({ behaviour: "answer" })));
  expect(answers.map(answer => answer.status)).toEqual(answers.map(() => 200));
  expect(await world.leftovers()).toEqual({});
}, 120_000);
