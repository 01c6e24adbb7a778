import { expect, test } from "bun:test";
import { FrameBatch, Kind } from "../../src/protocol/frames.ts";
import { CONTROL_MAX, STREAM_WINDOW } from "../../src/protocol/limits.ts";
import { RawClient } from "../kit/http/raw-client.ts";
import { rawUpgrade, wsFrame } from "../kit/http/raw-socket.ts";
import { AUTHORIZED, type BrokerProgram, chatBody } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { CLIENT_KEY } from "../kit/world.ts";

const CHAT = "/api/llm/v1/chat/completions";
const MIB = 1024 * 1024;

/** What a rude client writes, and whether it has to be told or just cut off. */
const rude: [name: string, write: (client: RawClient) => Promise<void>, statuses: number[]][] = [
  [
    "10,000 headers",
    client => client.write(`GET /healthz HTTP/1.1\r\nhost: x\r\n${"a: b\r\n".repeat(10_000)}\r\n`),
    [431],
  ],
  [
    "a header of 64 KiB",
    client => client.write(`GET /healthz HTTP/1.1\r\nhost: x\r\na: ${"b".repeat(64 * 1024)}\r\n\r\n`),
    [431],
  ],
  ["a line of 1 MiB", client => client.write(`GET /${"a".repeat(MIB)} HTTP/1.1\r\nhost: x\r\n\r\n`), [400, 414, 431]],
  [
    "a malformed chunk size",
    client =>
      client.write(`${client.head(CHAT, { ...AUTHORIZED, "transfer-encoding": "chunked" })}zz\r\n{}\r\n0\r\n\r\n`),
    [400],
  ],
  [
    "a chunk without an end",
    client =>
      client.write(
        `${client.head(CHAT, { ...AUTHORIZED, "transfer-encoding": "chunked" })}5\r\n{}xxxxxxx\r\n0\r\n\r\n`,
      ),
    [400],
  ],
  [
    "two lengths",
    client => client.write("POST /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-length: 5\r\n\r\n{}{}{}"),
    [400],
  ],
  [
    "a length and chunks",
    client =>
      client.write(
        `${client.head(CHAT, { ...AUTHORIZED, "content-length": "2", "transfer-encoding": "chunked" })}0\r\n\r\n`,
      ),
    [400],
  ],
  ["a negative length", client => client.write(client.head(CHAT, { ...AUTHORIZED, "content-length": "-1" })), [400]],
  ["no HTTP at all", client => client.write(Buffer.alloc(64 * 1024, "\x16\x03\x01")), [400]],
];

test("rude clients are told so or cut off, and the same process serves on", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  await processes.agent(broker, await processes.backend());
  for (const [name, write, statuses] of rude) {
    const client = await RawClient.connect(broker.port);
    await write(client);
    await client.when(() => client.status !== 0 || client.closed, `an end of ${name}`);
    expect([name, [0, ...statuses].includes(client.status) ? "told" : client.status]).toEqual([name, "told"]);
    client.destroy("rst");
    await serves(broker);
  }
  const slow = await Promise.all(Array.from({ length: 500 }, () => RawClient.connect(broker.port)));
  await Promise.all(slow.map((client, i) => client.write(client.head(CHAT, AUTHORIZED).slice(0, 10 + (i % 100)))));
  await serves(broker);
  for (const client of slow) client.destroy();
  await isWell(broker);
}, 60_000);

/** A WebSocket handshake by hand, for frames that no library sends. */
async function handshake(broker: BrokerProgram): Promise<RawClient> {
  const headers = { "sec-websocket-protocol": "nfrx.v2", authorization: `Bearer ${CLIENT_KEY}` };
  const client = await rawUpgrade(broker.port, "/api/llm/connect", headers);
  expect(client.status).toBe(101);
  return client;
}

const REGISTER = JSON.stringify({ type: "register", worker_id: "raw", models: ["raw-model"], max_concurrency: 1 });

