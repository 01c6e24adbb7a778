// Recordings and documents larger than what may be in memory: streamed, waiting on disk, given up half-way.
import { expect, test } from "bun:test";
import { chatStream, json, type RecordedRequest, type Respond, type TestBackend } from "../kit/backend/backend.ts";
import { RawClient } from "../kit/http/raw-client.ts";
import { inSockets, MIB, SpoolFolder, Upload, type UploadOptions } from "../kit/http/upload.ts";
import { AUTHORIZED, type BrokerProgram, chatBody } from "../kit/process/broker.ts";
import type { Program } from "../kit/process/program.ts";
import { Processes } from "../kit/processes.ts";
import { Gate } from "../kit/time/gate.ts";
import { until } from "../kit/time/until.ts";

/** Whole size against the programs as they are shipped; from source, where everybody's npm test runs it, less. */
const built = Boolean(process.env["NFRX_DIST"]);
const RECORDING = built ? 2048 : 256;
const STREAMS = 50;
const WORDS = Array.from({ length: 200 }, (_, i) => `word${i} `);
/** MiB by which a program may grow while uploads pass, however large they are. */
const GROWTH = 64;
const CHAT = "/api/llm/v1/chat/completions";
const TRANSCRIPTIONS = "/api/asr/v1/audio/transcriptions";
const CONVERT = "/api/docling/v1/convert/file";
/** Bytes of a converted document. */
const ANSWER = 100_000_000;

/** By how much programs have grown, at most, since this was made; in MiB. */
class Growth {
  readonly #before: [Program, number][];

  constructor(programs: readonly Program[]) {
    this.#before = programs.map(program => [program, program.rss]);
    for (const program of programs) program.resetPeak();
  }

  get mib(): Record<string, number> {
    return Object.fromEntries(this.#before.map(([program, rss]) => [program.name, Math.round(program.peak - rss)]));
  }

  /** The programs that have grown by more than they may, of which some may do so by so many MiB more. */
  beyond(more: Record<string, number> = {}): Record<string, number> {
    return Object.fromEntries(Object.entries(this.mib).filter(([name, mib]) => mib >= GROWTH + (more[name] ?? 0)));
  }
}

/** Streams of words, each of which gets every word in its turn. */
class Tokens {
  #gates: Gate[] = [];
  #said = Number.POSITIVE_INFINITY;

