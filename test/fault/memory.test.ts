import { expect, test } from "bun:test";
import { chatJson, chatStream, type Respond } from "../kit/backend/backend.ts";
import { RawClient } from "../kit/http/raw-client.ts";
import { AUTHORIZED, chatBody } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { Gate } from "../kit/time/gate.ts";

const MIB = 1024 * 1024;
const STREAMS = 50;
const WORDS = Array.from({ length: 200 }, (_, i) => `word${i} `);
const UPLOAD = 200 * MIB;
/** MiB by which broker and agent may grow. */
const GROWTH = 64;
const PATH = "/api/llm/v1/chat/completions";

const TOKENS = chatBody({ stream: true });

/** Events as fast as they are taken; counts what was taken. */
function flood(taken: { bytes: number }): Respond {
  const events = Buffer.alloc(64 * 1024, "data: 0123456789\n\n");
  return () =>
    new Response(
      new ReadableStream<Uint8Array>(
        {
          pull(controller) {
            taken.bytes += events.length;
            controller.enqueue(new Uint8Array(events));
          },
        },
        { highWaterMark: 0 },
      ),
      { headers: { "content-type": "text/event-stream" } },
    );
}

test("a stalled reader and a 200 MB upload beside 50 token streams through one agent", async () => {
  await using processes = new Processes();
  const gate = new Gate();
  const taken = { bytes: 0 };
  const backend = await processes.backend();
  backend.respond = (request, recorded) => {
    const who = recorded.headers.get("user-agent");
    if (who === "stalled") return flood(taken)(request, recorded);
    if (who === "upload") return chatJson("thank you")(request, recorded);
    return chatStream(WORDS, { gate })(request, recorded);
  };
  const broker = await processes.broker({ MAX_BODY_BYTES: String(1024 * MIB) });
  const agent = await processes.agent(broker, backend, { MAX_CONCURRENCY: "200" });

  const open = async (agentName: string, body: object): Promise<RawClient> => {
    const client = await RawClient.connect(broker.port);
    await client.post(PATH, JSON.stringify(body), { ...AUTHORIZED, "user-agent": agentName });
    return client;
  };
  const openStreams = (): Promise<RawClient[]> =>
    Promise.all(Array.from({ length: STREAMS }, () => open("token", TOKENS)));
  // The stream as the backend writes it to whoever asks it without a broker in between.
  gate.release(WORDS.length);
  const direct = await fetch(`${backend.url}/chat/completions`, { method: "POST", body: JSON.stringify(TOKENS) });
  const expected = await direct.text();
  const isRight = (client: RawClient): boolean => client.complete && client.text === expected;
  const close = (clients: RawClient[]): void => {
    for (const client of clients) client.destroy();
  };

  // Warm: code compiled, pools filled, heaps grown to what streams need.
  gate.release(STREAMS * WORDS.length);
  const warm = await openStreams();
  await Promise.all(warm.map(client => client.settled(30_000)));
  expect(warm.filter(client => !isRight(client))).toHaveLength(0);
  close(warm);
  await broker.quiet();
  const before = { broker: broker.rss, agent: agent.rss };
  broker.resetPeak();
  agent.resetPeak();

  const stalled = await open("stalled", chatBody({ stream: true }));
  await stalled.when(() => stalled.bytesIn > 64 * 1024, "the first events of the stalled reader");
  stalled.pause();

  const streams = await openStreams();
  await backend.arrived(2 * STREAMS + 2);
  const upload = await RawClient.connect(broker.port);
  const hash = new Bun.CryptoHasher("sha256");
  const send = async (bytes: Buffer): Promise<void> => {
    hash.update(bytes);
    await upload.write(bytes);
  };
  const sent = (async () => {
    const start = Buffer.from('{"model":"test-model","messages":[],"pad":"');
    const headers = { ...AUTHORIZED, "user-agent": "upload", "content-length": String(start.length + UPLOAD + 2) };
    await upload.write(upload.head(PATH, headers));
    await send(start);
    for (let at = 0; at < UPLOAD; at += MIB) await send(Buffer.alloc(MIB, String.fromCharCode(97 + ((at / MIB) % 26))));
    await send(Buffer.from('"}'));
  })();
  // Every MiB that has arrived gives each stream another word: they run side by side from end to end.
  for (let word = 1; word <= WORDS.length; word++) {
    const arrived = (): number =>
      backend.requests.find(request => request.headers.get("user-agent") === "upload")?.bodyBytes ?? 0;
    await backend.when(() => arrived() >= word * MIB, `${word} MiB of the upload`, 60_000);
    gate.release(STREAMS);
  }
  await sent;
  await upload.settled(60_000);
  await Promise.all(streams.map(client => client.settled(60_000)));

  const uploaded = backend.requests.find(request => request.headers.get("user-agent") === "upload");
  expect(upload.status).toBe(200);
  expect(uploaded?.sha256).toBe(hash.digest("hex"));
  expect(streams.filter(client => !isRight(client))).toHaveLength(0);
  const grown = { broker: broker.peak - before.broker, agent: agent.peak - before.agent };
  expect(grown.broker).toBeLessThan(GROWTH);
  expect(grown.agent).toBeLessThan(GROWTH);

  // What it does not read waits in its window and in the sockets' buffers; the backend is held back.
  expect(taken.bytes).toBeLessThan(32 * MIB);
  stalled.destroy("rst");
  close([...streams, upload]);
  await broker.quiet();
  await backend.idle();
  expect([broker.strays, agent.strays]).toEqual([[], []]);
}, 120_000);