test("WebSockets that are none", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  await processes.agent(broker, await processes.backend());
  const garbage: [string, Uint8Array][] = [
    ["a frame without a mask", Buffer.from([0x81, 0x02, 0x7b, 0x7d])],
    ["reserved bits", Buffer.from([0xf1, 0x80, 0, 0, 0, 0])],
    ["an unknown opcode", Buffer.from([0x83, 0x80, 0, 0, 0, 0])],
    ["a fragmented ping", Buffer.from([0x09, 0x80, 0, 0, 0, 0])],
    ["a frame of 2^63 bytes", Buffer.from([0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])],
    ["text that is no UTF-8", wsFrame(1, Buffer.from([0xff, 0xfe, 0xfd]))],
    ["binary before a register", wsFrame(2, Buffer.alloc(1000, 7))],
    [
      "a register of 10 MB",
      wsFrame(1, Buffer.from(JSON.stringify({ type: "register", worker_name: "x".repeat(10_000_000) }))),
    ],
    [
      "a register of 20 MB",
      wsFrame(1, Buffer.from(JSON.stringify({ type: "register", worker_name: "x".repeat(20_000_000) }))),
    ],
    ["noise", Buffer.from(Array.from({ length: 5000 }, (_, i) => (i * 7919) % 251))],
  ];
  for (const [name, bytes] of garbage) {
    const client = await handshake(broker);
    await client.write(bytes);
    await client.when(() => client.closed, `the end of ${name}`);
    await serves(broker);
  }
  await isWell(broker);
}, 60_000);

/** What a worker sends over and over without ever reading, as one message. */
const floods: [name: string, fill: (batch: FrameBatch, next: () => number) => void][] = [
  ["pings", batch => batch.putSignal(Kind.PING, Buffer.alloc(8))],
  ["streams of its own", (batch, next) => batch.putHead(next(), { method: "GET", path: "/", headers: [] }, true)],
];

for (const [name, fill] of floods) {
  test(`a worker that floods with ${name} and does not read is cut off before it costs much`, async () => {
    await using processes = new Processes();
    const broker = await processes.broker();
    await processes.agent(broker, await processes.backend());
    const before = broker.rss;
    const worker = await handshake(broker);
    await worker.write(wsFrame(1, Buffer.from(REGISTER)));
    const gone = broker.line(
      line => line.msg === "worker disconnected" && line["worker_id"] === "raw",
      "the end of the flood",
    );
    worker.pause();
    let id = 0;
    let over = false;
    gone.finally(() => {
      over = true;
    });
    while (!over) {
      const batch = new FrameBatch();
      for (let i = 0; i < 2000; i++) fill(batch, () => (id += 2));
      await Promise.race([worker.write(wsFrame(2, Buffer.from(batch.take()))), gone]);
      // A write on a closed socket is over at once; the log has to be read all the same.
      await new Promise<void>(resolve => setImmediate(resolve));
    }
    expect(await gone).toMatchObject({ code: 1006, reason: "the peer stopped reading" });
    await serves(broker);
    // Without a bound Bun would keep 256 MiB of answers for it.
    expect(broker.peak - before).toBeLessThan(160);
    worker.destroy("rst");
    await isWell(broker);
  }, 60_000);
}

interface Attack {
  name: string;
  /** The client asks for events. */
  stream?: boolean;
  /** What the worker does when the request is there, on its stream `id`. */
  act: (worker: HandWorker, id: number, client: RawClient) => void | Promise<void>;
  /** What the client sees in the end. */
  client: (client: RawClient) => boolean;
  /** The broker's close code, when it is to end the connection. */
  closes?: number;
}

const refused = (client: RawClient): boolean => client.status === 502 && client.complete;
const answered = (client: RawClient): boolean => client.status === 200 && client.complete && client.text === "{}";
const cut = (client: RawClient): boolean => client.status === 200 && !client.complete && client.closed;
const errorEvent = (client: RawClient): boolean =>
  client.status === 200 &&
  client.complete &&
  client.text.startsWith("data: 1\n\n") &&
  client.text.includes("event: error\n");
const OK = { status: 200, headers: [["content-type", "application/json"]] as [string, string][] };
const EVENTS = { status: 200, headers: [["content-type", "text/event-stream"]] as [string, string][] };
const raw = (...bytes: number[]): Uint8Array<ArrayBuffer> => new Uint8Array(bytes);