  readonly respond: Respond = (request, recorded) => {
    const gate = new Gate();
    gate.release(this.#said);
    this.#gates.push(gate);
    return chatStream(WORDS, { gate })(request, recorded);
  };

  /** From now on streams say only what they are told to. */
  hold(): void {
    this.#gates = [];
    this.#said = 0;
  }

  /** Every stream says one word more. */
  sayOne(): void {
    this.#said++;
    for (const gate of this.#gates) gate.release();
  }
}

/** A backend that takes recordings as fast as they come, or only the first MiB of them until its gate opens. */
class Listener {
  gate = new Gate();
  /** Who sent it → the SHA-256 of a whole body. */
  readonly heard = new Map<string, string>();

  readonly respond: Respond = async (request, recorded) => {
    const who = nameOf(recorded);
    const hash = new Bun.CryptoHasher("sha256");
    for await (const chunk of request.body ?? []) {
      hash.update(chunk);
      if (who.startsWith("slow") && recorded.bodyBytes >= MIB) await this.gate.wait(request.signal);
    }
    this.heard.set(who, hash.digest("hex"));
    return json({ text: who });
  };
}

/** A body in pieces of a MiB, the last of which waits for `end`. */
function slices(bytes: Uint8Array, end: unknown): ReadableStream<Uint8Array> {
  let at = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (at + MIB >= bytes.length) await end;
        controller.enqueue(new Uint8Array(bytes.subarray(at, at + MIB)));
        at += MIB;
        if (at >= bytes.length) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

function nameOf({ headers }: RecordedRequest): string {
  return headers.get("user-agent") ?? "";
}

/** What a backend knows of the request of this name. */
function requestOf(backend: TestBackend, who: string): RecordedRequest | undefined {
  return backend.requests.find(request => nameOf(request) === who);
}

/** Resolves when so much of a request's body has come to the backend. */
function arrives(backend: TestBackend, who: string, bytes: number): Promise<void> {
  return backend.when(() => (requestOf(backend, who)?.bodyBytes ?? 0) >= bytes, `${bytes} bytes of ${who}`, 60_000);
}

function recording(mib: number, model: UploadOptions["model"], who = "recording"): UploadOptions {
  return { path: TRANSCRIPTIONS, mib, model, headers: { "user-agent": who } };
}

/** Asks the broker for a gauge, of asr if it is one of a module, again and again until it is as `holds` wants it. Bounded. */
async function gauge(broker: BrokerProgram, name: string, holds: (value: number) => boolean): Promise<void> {
  let value = Number.NaN;
  let late = false;
  const look = async (): Promise<void> => {
    do value = await broker.metric(name, "asr");
    while (!holds(value) && !late);
  };
  await until(look(), () => `${name}, which is ${value}`).finally(() => {
    late = true;
  });
}

/** Resolves when the broker holds no body on disk any more. */
async function hasNoneSpooled(broker: BrokerProgram, spool: SpoolFolder): Promise<void> {
  await gauge(broker, "nfrx_spooled_body_bytes", bytes => bytes === 0);
  // The file itself is closed soon after its bytes have been given back.
  await gauge(broker, "nfrx_spooled_body_bytes", () => spool.openIn(broker) === 0);
  expect(spool.named).toEqual([]);
}

async function isQuiet(broker: BrokerProgram, spool: SpoolFolder): Promise<void> {
  await gauge(broker, "nfrx_drainable_inflight", count => count === 0);
  await broker.quiet();
  await hasNoneSpooled(broker, spool);
  expect(await broker.metric("nfrx_unhandled_errors_total")).toBe(0);
}

test.each([
  ["streamed", "before"],
  ["spooled", "after"],
] as const)(
  "a long recording is %s, with the model %s its file, beside 50 token streams",
  async (_, model) => {
    await using processes = new Processes();
    using spool = new SpoolFolder(processes.folder, RECORDING + 512);
    const tokens = new Tokens();
    const recordings = await processes.backend({ respond: () => json({ text: "so be it" }) });
    const chats = await processes.backend({ respond: tokens.respond });
    const broker = await processes.broker({ UPLOAD_SPOOL_DIR: spool.path });
    const asr = await processes.agent(broker, recordings, {}, "asr");
    const llm = await processes.agent(broker, chats, { MAX_CONCURRENCY: "200" });
    const openStreams = (): Promise<RawClient[]> =>
      Promise.all(
        Array.from({ length: STREAMS }, async () => {
          const client = await RawClient.connect(broker.port);
          await client.post(CHAT, JSON.stringify(chatBody({ stream: true })), AUTHORIZED);
          return client;
        }),
      );
    // The stream as the backend writes it to whoever asks it without a broker in between.
    const direct = await fetch(`${chats.url}/chat/completions`, {
      method: "POST",
      body: JSON.stringify(chatBody({ stream: true })),
    });
    const expected = await direct.text();
    const isRight = (client: RawClient): boolean => client.complete && client.text === expected;

    // Warm: code compiled, pools filled, heaps grown to what streams need.
    const warm = await openStreams();
    await Promise.all(warm.map(client => client.settled(30_000)));
    expect(warm.filter(client => !isRight(client))).toHaveLength(0);
    for (const client of warm) client.destroy();
    const small = await Upload.whole(broker.port, recording(1, model, "warm"));
    expect(small.client.status).toBe(200);
    await isQuiet(broker, spool);
    tokens.hold();
    const growth = new Growth([broker, asr, llm]);

    const streams = await openStreams();
    const upload = await Upload.begin(broker.port, recording(RECORDING, model));
    const sent = upload.finish();
    for (let word = 1; word <= WORDS.length; word++) {
      // Every so many MiB give each stream another word: they run side by side from end to end, in both halves of the way
      // of a recording that waits on disk in between.
      const share = (word / WORDS.length) * upload.length;
      const half = 2 * share - upload.length;
      if (model === "before") await arrives(recordings, "recording", share);
      else if (half > 0) await arrives(recordings, "recording", half);
      else await upload.reaches(2 * share, 60_000);
      tokens.sayOne();
      if (word % 20 > 0) continue;
      await Promise.all(
        streams.map(client => client.when(() => client.text.includes(`word${word - 1} `), `word ${word}`)),
      );
    }
    await sent;
    await upload.client.settled(60_000);
    await Promise.all(streams.map(client => client.settled(60_000)));

    expect(growth.beyond()).toEqual({});
    expect(streams.filter(client => !isRight(client))).toHaveLength(0);
    expect([upload.client.status, upload.client.text]).toEqual([200, '{"text":"so be it"}']);
    const received = requestOf(recordings, "recording");
    expect(received?.sha256).toBe(upload.sha256);
    expect(received?.headers.get("content-length")).toBe(String(upload.length));
    for (const client of [...streams, upload.client]) client.destroy();
    await isQuiet(broker, spool);
    expect([broker, asr, llm].flatMap(({ strays }) => strays)).toEqual([]);
  },
  120_000,
);

test.each(["rst", "fin"] as const)(
  "a client that is gone in the middle of its upload (%s) leaves nothing behind",
  async how => {
    await using processes = new Processes();
    using spool = new SpoolFolder(processes.folder, 512);
    const listener = new Listener();
    const backend = await processes.backend({ respond: listener.respond, readBody: false });
    const broker = await processes.broker({ UPLOAD_SPOOL_DIR: spool.path });
    await processes.agent(broker, backend, { MAX_CONCURRENCY: "1" }, "asr");

    // While it goes to the disk.
    const spooled = await Upload.begin(broker.port, recording(64, "after", "spooled"));
    await spooled.send(32);
    await gauge(broker, "nfrx_spooled_body_bytes", bytes => bytes > 8 * MIB);
    expect(spool.openIn(broker)).toBe(1);
    spooled.client.destroy(how);
    await isQuiet(broker, spool);
    expect(backend.requests).toHaveLength(0);

    // While it waits for a worker, whole and on disk.
    const busy = await Upload.begin(broker.port, recording(2, "before", "slow and first"));
    await busy.finish();
    await arrives(backend, "slow and first", MIB);
    const queued = await Upload.begin(broker.port, recording(32, "after", "queued"));
    await queued.finish();
    await gauge(broker, "nfrx_queue_length", waiting => waiting === 1);
    expect(await broker.metric("nfrx_spooled_body_bytes")).toBe(queued.length);
    queued.client.destroy(how);
    await gauge(broker, "nfrx_queue_length", waiting => waiting === 0);
    await hasNoneSpooled(broker, spool);
    listener.gate.release(busy.length);
    await busy.client.settled();
    expect([busy.client.status, listener.heard.get("slow and first")]).toEqual([200, busy.sha256]);
    await isQuiet(broker, spool);

    // While a worker is being sent it, from the client and from the disk.
    for (const [model, who] of [["before", "slow, streamed"] as const, ["after", "slow, from disk"] as const]) {
      listener.gate = new Gate();
      const upload = await Upload.begin(broker.port, recording(64, model, who));
      const sent = upload.finish();
      await arrives(backend, who, MIB);
      upload.client.destroy(how);
      await sent;
      // A farewell may stand behind bytes that the broker has not taken yet: then it is heard when the backend reads on.
      if (how === "fin" && model === "before") listener.gate.open();
      await backend.when(() => requestOf(backend, who)?.aborted === true, `an end of ${who}`);
      await isQuiet(broker, spool);
    }
    await backend.idle();
    expect(backend.requests.map(nameOf)).toEqual(["slow and first", "slow, streamed", "slow, from disk"]);

    const next = await Upload.whole(broker.port, recording(16, "after", "next"));
    expect([next.client.status, listener.heard.get("next")]).toEqual([200, next.sha256]);
    await isQuiet(broker, spool);
    expect(broker.strays).toEqual([]);
  },
  60_000,
);

test("a broker that is killed while it spools leaves no file behind", async () => {
  await using processes = new Processes();
  using spool = new SpoolFolder(processes.folder, 64);
  const broker = await processes.broker({ UPLOAD_SPOOL_DIR: spool.path });
  const upload = await Upload.begin(broker.port, recording(64, "after"));
  await upload.send(32);
  await gauge(broker, "nfrx_spooled_body_bytes", bytes => bytes > 8 * MIB);
  expect(spool.openIn(broker)).toBe(1);
  await broker.kill();
  expect(spool.named).toEqual([]);
  upload.client.destroy();
}, 60_000);

test("eight uploads at once, half of them spooled, through one agent", async () => {
  await using processes = new Processes();
  using spool = new SpoolFolder(processes.folder, 512);
  const listener = new Listener();
  const backend = await processes.backend({ respond: listener.respond, readBody: false });
  const broker = await processes.broker({ UPLOAD_SPOOL_DIR: spool.path });
  const agent = await processes.agent(broker, backend, { MAX_CONCURRENCY: "8" }, "asr");
  await Upload.whole(broker.port, recording(1, "before", "warm"));
  const growth = new Growth([broker, agent]);
  const uploads = await Promise.all(
    Array.from({ length: 8 }, (_, i) =>
      Upload.whole(broker.port, recording(64, i % 2 === 0 ? "before" : "after", `upload ${i}`)),
    ),
  );
  expect(uploads.map(({ client }, i) => [client.status, client.text, listener.heard.get(`upload ${i}`)])).toEqual(
    uploads.map(({ sha256 }, i) => [200, `{"text":"upload ${i}"}`, sha256]),
  );
  await isQuiet(broker, spool);
  // Each of the four is held up to 8 MiB before it goes to the disk.
  expect(growth.beyond({ nfrx: 4 * 8 })).toEqual({});
}, 60_000);

test("a backend that reads slowly holds its client back, and nobody else", async () => {
  await using processes = new Processes();
  using spool = new SpoolFolder(processes.folder, 0);
  const listener = new Listener();
  const backend = await processes.backend({ respond: listener.respond, readBody: false });
  const broker = await processes.broker({ UPLOAD_SPOOL_DIR: spool.path });
  const agent = await processes.agent(broker, backend, { MAX_CONCURRENCY: "2" }, "asr");
  await Upload.whole(broker.port, recording(1, "before", "warm"));
  const growth = new Growth([broker, agent]);
  const slow = await Upload.begin(broker.port, recording(256, "before", "slow"));
  const sent = slow.finish();
  await arrives(backend, "slow", MIB);
  // While another one passes through the same agent, as much of the slow one is taken as ever will be.
  const other = await Upload.whole(broker.port, recording(built ? 256 : 64, "before", "other"));
  expect([other.client.status, listener.heard.get("other")]).toEqual([200, other.sha256]);
  // What the kernel takes for its sockets is its own affair, 20 MiB and more.
  const read = requestOf(backend, "slow")?.bodyBytes ?? 0;
  const between = slow.taken - read - inSockets([broker.port, backend.port]);
  expect(between).toBeLessThan(16 * MIB);
  listener.gate.open();
  await sent;
  await slow.client.settled(60_000);
  expect([slow.client.status, listener.heard.get("slow")]).toEqual([200, slow.sha256]);
  expect(growth.beyond()).toEqual({});
  await isQuiet(broker, spool);
}, 60_000);

test.each(["behind", "beside"] as const)(
  "a document of 200 MB, and 100 MB of answer %s it",
  async when => {
    await using processes = new Processes();
    using spool = new SpoolFolder(processes.folder, 0);
    const listener = new Listener();
    const answer = Buffer.alloc(ANSWER, "A line of the document.\n");
    const backend = await processes.backend({
      readBody: false,
      respond: async (request, recorded) => {
        const whole = listener.respond(request, recorded);
        if (nameOf(recorded) === "warm" || when === "behind") await whole;
        return new Response(slices(answer, whole), { headers: { "content-length": String(answer.length) } });
      },
    });
    const broker = await processes.broker({ UPLOAD_SPOOL_DIR: spool.path });
    const agent = await processes.agent(broker, { url: backend.origin }, {}, "docling");
    const document = (mib: number, who: string): UploadOptions => ({
      path: CONVERT,
      mib,
      headers: { "user-agent": who },
    });
    await Upload.whole(broker.port, document(1, "warm"));
    const growth = new Growth([broker, agent]);
    const { client, sha256, length } = await Upload.whole(broker.port, document(191, "document"));
    expect([client.status, client.body.equals(answer)]).toEqual([200, true]);
    expect(listener.heard.get("document")).toBe(sha256);
    expect(requestOf(backend, "document")?.headers.get("content-length")).toBe(String(length));
    expect(growth.beyond()).toEqual({});
    await isQuiet(broker, spool);
  },
  60_000,
);
