// What wire v2 adds: one message for a small answer, credit, fairness, goaway, liveness.
import { describe, expect, test } from "bun:test";
import { NfrxError } from "../../../src/lib/errors.ts";
import {
  BATCH_BYTES,
  DATA_MAX,
  DATA_SHARED,
  DEAD_MS,
  HEAD_MAX,
  LINK_WINDOW,
  LINK_WINDOW_STEP,
  PING_MS,
  SOCKET_HIGH_WATER,
  STREAM_WINDOW,
  STREAM_WINDOW_MAX,
  STREAMS_MAX,
  UNROUTABLE_MS,
  WINDOW_GROWTH,
} from "../../../src/protocol/limits.ts";
import type { Stream } from "../../../src/protocol/stream.ts";
import {
  dataFrame,
  drain,
  Ends,
  frame,
  GET,
  headFrame,
  Lone,
  microtasks,
  NOTHING_HELD,
  OK,
  POST,
  pattern,
  resetFrame,
  type Seen,
  Watched,
  windowFrame,
} from "./ends.ts";

const canceled = new NfrxError("canceled", "the client disconnected");

const dataOf = (frames: Seen[]) => frames.filter(seen => seen.kind === "data");
const bytesOf = (frames: Seen[], id?: number): number =>
  dataOf(frames).reduce((sum, seen) => sum + (id === undefined || seen.id === id ? seen.bytes : 0), 0);

