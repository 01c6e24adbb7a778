// What every exchange does, in either version of the wire.
import { describe, expect, test } from "bun:test";
import { NfrxError } from "../../../src/lib/errors.ts";
import { drain, Ends, GET, NOTHING_HELD, OK, POST, pattern, Watched } from "./ends.ts";

const canceled = new NfrxError("canceled", "the client disconnected");

describe.each([1, 2] as const)("wire v%d", version => {
  test("carries head, body and end both ways", async () => {
    const ends = new Ends(version);
    const stream = ends.broker.open(POST);
    stream.end(Buffer.from("question"));
    await ends.quiet();
    expect(ends.requests).toEqual([POST]);
    expect(ends.last.arrived).toBe(true);
    expect(Buffer.from((await ends.last.read()) ?? []).toString()).toBe("question");
    expect(await ends.last.read()).toBeNull();
    ends.last.sendHead(OK);
    await ends.quiet();
    expect(await stream.head()).toEqual(OK);
    expect(stream.closed).toBe(false);
    ends.last.end(Buffer.from("answer"));
    await ends.quiet();
    expect((await drain(stream)).toString()).toBe("answer");
    expect(ends.counts).toEqual(NOTHING_HELD);
    expect([stream.closed, stream.failure, ends.last.closed, ends.last.failure]).toEqual([
      true,
      undefined,
      true,
      undefined,
    ]);
  });

  test("a request and an answer without bodies", async () => {
    const ends = new Ends(version, stream => stream.sendHead({ status: 204, headers: [] }, true));
    const stream = ends.broker.open(GET, true);
    await ends.quiet();
    expect(await stream.head()).toEqual({ status: 204, headers: [] });
    expect(await stream.read()).toBeNull();
    expect(await ends.last.read()).toBeNull();
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("empty writes and a second end change nothing", async () => {
    const ends = new Ends(version, stream => {
      stream.sendHead(OK);
      stream.end();
      stream.end(Buffer.from("late"));
    });
    const stream = ends.broker.open(POST);
    await stream.write(new Uint8Array(0));
    stream.end(new Uint8Array(0));
    stream.end();
    await ends.quiet();
    expect((await drain(stream)).length).toBe(0);
    expect(ends.counts).toEqual(NOTHING_HELD);
    await stream.write(Buffer.from("x"));
    stream.end();
    stream.reset(canceled);
    await ends.quiet();
    expect([ends.broker.isClosed, ends.agent.isClosed]).toEqual([false, false]);
  });

  test("large bodies arrive whole and in order", async () => {
    const up = pattern(3_000_001, 1);
    const down = pattern(5_000_003, 2);
    const bodies: Promise<Buffer>[] = [];
    const ends = new Ends(version, async stream => {
      bodies.push(drain(stream));
      await bodies[0];
      stream.sendHead(OK);
      for (let at = 0; at < down.length; at += 70_001) await stream.write(down.subarray(at, at + 70_001));
      stream.end();
    });
    const stream = ends.broker.open(POST);
    const sent = new Watched(
      (async () => {
        for (let at = 0; at < up.length; at += 100_000) await stream.write(up.subarray(at, at + 100_000));
        stream.end();
      })(),
    );
    const got = new Watched(drain(stream));
    await ends.quiet();
    expect(sent.done).toBe(true);
    expect((await bodies[0])?.equals(up)).toBe(true);
    expect(got.value?.equals(down)).toBe(true);
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("many exchanges at once do not mix", async () => {
    const ends = new Ends(version, async (stream, head) => {
      const body = await drain(stream);
      stream.sendHead({ status: 200, headers: [["x-path", head.path]] });
      stream.end(Buffer.concat([body, body]));
    });
    const streams = Array.from({ length: 300 }, (_, n) => {
      const stream = ends.broker.open({ ...POST, path: `/${n}` });
      stream.end(pattern(n * 10 + 1, n));
      return stream;
    });
    expect(ends.broker.streams).toBe(300);
    await ends.quiet();
    for (const [n, stream] of streams.entries()) {
      expect((await stream.head()).headers).toEqual([["x-path", `/${n}`]]);
      const body = pattern(n * 10 + 1, n);
      expect((await drain(stream)).equals(Buffer.concat([body, body]))).toBe(true);
    }
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("a reset before the request has left is never heard of", async () => {
    const ends = new Ends(version);
    await ends.quiet();
    const stream = ends.broker.open(POST);
    const head = new Watched(stream.head());
    const write = new Watched(stream.write(Buffer.from("x")));
    let closed = 0;
    stream.onClose(() => closed++);
    stream.reset(canceled);
    stream.reset(new NfrxError("timeout", "too late to matter"));
    await ends.quiet();
    expect(ends.served).toEqual([]);
    expect([head.error, write.error, stream.failure]).toEqual([canceled, canceled, canceled]);
    expect(closed).toBe(1);
    expect(ends.counts).toEqual(NOTHING_HELD);
    // The id it had is skipped, and the next one is taken.
    ends.broker.open(POST).end();
    await ends.quiet();
    expect(ends.served).toHaveLength(1);
  });

  test("a reset while the request waits for its answer", async () => {
    const ends = new Ends(version);
    const stream = ends.broker.open(POST);
    stream.end(Buffer.from("question"));
    const head = new Watched(stream.head());
    await ends.quiet();
    let closed = 0;
    ends.last.onClose(() => closed++);
    stream.reset(canceled);
    expect(head.done).toBe(false);
    await ends.quiet();
    expect(head.error).toBe(canceled);
    expect(ends.last.failure?.code).toBe("canceled");
    expect(closed).toBe(1);
    ends.last.sendHead(OK);
    ends.last.end(Buffer.from("for nobody"));
    expect(ends.last.write(Buffer.from("x"))).rejects.toMatchObject({ code: "canceled" });
    await ends.quiet();
    expect(ends.counts).toEqual(NOTHING_HELD);
    expect(ends.closed).toEqual({ broker: [], agent: [] });
  });

  test("a reset by the client in the middle of the answer", async () => {
    const ends = new Ends(version);
    const stream = ends.broker.open(POST);
    stream.end();
    await ends.quiet();
    ends.last.sendHead(OK);
    await Promise.all([ends.last.write(Buffer.from("half")), ends.quiet()]);
    const read = new Watched(stream.read());
    await ends.quiet();
    expect(Buffer.from(read.value ?? []).toString()).toBe("half");
    const next = new Watched(stream.read());
    stream.reset(canceled);
    // Bytes on their way while the reset is: nobody minds.
    const more = new Watched(ends.last.write(Buffer.from("more")));
    await ends.quiet();
    expect(next.error).toBe(canceled);
    expect(more.done).toBe(true);
    expect(ends.last.failure?.code).toBe("canceled");
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("a reset by the server before its head", async () => {
    const ends = new Ends(version, stream => stream.reset(new NfrxError("timeout", "the backend is silent")));
    const stream = ends.broker.open(POST);
    stream.end();
    const head = new Watched(stream.head());
    await ends.quiet();
    expect(head.error).toMatchObject({ code: "timeout", message: "the backend is silent" });
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("an answer that is cut is an error, after what arrived of it", async () => {
    const ends = new Ends(version);
    const stream = ends.broker.open(POST);
    stream.end();
    await ends.quiet();
    ends.last.sendHead(OK);
    const written = ends.last.write(Buffer.from("half"));
    await ends.quiet();
    await written;
    ends.last.reset(new NfrxError("upstream_error", "the backend broke off"));
    await ends.quiet();
    expect(await stream.head()).toEqual(OK);
    expect(Buffer.from((await stream.read()) ?? []).toString()).toBe("half");
    expect(stream.read()).rejects.toMatchObject({ code: "upstream_error", message: "the backend broke off" });
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("a refusal says that the request may be asked elsewhere", async () => {
    const ends = new Ends(version);
    await ends.quiet();
    ends.agent.goaway();
    const stream = ends.broker.open(POST);
    stream.end();
    const head = new Watched(stream.head());
    await ends.quiet();
    expect(ends.served).toEqual([]);
    expect(head.error).toMatchObject({ code: "refused" });
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("a lost link fails whatever is under way, once", async () => {
    const ends = new Ends(version);
    const waiting = ends.broker.open(POST);
    waiting.end();
    const reading = ends.broker.open(POST);
    reading.end();
    const whole = ends.broker.open(POST);
    whole.end();
    await ends.quiet();
    ends.served[1]?.sendHead(OK);
    ends.served[2]?.sendHead(OK);
    ends.served[2]?.end(Buffer.from("whole"));
    await ends.quiet();
    const fresh = ends.broker.open(POST);
    const watched = [waiting.head(), reading.read(), fresh.head(), fresh.write(Buffer.from("x"))].map(
      (promise: Promise<unknown>) => new Watched(promise),
    );
    ends.broker.lost(1006, "gone");
    ends.broker.lost(1006, "gone twice");
    ends.agent.lost(1006, "gone");
    await ends.quiet();
    for (const { error } of watched) expect(error).toMatchObject({ code: "link_lost" });
    for (const stream of ends.served.slice(0, 2)) expect(stream.failure?.code).toBe("link_lost");
    expect((await drain(whole)).toString()).toBe("whole");
    expect(ends.closed).toEqual({
      broker: [{ code: 1006, reason: "gone" }],
      agent: [{ code: 1006, reason: "gone" }],
    });
    expect([ends.broker.streams, ends.agent.streams, ends.clock.armed]).toEqual([0, 0, 0]);
    expect(() => ends.broker.open(POST)).toThrow("accepts no new streams");
    expect(ends.broker.routable).toBe(false);
    // Nothing of this touches a link that is gone.
    ends.broker.receive("{}");
    ends.broker.drained();
    ends.broker.ponged();
    ends.broker.goaway();
    ends.broker.control({ type: "heartbeat" });
    await ends.quiet();
    expect(ends.control).toEqual({ broker: [], agent: [] });
  });

  test("a close comes after what was sent before it", async () => {
    const ends = new Ends(version);
    const stream = ends.broker.open(POST);
    stream.end();
    await ends.quiet();
    ends.last.sendHead(OK);
    ends.last.end(Buffer.from("just in time"));
    ends.agent.close(1000, "drained");
    const other = new Watched(ends.broker.open(POST).head());
    await ends.quiet();
    expect((await drain(stream)).toString()).toBe("just in time");
    expect(stream.failure).toBeUndefined();
    expect(other.error).toMatchObject({ code: "link_lost" });
    expect(ends.closed.broker).toEqual([{ code: 1000, reason: "drained" }]);
    expect(ends.clock.armed).toBe(0);
  });

  test("a body that is dropped unread never looks whole", async () => {
    const ends = new Ends(version);
    const stream = ends.broker.open(POST);
    stream.end(Buffer.from("question"));
    await ends.quiet();
    expect(ends.last.arrived).toBe(true);
    ends.last.reset(new NfrxError("timeout", "canceled"));
    expect(ends.last.read()).rejects.toMatchObject({ code: "timeout" });
    await ends.quiet();
    expect(ends.counts).toEqual(NOTHING_HELD);
  });

  test("control messages pass beside the streams", async () => {
    const ends = new Ends(version);
    ends.agent.control({ type: "heartbeat", ts: 1 });
    ends.broker.control({ type: "models_update", models: ["a"] });
    ends.agent.control({ type: "something_new" });
    await ends.quiet();
    expect(ends.control.broker).toEqual([{ type: "heartbeat", ts: 1 }, { type: "something_new" }]);
    expect(ends.control.agent).toEqual([{ type: "models_update", models: ["a"] }]);
  });

  test("a stream that comes while the link is being closed is not taken", async () => {
    const ends = new Ends(version, () => ends.agent.close(1000, "enough"));
    ends.broker.open(GET, true);
    ends.broker.open(GET, true);
    await ends.quiet();
    expect(ends.served).toHaveLength(1);
    expect([ends.agent.streams, ends.broker.streams]).toEqual([0, 0]);
  });
});