const attacks: Attack[] = [
  ...[0, 99, 101, 600, 1.5, -1].map(status => ({
    name: `the status ${status}`,
    act: (worker: HandWorker, id: number) => worker.put(batch => batch.putHead(id, { status, headers: [] }, true)),
    client: refused,
  })),
  {
    name: "an answer on a stream that was never opened",
    act: worker => worker.put(batch => batch.putHead(9_999, OK, true)),
    client: refused,
    closes: 1002,
  },
  ...(["putData", "putReset", "putWindow"] as const).map(put => ({
    name: `${put} for a stream that was never opened`,
    act: (worker: HandWorker) =>
      worker.put(batch => {
        if (put === "putData") batch.putData(9_999, Buffer.from("x"), false);
        else if (put === "putReset") batch.putReset(9_999, "canceled", "");
        else batch.putWindow(9_999, 1);
      }),
    client: refused,
    closes: 1002,
  })),
  {
    name: "a response body before the response head",
    act: (worker, id) => worker.put(batch => batch.putData(id, Buffer.from("{}"), true)),
    client: refused,
    closes: 1002,
  },
  {
    name: "a second head",
    act: async (worker, id, client) => {
      worker.put(batch => batch.putHead(id, OK, false));
      worker.put(batch => batch.putData(id, Buffer.from("{"), false));
      await client.when(() => client.text !== "", "the first bytes");
      worker.put(batch => batch.putHead(id, OK, true));
    },
    client: cut,
    closes: 1002,
  },
  {
    name: "more data than it has credit for",
    act: async (worker, id, client) => {
      worker.put(batch => batch.putHead(id, OK, false));
      worker.put(batch => batch.putData(id, Buffer.from("{"), false));
      await client.when(() => client.text !== "", "the first bytes");
      worker.put(batch => {
        for (let sent = 0; sent <= STREAM_WINDOW; sent += 64 * 1024) batch.putData(id, Buffer.alloc(64 * 1024), false);
      });
    },
    client: cut,
    closes: 1002,
  },
  {
    name: "a request on the broker's own stream",
    act: (worker, id) => worker.put(batch => batch.putHead(id, { method: "GET", path: "/", headers: [] }, true)),
    client: refused,
    closes: 1002,
  },
  { name: "half a frame header", act: worker => worker.send(raw(1, 0, 0)), client: refused, closes: 1002 },
  {
    name: "a frame of 4 GiB",
    act: worker => worker.send(raw(2, 0, 0, 0, 0, 1, 255, 255, 255, 255)),
    client: refused,
    closes: 1002,
  },
  { name: "a text that is no JSON", act: worker => worker.send("{"), client: refused, closes: 1002 },
  { name: "a text that is a list", act: worker => worker.send("[1]"), client: refused, closes: 1002 },
  {
    name: "data after the end, which nobody hears",
    act: (worker, id) => {
      worker.answer(id, 200, "{}");
      worker.put(batch => batch.putData(id, Buffer.from("more"), true));
    },
    client: answered,
  },
  {
    name: "requests to the broker",
    act: (worker, id) => {
      worker.put(batch => {
        for (let own = 2; own <= 2_000; own += 2)
          batch.putHead(own, { method: "POST", path: "/v1/chat/completions", headers: [] }, false);
      });
      worker.answer(id, 200, "{}");
    },
    client: answered,
  },
  {
    name: "credit without end and pings",
    act: (worker, id) => {
      worker.put(batch => {
        for (let i = 0; i < 100_000; i++) batch.putWindow(i % 2 === 0 ? id : 0, 0xffff_ffff);
        for (let i = 0; i < 20_000; i++) batch.putSignal(Kind.PING, Buffer.alloc(8, i));
      });
      worker.answer(id, 200, "{}");
    },
    client: answered,
  },
  {
    name: "more words about itself than it may say in a second",
    act: worker => {
      for (let i = 0; i < 100 * CONTROL_MAX; i++)
        worker.send({
          type: "status_update",
          max_concurrency: 1,
          models: ["hand-model", `model-${i}`],
          status: "working",
        });
    },
    client: refused,
    closes: 1008,
  },
  {
    name: "unknown kinds of frames and of messages",
    act: (worker, id) => {
      worker.send(raw(200, 255, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2));
      worker.send({ type: "hello" });
      worker.send({ type: "status_update", max_concurrency: -5 });
      worker.answer(id, 200, "{}");
    },
    client: answered,
  },
  {
    name: "a reset that says it was canceled, amid events",
    stream: true,
    act: async (worker, id, client) => {
      worker.put(batch => batch.putHead(id, EVENTS, false));
      worker.put(batch => batch.putData(id, Buffer.from("data: 1\n\n"), false));
      await client.when(() => client.text !== "", "the first event");
      worker.put(batch => batch.putReset(id, "canceled", "never mind"));
    },
    client: errorEvent,
  },
  {
    name: "a reset amid a body",
    act: async (worker, id, client) => {
      worker.put(batch => batch.putHead(id, OK, false));
      worker.put(batch => batch.putData(id, Buffer.from("{"), false));
      await client.when(() => client.text !== "", "the first bytes");
      worker.put(batch => batch.putReset(id, "no such code", "x".repeat(10_000)));
    },
    client: cut,
  },
  {
    name: "a reset right behind much of a body, which is not lost",
    act: (worker, id) =>
      worker.put(batch => {
        batch.putHead(id, OK, false);
        for (let i = 0; i < 3; i++) batch.putData(id, Buffer.alloc(64 * 1024, "x"), false);
        batch.putReset(id, "upstream_error", "gone");
      }),
    client: client => cut(client) && client.text.length === 3 * 64 * 1024,
  },
  {
    name: "a reset after the head and before any body",
    act: (worker, id) => {
      worker.put(batch => batch.putHead(id, OK, false));
      worker.put(batch => batch.putReset(id, "upstream_error", "gone"));
    },
    client: client => client.closed && !client.complete && client.text === "",
  },
];

