// Clients that come, get so far and go away, in every phase of a request; for tests and for the soak.
import {
  bytes,
  chatJson,
  chatStream,
  cut,
  embeddings,
  headThenSilent,
  type Respond,
  silent,
} from "../backend/backend.ts";
import { RawClient } from "../http/raw-client.ts";
import { AUTHORIZED, chatBody } from "../process/broker.ts";
import { Gate } from "../time/gate.ts";

const CHAT = "/api/llm/v1/chat/completions";
const EMBEDDINGS = "/api/llm/v1/embeddings";
const MIB = 1024 * 1024;

/** Where a client goes away, and how often. */
const PHASES = {
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
  whole: 8,
};

type Phase = keyof typeof PHASES;

const events = Buffer.alloc(64 * 1024, "data: x\n\n");

/** A stream as fast as it is read, until its reader is gone. */
const flood: Respond = () =>
  new Response(
    new ReadableStream<Uint8Array>(
      { pull: controller => controller.enqueue(new Uint8Array(events)) },
      { highWaterMark: 0 },
    ),
    { headers: { "content-type": "text/event-stream" } },
  );

/** Answers of which the first pieces come, and never the rest. */
const begun = (pieces: number, answer: (gate: Gate) => Respond): Respond => {
  return (request, recorded) => {
    const gate = new Gate();
    gate.release(pieces);
    return answer(gate)(request, recorded);
  };
};

/** What a request may ask of the backend, in a field that the broker does not know. */
const BEHAVIOURS: Record<string, Respond> = {
  answer: chatJson("done"),
  silent: silent(),
  head: headThenSilent(),
  words: begun(1, gate => chatStream(["a ", "b ", "c"], { gate })),
  whole: chatStream(["a ", "b ", "c"]),
  json: begun(2, gate => bytes(['{"a":"', "x".repeat(100_000), '"}'], JSON_TYPE, 200, gate)),
  flood,
  cut: cut("data: 1\n\n", { headers: { "content-type": "text/event-stream" } }),
  hold: (request, recorded) => (recorded.body?.includes("hold me") ? silent() : embeddings())(request, recorded),
};

const JSON_TYPE = { "content-type": "application/json" };

/** The backend's side of a storm. */
export const stormBackend: Respond = (request, recorded) => {
  const name = /"behaviour":"(\w+)"/.exec(recorded.body ?? "")?.[1] ?? "answer";
  return (BEHAVIOURS[name] ?? chatJson("done"))(request, recorded);
};

/** Mulberry32: the same choices in every run with the same seed. */
export function randomness(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let word = Math.imul(state ^ (state >>> 15), 1 | state);
    word = (word + Math.imul(word ^ (word >>> 7), 61 | word)) ^ word;
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Lets the event loop go round. */
export async function turns(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>(resolve => setImmediate(resolve));
}

export class Storm {
  /** How often a client went away in which phase. */
  readonly phases: Record<string, number> = {};
  /** What became of the answers that clients waited for. */
  readonly answers = { whole: 0, failed: 0, short: 0 };

  constructor(
    private readonly port: number,
    private readonly random: () => number,
    /** Clients at work at once. */
    private readonly lanes: number,
  ) {}

  /** Sends `count` clients, or fewer when the signal aborts. */
  async run(count: number, signal?: AbortSignal): Promise<void> {
    let left = count;
    const lane = async (): Promise<void> => {
      while (left-- > 0 && signal?.aborted !== true) await this.#one();
    };
    await Promise.all(Array.from({ length: this.lanes }, lane));
  }

  async #one(): Promise<void> {
    const phase = this.#pick();
    this.phases[phase] = (this.phases[phase] ?? 0) + 1;
    const client = await RawClient.connect(this.port);
    await this.#reach(phase, client);
    client.destroy(this.random() < 0.5 ? "fin" : "rst");
  }

  #pick(): Phase {
    const phases = Object.entries(PHASES) as [Phase, number][];
    let at = this.random() * phases.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [phase, weight] of phases) {
      at -= weight;
      if (at < 0) return phase;
    }
    return "connected";
  }

  /** Up to `most` turns of the event loop. */
  #some(most: number): Promise<void> {
    return turns(Math.floor(this.random() * most));
  }

  /** One of them. */
  #either<T>(...choices: T[]): T {
    return choices[Math.floor(this.random() * choices.length)]!;
  }

  /** Brings a client to where it is to go away. */
  async #reach(phase: Phase, client: RawClient): Promise<void> {
    const chat = (behaviour: string, stream = true): Promise<void> =>
      client.post(CHAT, JSON.stringify(chatBody({ stream, behaviour })), AUTHORIZED);
    const seen = (holds: () => boolean, what: string): Promise<void> =>
      client.when(() => holds() || client.complete || client.closed, what, 60_000);
    switch (phase) {
      case "connected":
        return this.#some(3);
      case "head": // of the request
        await client.write(client.head(CHAT, AUTHORIZED).slice(0, Math.floor(this.random() * 150)));
        return this.#some(3);
      case "body":
        await this.#sendSome(client);
        return this.#some(5);
      case "upload":
        await this.#upload(client);
        return this.#some(20);
      case "anywhere": // queued or at a worker, before the answer's head
        await chat(this.#either("silent", "answer"), this.#either(true, false));
        return this.#some(40);
      case "answered":
        await chat(this.#either("head", "words"));
        await seen(() => client.status !== 0, "the head of an answer");
        return this.#some(5);
      case "down":
        await chat("words");
        await seen(() => client.text.includes("a "), "the first word");
        return this.#some(5);
      case "json":
        await chat("json", false);
        await seen(() => client.text !== "", "the first bytes");
        return this.#some(5);
      case "flood":
        await chat("flood");
        await seen(() => client.bytesIn > 100_000, "a flood");
        if (this.random() < 0.5) client.pause();
        return this.#some(30);
      case "fanout": {
        const input = Array.from({ length: 12 }, (_, i) => (this.random() < 0.05 ? "hold me" : `text ${i}`));
        await client.post(EMBEDDINGS, JSON.stringify({ model: "test-model", input, behaviour: "hold" }), AUTHORIZED);
        return this.#some(60);
      }
      case "whole": {
        const behaviour = this.#either("whole", "whole", "answer", "cut");
        await chat(behaviour, behaviour !== "answer");
        await client.settled(60_000);
        return this.#judge(client, behaviour);
      }
    }
  }

  /** A part of a small body whose length is announced. */
  async #sendSome(client: RawClient): Promise<void> {
    const body = JSON.stringify(chatBody({ behaviour: "answer" }));
    await client.write(client.head(CHAT, { ...AUTHORIZED, "content-length": String(body.length) }));
    await client.write(body.slice(0, Math.floor(this.random() * body.length)));
  }

  /** Much of a body that the worker is being sent, and never its end. */
  async #upload(client: RawClient): Promise<void> {
    await client.write(client.head(CHAT, { ...AUTHORIZED, "content-length": String(32 * MIB) }));
    await client.write('{"model":"test-model","behaviour":"answer","pad":"');
    for (let sent = 0; sent < 9; sent++) await client.write(Buffer.alloc(MIB, "x"));
  }

  /** A success must be a whole one. */
  #judge(client: RawClient, behaviour: string): void {
    const { status, complete, text } = client;
    const whole =
      behaviour === "answer" ? text.endsWith("}") && text.includes("done") : text.endsWith("data: [DONE]\n\n");
    if (status !== 200 || !complete || text.includes("event: error\ndata: {")) this.answers.failed++;
    else if (whole) this.answers.whole++;
    else this.answers.short++;
  }
}