describe("messages", () => {
  test("a small request is one message, and so is a small answer", () => {
    const broker = new Lone("broker");
    const stream = broker.link.open(POST);
    stream.end(Buffer.from("question"));
    broker.run();
    expect(broker.sent).toHaveLength(1);
    expect(broker.frames()).toEqual([
      { kind: "head", id: 1, head: POST, end: false },
      { kind: "data", id: 1, bytes: 8, text: "question", end: true },
    ]);
    const agent = new Lone("agent");
    agent.receive(headFrame(1, ["POST", "/", []], true));
    agent.streams[0]?.sendHead(OK);
    agent.streams[0]?.end(Buffer.from("answer"));
    agent.run();
    expect(agent.sent).toHaveLength(1);
    expect(agent.frames()).toEqual([
      { kind: "head", id: 1, head: OK, end: false },
      { kind: "data", id: 1, bytes: 6, text: "answer", end: true },
    ]);
    expect(agent.link.streams).toBe(0);
  });

  test("what one turn of the loop brings on many streams leaves together", () => {
    const broker = new Lone("broker");
    for (let n = 0; n < 20; n++) broker.link.open(GET, true);
    broker.run();
    expect(broker.sent.length).toBeLessThan(5);
    expect(broker.frames().map(seen => seen.kind === "head" && seen.id)).toEqual(
      Array.from({ length: 20 }, (_, n) => 1 + 2 * n),
    );
  });

  test("a batch leaves when it is full", () => {
    const broker = new Lone("broker");
    for (let n = 0; n < 4; n++) broker.link.open(POST).end(Buffer.alloc(STREAM_WINDOW));
    broker.run();
    expect(broker.sent.length).toBeGreaterThan(4);
    for (const message of broker.sent) expect(message.length).toBeLessThan(BATCH_BYTES + DATA_MAX + 1024);
    expect(bytesOf(broker.frames())).toBe(4 * STREAM_WINDOW);
  });

  test("repeated headers are kept, each with its own value, in order", async () => {
    const headers: [string, string][] = [
      ["set-cookie", "a=1; Path=/"],
      ["Set-Cookie", "b=2, 3"],
      ["x-ünicode", "ä€😀"],
      ["set-cookie", "a=1; Path=/"],
      ["x-empty", ""],
    ];
    const ends = new Ends(2, stream => stream.sendHead({ status: 200, headers }, true));
    const stream = ends.broker.open({ ...GET, headers }, true);
    await ends.quiet();
    expect(ends.requests[0]?.headers).toEqual(headers);
    expect((await stream.head()).headers).toEqual(headers);
  });

  test("a head that is too large fails its stream alone", async () => {
    const large: [string, string][] = [["x-large", "x".repeat(HEAD_MAX)]];
    const ends = new Ends(2, (stream, head) => {
      stream.sendHead({ status: 200, headers: head.path === "/large" ? large : [] }, true);
    });
    const up = ends.broker.open({ ...POST, headers: large }, true);
    const body = ends.broker.open({ ...POST, headers: large });
    body.end(Buffer.from("body"));
    const down = ends.broker.open({ ...GET, path: "/large" }, true);
    const fine = ends.broker.open(GET, true);
    const failed = [up, body, down].map(stream => new Watched(stream.head()));
    await ends.quiet();
    // A request's head is the client's fault, an answer's the backend's.
    const codes = failed.map(({ error }) => (error instanceof NfrxError ? error.code : error));
    expect(codes).toEqual(["headers_too_large", "headers_too_large", "upstream_error"]);
    expect(await fine.head()).toEqual({ status: 200, headers: [] });
    expect(ends.served).toHaveLength(2);
    expect(ends.counts).toEqual(NOTHING_HELD);
    expect(ends.closed).toEqual({ broker: [], agent: [] });
  });

  test("an agent that opens a stream is refused", async () => {
    const ends = new Ends(2);
    const head = new Watched(ends.agent.open(GET, true).head());
    await ends.quiet();
    expect(head.error).toMatchObject({ code: "refused" });
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("no more streams than allowed", () => {
    const broker = new Lone("broker");
    for (let n = 0; n < STREAMS_MAX; n++) broker.link.open(GET, true);
    expect(() => broker.link.open(GET, true)).toThrow(String(STREAMS_MAX));
    broker.receive(resetFrame(1, "timeout", "one place is free"));
    expect(broker.link.open(GET, true).id).toBe(1 + 2 * STREAMS_MAX);
  });

  test("a dropped message ends the link", () => {
    const broker = new Lone("broker");
    const stream = broker.link.open(GET, true);
    broker.open = false;
    broker.run();
    expect([broker.terminated, broker.link.isClosed, stream.failure?.code]).toEqual([true, true, "link_lost"]);
    expect(broker.closed).toEqual([{ code: 1006, reason: "the socket dropped a message" }]);
  });
});

describe("credit", () => {
  test("a reader that does not read stops its sender at the window", async () => {
    const ends = new Ends(2);
    const stream = ends.broker.open(POST);
    stream.end();
    await ends.quiet();
    const { last } = ends;
    last.sendHead(OK);
    const write = new Watched(last.write(pattern(1_000_000)));
    await ends.quiet();
    expect([stream.buffered, last.out.bytes, write.done]).toEqual([STREAM_WINDOW, 1_000_000 - STREAM_WINDOW, false]);
    expect(ends.agent.stats.windowStalls).toBeGreaterThan(0);
    // One read gives the whole window back.
    expect(stream.take()?.length).toBe(STREAM_WINDOW);
    await ends.quiet();
    expect([stream.buffered, last.out.bytes]).toEqual([STREAM_WINDOW, 1_000_000 - 2 * STREAM_WINDOW]);
    last.end();
    const rest = await Promise.all([drain(stream), ends.quiet()]);
    expect(rest[0].length).toBe(1_000_000 - STREAM_WINDOW);
    expect(write.done).toBe(true);
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("credit goes back once half of the window was read, and not after the end", () => {
    const agent = new Lone("agent");
    agent.receive(headFrame(1, ["POST", "/", []]), dataFrame(1, Buffer.alloc(STREAM_WINDOW / 4)));
    agent.streams[0]?.take();
    expect(agent.frames()).toEqual([]);
    agent.receive(dataFrame(1, Buffer.alloc(STREAM_WINDOW / 4)));
    agent.streams[0]?.take();
    expect(agent.frames()).toContainEqual({ kind: "window", id: 1, bytes: STREAM_WINDOW / 2 });
    for (let n = 0; n < 4; n++) agent.receive(dataFrame(1, Buffer.alloc(STREAM_WINDOW / 4), n === 3));
    agent.frames();
    expect(agent.streams[0]?.take()?.length).toBe(STREAM_WINDOW);
    expect(agent.frames()).toEqual([]);
  });

  test("a head and an empty end need no credit", () => {
    const broker = new Lone("broker");
    const stream = broker.link.open(POST);
    stream.write(Buffer.alloc(STREAM_WINDOW));
    broker.frames();
    stream.end();
    expect(broker.frames()).toEqual([{ kind: "data", id: 1, bytes: 0, text: "", end: true }]);
  });

  test("a reset frees the window and what waits in it", async () => {
    const ends = new Ends(2);
    const stream = ends.broker.open(POST);
    stream.end();
    await ends.quiet();
    ends.last.sendHead(OK);
    const write = new Watched(ends.last.write(Buffer.alloc(1_000_000)));
    await ends.quiet();
    stream.reset(canceled);
    await ends.quiet();
    expect(write.error).toMatchObject({ code: "canceled" });
    expect([stream.buffered, ends.last.out.bytes]).toEqual([0, 0]);
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("one reader that does not read never stalls another stream", async () => {
    const total = 3 * LINK_WINDOW;
    const ends = new Ends(2);
    const slow = Array.from({ length: 40 }, () => ends.broker.open(POST));
    const fast = ends.broker.open(POST);
    for (const stream of [...slow, fast]) stream.end();
    await ends.quiet();
    for (const stream of ends.served) stream.sendHead(OK);
    const stuck = ends.served.slice(0, -1).map(stream => new Watched(stream.write(Buffer.alloc(STREAM_WINDOW * 2))));
    const write = new Watched(
      (async () => {
        for (let sent = 0; sent < total; sent += 1 << 20) await ends.last.write(Buffer.alloc(1 << 20));
        ends.last.end();
      })(),
    );
    const read = new Watched(drain(fast));
    await ends.quiet();
    expect([write.done, read.value?.length]).toEqual([true, total]);
    for (const stream of slow) expect(stream.buffered).toBe(STREAM_WINDOW);
    expect(stuck.some(({ done }) => done)).toBe(false);
    for (const stream of slow) stream.reset(canceled);
    await ends.quiet();
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("bytes are kept without the message they came in", () => {
    const agent = new Lone("agent");
    agent.receive(headFrame(1, ["POST", "/", []]), dataFrame(1, "kept"), dataFrame(1, Buffer.alloc(0)));
    agent.receive(headFrame(3, ["POST", "/", []]), dataFrame(3, Buffer.alloc(60_000)));
    expect(agent.streams[0]?.take()?.buffer.byteLength).toBe(4);
    expect(agent.streams[1]?.take()?.buffer.byteLength).toBeLessThan(120_000);
  });
});

describe("the window grows", () => {
  /** A download over a link with a round trip, by a reader that takes what comes. */
  async function download(roundTripMs: number, streams = 1): Promise<{ sizes: number[]; growth: number; ends: Ends }> {
    const ends = new Ends(2);
    await ends.quiet();
    ends.broker.roundTripMs = roundTripMs;
    ends.clock.advance(roundTripMs);
    const opened = Array.from({ length: streams }, () => ends.broker.open(POST));
    for (const stream of opened) stream.end();
    await ends.quiet();
    expect(ends.broker.roundTripMs).toBe(roundTripMs);
    for (const stream of ends.served) {
      stream.sendHead(OK);
      stream.write(Buffer.alloc(40 << 20)).catch(() => {});
    }
    for (let round = 0; round < 60; round++) {
      ends.pair.settle();
      for (const stream of opened) {
        expect(stream.buffered).toBeLessThanOrEqual(stream.window.size);
        stream.take();
      }
    }
    const sizes = opened.map(stream => stream.window.size);
    const { growth } = ends.broker;
    expect(growth).toBe(sizes.reduce((sum, size) => sum + size - STREAM_WINDOW, 0));
    for (const stream of opened) stream.reset(canceled);
    await ends.quiet();
    expect(ends.counts).toEqual(NOTHING_HELD);
    return { sizes, growth, ends };
  }

  test("while it is what limits a stream, up to its most", async () => {
    expect((await download(40)).sizes).toEqual([STREAM_WINDOW_MAX]);
  });

  test("within the budget of the connection", async () => {
    const { sizes, growth } = await download(40, 5);
    expect(growth).toBe(WINDOW_GROWTH);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(STREAM_WINDOW_MAX);
  });

  test("not where the peer is next door", async () => {
    expect((await download(0)).sizes).toEqual([STREAM_WINDOW]);
  });

  test("not for a reader slower than the way", async () => {
    const ends = new Ends(2);
    ends.pair.step("broker");
    ends.clock.advance(10);
    const stream = ends.broker.open(POST);
    stream.end();
    await ends.quiet();
    ends.last.sendHead(OK);
    ends.last.write(Buffer.alloc(4 << 20)).catch(() => {});
    for (let round = 0; round < 10; round++) {
      ends.pair.settle();
      ends.clock.advance(100);
      stream.take();
    }
    expect(stream.window.size).toBe(STREAM_WINDOW);
    stream.reset(canceled);
  });

  test("and a finished stream gives its part back even when it was not read", async () => {
    const ends = new Ends(2);
    await ends.quiet();
    ends.broker.roundTripMs = 40;
    ends.clock.advance(40);
    const stream = ends.broker.open(POST);
    stream.end();
    await ends.quiet();
    ends.last.sendHead(OK);
    ends.last.end(Buffer.alloc(3 << 20));
    while (ends.last.out.bytes > 0) {
      ends.pair.settle();
      if (ends.last.out.bytes > 0) stream.take();
    }
    await ends.quiet();
    expect(stream.window.size).toBeGreaterThan(STREAM_WINDOW);
    expect(stream.buffered).toBeGreaterThan(0);
    expect(ends.counts).toEqual(NOTHING_HELD);
    expect((await drain(stream)).length).toBeGreaterThan(0);
    expect(ends.counts).toEqual(NOTHING_HELD);
  });
});

describe("fairness", () => {
  test("frames are large for one stream and small for several", () => {
    const broker = new Lone("broker");
    broker.link.open(POST).end(Buffer.alloc(100_000));
    expect(dataOf(broker.frames()).map(seen => seen.bytes)).toEqual([DATA_MAX, 100_000 - DATA_MAX]);
    const [a, b] = [broker.link.open(POST), broker.link.open(POST)];
    a.end(Buffer.alloc(40_000));
    b.end(Buffer.alloc(40_000));
    const data = dataOf(broker.frames());
    expect(data.map(seen => seen.id)).toEqual([a.id, b.id, a.id, b.id, a.id, b.id]);
    expect(Math.max(...data.map(seen => seen.bytes))).toBe(DATA_SHARED);
  });

  test("a small chunk waits behind at most one quantum of every other stream", () => {
    const broker = new Lone("broker");
    const bulk = Array.from({ length: 5 }, () => broker.link.open(POST));
    const small = Array.from({ length: 10 }, () => broker.link.open(POST));
    for (const stream of bulk) broker.receive(windowFrame(stream.id, 1 << 30));
    for (const stream of bulk) stream.write(Buffer.alloc(4 << 20));
    broker.keeping = true;
    broker.frames();
    for (let round = 0; round < 30; round++) {
      expect(broker.waiting).toBeGreaterThan(SOCKET_HIGH_WATER);
      expect(broker.waiting).toBeLessThan(SOCKET_HIGH_WATER + BATCH_BYTES + 2 * DATA_MAX);
      for (const stream of small) stream.write(Buffer.from("token"));
      broker.waiting = 0;
      broker.receive(windowFrame(0, LINK_WINDOW));
      broker.link.drained();
      const frames = dataOf(broker.frames());
      for (const { id } of small) {
        const before = frames.slice(
          0,
          frames.findIndex(seen => seen.id === id),
        );
        expect(frames.filter(seen => seen.id === id).map(seen => seen.text)).toEqual(["token"]);
        for (const other of bulk) expect(bytesOf(before, other.id)).toBeLessThanOrEqual(DATA_SHARED);
        for (const other of small) expect(bytesOf(before, other.id)).toBeLessThanOrEqual(5);
      }
    }
  });

  test("a new request waits behind at most one quantum of every other stream", () => {
    const broker = new Lone("broker");
    const bulk = Array.from({ length: 3 }, () => broker.link.open(POST));
    for (const stream of bulk) {
      broker.receive(windowFrame(stream.id, 1 << 30));
      stream.write(Buffer.alloc(2 << 20));
    }
    broker.keeping = true;
    broker.frames();
    const fresh = broker.link.open(GET, true);
    broker.waiting = 0;
    broker.link.drained();
    const frames = broker.frames();
    const before = frames.slice(
      0,
      frames.findIndex(seen => seen.kind === "head" && seen.id === fresh.id),
    );
    for (const { id } of bulk) expect(bytesOf(before, id)).toBeLessThanOrEqual(DATA_SHARED);
  });

  test("resets, credit and signals leave before bodies, and past a full socket", () => {
    const broker = new Lone("broker");
    const [bulk, victim, reader] = [broker.link.open(POST), broker.link.open(POST), broker.link.open(POST)];
    broker.receive(windowFrame(bulk.id, 1 << 30), headFrame(reader.id, [200, []]));
    victim.end();
    bulk.write(Buffer.alloc(4 << 20));
    broker.keeping = true;
    broker.frames();
    expect(broker.waiting).toBeGreaterThan(SOCKET_HIGH_WATER);
    const cancel = (): void => {
      victim.reset(canceled);
      broker.link.goaway();
      broker.link.goaway();
      broker.receive(dataFrame(reader.id, Buffer.alloc(STREAM_WINDOW / 2)), frame(6, 0, "12345678"));
      reader.take();
    };
    cancel();
    const frames = broker.frames();
    expect(bytesOf(frames)).toBe(0);
    expect(frames.map(seen => seen.kind).sort()).toEqual(["goaway", "pong", "reset", "window", "window"]);
  });

  test("and before the bodies that leave with them", () => {
    const broker = new Lone("broker");
    const [bulk, sent, unsent] = [broker.link.open(POST), broker.link.open(POST), broker.link.open(POST)];
    sent.end();
    broker.frames();
    bulk.write(Buffer.alloc(STREAM_WINDOW));
    sent.reset(canceled);
    unsent.reset(canceled);
    broker.link.goaway();
    broker.link.receive(frame(6, 0, "12345678"));
    const kinds = broker.frames().map(seen => seen.kind);
    expect(kinds.slice(0, 4).sort()).toEqual(["goaway", "pong", "reset", "reset"]);
    expect(kinds.slice(4)).toContain("data");
  });
});

describe("the connection", () => {
  test("its window limits what is in flight, and is given back on arrival", () => {
    const broker = new Lone("broker");
    const streams = Array.from({ length: 40 }, () => broker.link.open(POST));
    const writes = streams.map(stream => new Watched(stream.write(Buffer.alloc(STREAM_WINDOW))));
    expect(bytesOf(broker.frames())).toBe(LINK_WINDOW);
    expect(broker.link.stats.socketStalls).toBeGreaterThan(0);
    broker.link.drained();
    expect(bytesOf(broker.frames())).toBe(0);
    broker.receive(windowFrame(0, 100_000));
    expect(bytesOf(broker.frames())).toBe(100_000);
    // More than was taken counts as all of it.
    broker.receive(windowFrame(0, 0xffff_ffff), windowFrame(0, 0xffff_ffff));
    expect(bytesOf(broker.frames())).toBe(40 * STREAM_WINDOW - LINK_WINDOW - 100_000);
    return microtasks().then(() => expect(writes.every(({ done }) => done)).toBe(true));
  });

  test("the receiver gives it back read or not, for streams that are gone as well", () => {
    const agent = new Lone("agent");
    agent.receive(headFrame(1, ["POST", "/", []]), headFrame(3, ["POST", "/", []]));
    agent.streams[1]?.reset(canceled);
    agent.frames();
    const half = LINK_WINDOW_STEP / 2;
    agent.receive(dataFrame(1, Buffer.alloc(half - 1)), dataFrame(3, Buffer.alloc(half)));
    expect(agent.frames()).toEqual([]);
    agent.receive(dataFrame(1, "x"));
    expect(agent.frames()).toEqual([{ kind: "window", id: 0, bytes: LINK_WINDOW_STEP }]);
    expect(agent.streams[0]?.buffered).toBe(half);
  });

  test("a full socket holds streams back until it drains", () => {
    const broker = new Lone("broker");
    broker.waiting = SOCKET_HIGH_WATER + 1;
    const stream = broker.link.open(POST);
    stream.end(Buffer.from("x"));
    expect(broker.frames()).toEqual([]);
    expect(broker.pings).toBe(1);
    broker.link.drained();
    expect(broker.frames()).toEqual([]);
    expect(broker.pings).toBe(1);
    broker.waiting = SOCKET_HIGH_WATER;
    broker.link.drained();
    expect(broker.frames()).toHaveLength(2);
  });

  test("or until the peer has answered a ping, where the platform tells nothing", () => {
    const broker = new Lone("broker");
    broker.waiting = SOCKET_HIGH_WATER + 1;
    broker.link.open(POST).end(Buffer.from("x"));
    expect(broker.frames()).toEqual([]);
    broker.link.ponged();
    expect(broker.frames()).toEqual([]);
    expect(broker.pings).toBe(2);
    broker.waiting = 0;
    broker.link.ponged();
    expect(broker.frames()).toHaveLength(2);
  });

  test("counts what passes", async () => {
    const ends = new Ends(2, stream => stream.reset(new NfrxError("timeout", "no")));
    ends.broker.open(GET, true);
    await ends.quiet();
    const { broker, agent } = ends;
    expect(broker.stats.bytesOut).toBe(agent.stats.bytesIn);
    expect(agent.stats.messagesOut).toBe(broker.stats.messagesIn);
    expect([broker.stats.resets, agent.stats.resets]).toEqual([0, 1]);
  });
});

describe("goaway", () => {
  test("running streams finish, new ones are refused", async () => {
    const ends = new Ends(2);
    const running = ends.broker.open(POST);
    await ends.quiet();
    ends.agent.goaway();
    // Sent before the goaway was read: refused by the agent.
    const crossing = new Watched(ends.broker.open(GET, true).head());
    await ends.quiet();
    expect(ends.goaways).toEqual({ broker: 1, agent: 0 });
    expect([ends.broker.routable, ends.agent.leaving]).toEqual([false, true]);
    expect(crossing.error).toMatchObject({ code: "refused" });
    expect(() => ends.broker.open(GET, true)).toThrow("accepts no new streams");
    running.end(Buffer.from("question"));
    ends.last.sendHead(OK);
    ends.last.end(Buffer.from("answer"));
    await ends.quiet();
    expect((await drain(running)).toString()).toBe("answer");
    expect(ends.served).toHaveLength(1);
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("is heard once and leaves the other way open", () => {
    const agent = new Lone("agent");
    agent.receive(frame(5, 0), frame(5, 0));
    expect([agent.goaways, agent.link.routable, agent.link.leaving]).toEqual([1, false, false]);
    agent.receive(headFrame(1, ["GET", "/", []], true));
    expect(agent.streams).toHaveLength(1);
  });
});

describe("early answers", () => {
  test("an answer that does not wait for the request's body arrives whole, then the upload is stopped", async () => {
    const ends = new Ends(2, stream => {
      stream.sendHead({ status: 413, headers: [] });
      stream.end(Buffer.from("too large"));
      stream.stopReading();
    });
    const stream = ends.broker.open(POST);
    const write = new Watched(stream.write(Buffer.alloc(1_000_000)));
    const got = new Watched(drain(stream));
    await ends.quiet();
    expect(await stream.head()).toEqual({ status: 413, headers: [] });
    expect(got.value?.toString()).toBe("too large");
    expect(write.error).toMatchObject({
      code: "upstream_error",
      message: "the receiver does not need the rest of the body",
    });
    expect(ends.counts).toEqual(NOTHING_HELD);
    expect(ends.closed).toEqual({ broker: [], agent: [] });
  });

  test("even a long one, read slowly", async () => {
    const ends = new Ends(2, stream => {
      stream.sendHead(OK);
      stream.end(pattern(900_000));
      stream.stopReading();
    });
    const stream = ends.broker.open(POST);
    const write = new Watched(stream.write(Buffer.alloc(1_000_000)));
    await ends.quiet();
    expect([write.done, ends.last.closed]).toEqual([false, false]);
    const chunks: Uint8Array[] = [];
    for (let bytes = stream.take(); bytes !== undefined; bytes = stream.take()) {
      chunks.push(bytes);
      await ends.quiet();
    }
    expect(await stream.read()).toBeNull();
    expect(Buffer.concat(chunks).equals(pattern(900_000))).toBe(true);
    expect(write.error).toMatchObject({
      code: "upstream_error",
      message: "the receiver does not need the rest of the body",
    });
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("no reset when the request has arrived", async () => {
    const ends = new Ends(2, stream => {
      stream.stopReading();
      stream.sendHead(OK);
      stream.end(Buffer.from("fine"));
    });
    const stream = ends.broker.open(POST);
    stream.end(Buffer.from("never read"));
    await ends.quiet();
    expect((await drain(stream)).toString()).toBe("fine");
    expect([stream.failure, ends.last.failure]).toEqual([undefined, undefined]);
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("a client that wants only the head may say so before it comes", async () => {
    const ends = new Ends(2);
    const stream = ends.broker.open(GET, true);
    stream.stopReading();
    const head = new Watched(stream.head());
    await ends.quiet();
    // The request was whole, so the exchange ends as it would with a reset.
    expect(head.error).toMatchObject({ code: "canceled" });
    expect(ends.counts).toEqual(NOTHING_HELD);
    expect(ends.closed).toEqual({ broker: [], agent: [] });
  });
});

describe("life", () => {
  const pings = (lone: Lone): number => lone.frames().filter(seen => seen.kind === "ping").length;

  test.each(["broker", "agent"] as const)("a silent peer of the %s gets nothing new, then is dropped", side => {
    const lone = new Lone(side);
    const stream = lone.link.open(GET, true);
    lone.clock.advance(UNROUTABLE_MS - 1);
    expect(lone.link.routable).toBe(true);
    lone.clock.advance(1);
    expect(lone.link.routable).toBe(false);
    lone.clock.advance(DEAD_MS - UNROUTABLE_MS - 1);
    expect([lone.link.isClosed, lone.terminated]).toEqual([false, false]);
    lone.clock.advance(1);
    expect([lone.link.isClosed, lone.terminated, stream.failure?.code]).toEqual([true, true, "link_lost"]);
    expect(lone.closed).toEqual([{ code: 1006, reason: "no data for too long" }]);
    expect(lone.clock.armed).toBe(0);
  });

  test.each([
    ["a pong", frame(7, 0)],
    ["an unknown frame", frame(99, 7, "later version")],
    ["a window", windowFrame(0, 1)],
  ])("%s counts as life", (_, bytes) => {
    const lone = new Lone("broker");
    for (let n = 0; n < 10; n++) {
      lone.clock.advance(UNROUTABLE_MS);
      expect(lone.link.routable).toBe(false);
      lone.receive(bytes);
      expect(lone.link.routable).toBe(true);
    }
    lone.clock.advance(UNROUTABLE_MS);
    lone.link.ponged();
    lone.clock.advance(UNROUTABLE_MS - 1);
    expect([lone.link.isClosed, lone.link.routable]).toEqual([false, true]);
  });

  test("a ping at the start and after each interval", () => {
    const lone = new Lone("broker");
    lone.sent.length = 0;
    for (let n = 0; n < 5; n++) {
      lone.clock.advance(PING_MS - 1);
      expect(pings(lone)).toBe(0);
      lone.clock.advance(1);
      expect(pings(lone)).toBe(1);
      lone.receive(frame(7, 0));
    }
    const ends = new Ends(2);
    ends.pair.settle();
    expect(ends.broker.stats.messagesOut).toBeGreaterThan(0);
  });

  test("two links that only ping each other live for ever", () => {
    const ends = new Ends(2);
    for (let n = 0; n < 400; n++) {
      ends.pair.settle();
      ends.clock.advance(2_500);
      expect([ends.broker.routable, ends.agent.routable]).toEqual([true, true]);
    }
    expect(ends.closed).toEqual({ broker: [], agent: [] });
  });

  test("a ping is answered with its own payload", () => {
    const lone = new Lone("agent");
    lone.receive(frame(6, 0, "abcdefgh"), frame(6, 0, ""));
    expect(lone.frames()).toEqual([
      { kind: "pong", payload: Buffer.from("abcdefgh") },
      { kind: "pong", payload: Buffer.alloc(0) },
    ]);
  });

  test("the pong tells the round trip", () => {
    const lone = new Lone("broker");
    lone.clock.advance(PING_MS);
    const [ping] = lone.frames();
    if (ping?.kind !== "ping") throw new Error("no ping");
    lone.clock.advance(37);
    lone.receive(frame(7, 0, ping.payload));
    expect(lone.link.roundTripMs).toBe(37);
    // A pong that answers no ping of ours changes nothing.
    const future = Buffer.alloc(8);
    future.writeDoubleBE(lone.clock.now() + 1);
    const odd = Buffer.alloc(8);
    odd.writeDoubleBE(Number.NaN);
    lone.receive(frame(7, 0, future), frame(7, 0, odd), frame(7, 0, "short"), frame(7, 0, "much longer than eight"));
    expect([lone.link.roundTripMs, lone.link.isClosed]).toEqual([37, false]);
    // The shortest way counts; a slow answer raises it by a quarter at most.
    const pong = (tookMs: number): Buffer => {
      const payload = Buffer.alloc(8);
      payload.writeDoubleBE(lone.clock.now() - tookMs);
      return frame(7, 0, payload);
    };
    lone.receive(pong(20));
    expect(lone.link.roundTripMs).toBe(20);
    lone.receive(pong(1_000));
    expect(lone.link.roundTripMs).toBe(25);
  });
});

describe("a stream on its own", () => {
  test("onClose runs once, at once when it is over", async () => {
    const ends = new Ends(2, stream => stream.sendHead(OK, true));
    const stream: Stream = ends.broker.open(GET, true);
    let runs = 0;
    stream.onClose(() => runs++);
    await ends.quiet();
    expect(runs).toBe(1);
    stream.onClose(() => runs++);
    expect(runs).toBe(2);
    ends.broker.lost(1006, "");
    expect([runs, stream.failure]).toEqual([2, undefined]);
  });

  test("several writes may wait at once, and leave in order", async () => {
    const ends = new Ends(2);
    const stream = ends.broker.open(POST);
    const writes = [1, 2, 3].map(n => new Watched(stream.write(Buffer.alloc(200_000, n))));
    stream.end(Buffer.alloc(3, 4));
    await ends.quiet();
    expect(writes.map(({ done }) => done)).toEqual([false, false, false]);
    const [body] = await Promise.all([drain(ends.last), ends.quiet()]);
    expect(writes.map(({ done }) => done)).toEqual([true, true, true]);
    expect(body.length).toBe(600_003);
    expect([body[0], body[199_999], body[200_000], body[400_000], body[600_000]]).toEqual([1, 1, 2, 3, 4]);
  });
});