test("what a worker may send: an error for its client or the end of its link, and the process serves on", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({ LLM_WORKER_GRACE: "0" });
  await processes.agent(broker, await processes.backend());
  for (const { name, stream = false, act, client: sees, closes } of attacks) {
    const worker = await HandWorker.connect(broker.connectUrl(), { v2: true });
    const from = broker.mark;
    worker.register({ models: ["hand-model"] });
    await broker.line(
      line => line.msg === "worker registered" && line["worker_id"] === "hand",
      "registers",
      undefined,
      from,
    );
    const client = await RawClient.connect(broker.port);
    await client.post(CHAT, JSON.stringify(chatBody({ model: "hand-model", stream })), AUTHORIZED);
    const { id } = await worker.frame("head");
    await act(worker, id, client);
    await client.settled();
    expect([
      name,
      sees(client) ? "as it should" : `${client.status} ${client.complete} ${client.closed} ${client.text}`,
    ]).toEqual([name, "as it should"]);
    if (closes === undefined) {
      await worker.handled();
      expect([name, worker.closed]).toEqual([name, undefined]);
      worker.close();
    }
    expect([name, (await worker.end()).code]).toEqual([name, closes ?? 1000]);
    await broker.line(
      line => line.msg === "worker disconnected" && line["worker_id"] === "hand",
      "is gone",
      undefined,
      from,
    );
    client.destroy();
    await serves(broker);
  }
  await isWell(broker);
}, 60_000);

/** Somebody else's request is answered. */
async function serves(broker: BrokerProgram): Promise<void> {
  const answer = await broker.chat();
  expect([answer.status, await answer.text()]).toEqual([200, expect.stringContaining("Hello world")]);
}

/** The process is the same, nothing is left in it, and nobody was surprised. */
async function isWell(broker: BrokerProgram): Promise<void> {
  await broker.quiet();
  expect(await broker.metric("nfrx_unhandled_errors_total")).toBe(0);
  expect(broker.lines.filter(line => line.level === "error" || line.level === "fatal")).toEqual([]);
  expect(broker.strays).toEqual([]);
}
