// What a peer must not say, and what must be let pass.
import { describe, expect, test } from "bun:test";
import { NfrxError } from "../../../src/lib/errors.ts";
import { FRAME_MAX, STREAM_WINDOW } from "../../../src/protocol/limits.ts";
import { dataFrame, drain, frame, GET, headFrame, Lone, POST, resetFrame, Watched, windowFrame } from "./ends.ts";

const request = headFrame(1, ["POST", "/", []]);
const whole = headFrame(1, ["POST", "/", []], true);
const answer = headFrame(1, [200, []]);
const large = Buffer.alloc(10);
large[0] = 2;
large.writeUInt32BE(1, 2);
large.writeUInt32BE(FRAME_MAX + 1, 6);

/** Everything that ends the link: what it is, which end hears it, what it hears, a part of the reason. */
const fatal: [what: string, side: "broker" | "agent", frames: Buffer[], reason: string][] = [
  ["one byte", "agent", [Buffer.from([1])], "truncated frame"],
  ["nine bytes", "agent", [frame(5, 0).subarray(0, 9)], "truncated frame header"],
  ["a cut payload", "agent", [frame(2, 1, "abc").subarray(0, 12)], "truncated frame"],
  ["a sound frame with a cut one behind it", "agent", [request, frame(2, 1, "abc").subarray(0, 12)], "truncated frame"],
  ["text as a binary message", "agent", [Buffer.from('{"type":"heartbeat","ts":1}')], "larger than"],
  ["a frame that is too large", "agent", [request, large], `larger than ${FRAME_MAX}`],
  ["a head that is not JSON", "agent", [frame(1, 1, "[")], "malformed JSON"],
  ["an empty head", "agent", [frame(1, 1)], "malformed JSON"],
  ["a head that is an object", "agent", [frame(1, 1, "{}")], "must be an array"],
  ["a head that is null", "agent", [frame(1, 1, "null")], "must be an array"],
  ["a head without headers", "agent", [frame(1, 1, '["GET","/"]')], "a head must be"],
  ["a head whose path is a number", "agent", [frame(1, 1, '["GET",1,[]]')], "a head must be"],
  ["a status that is a string", "broker", [frame(1, 1, '["200",[]]')], "a head must be"],
  ["headers as an object", "agent", [frame(1, 1, '["GET","/",{"a":"b"}]')], "a head must be"],
  ["a header of one part", "agent", [frame(1, 1, '["GET","/",[["a"]]]')], "a head must be"],
  ["a header of three parts", "agent", [frame(1, 1, '["GET","/",[["a","b","c"]]]')], "a head must be"],
  ["a header that is a number", "agent", [frame(1, 1, '["GET","/",[["a",1]]]')], "a head must be"],
  ["a reset that is not JSON", "agent", [request, frame(3, 1, "canceled")], "malformed JSON"],
  ["a window of three bytes", "agent", [request, frame(4, 1, "abc")], "four bytes"],
  ["a window of five bytes", "agent", [frame(4, 0, "abcde")], "four bytes"],
  ["a ping of nine bytes", "agent", [frame(6, 0, "123456789")], "eight bytes"],
  ["data on an id never opened", "agent", [dataFrame(1, "x")], "never opened"],
  ["data on id 0", "agent", [dataFrame(0, "x")], "never opened"],
  ["data on an id not yet opened here", "broker", [dataFrame(3, "x")], "never opened"],
  ["a reset of an id never opened", "agent", [resetFrame(7, "canceled")], "never opened"],
  ["a reset of id 0", "agent", [resetFrame(0, "canceled")], "never opened"],
  ["credit for an id never opened", "agent", [windowFrame(7, 1)], "never opened"],
  ["an answer on an id never opened", "broker", [headFrame(3, [200, []])], "never opened"],
  ["an answer where a request is due", "agent", [answer], "never opened"],
  ["a request with an id of the other half", "agent", [headFrame(2, ["GET", "/", []])], "out of order"],
  ["a request with id 0", "agent", [headFrame(0, ["GET", "/", []])], "out of order"],
  ["a request with id 0 to the broker", "broker", [headFrame(0, ["GET", "/", []])], "out of order"],
  ["an id that goes back", "agent", [headFrame(5, ["GET", "/", []], true), whole], "out of order"],
  ["a request twice", "agent", [request, request], "second head"],
  ["a request with an answer behind it", "agent", [request, answer], "second head"],
  ["an answer twice", "broker", [answer, answer], "second head"],
  ["a request where an answer is due", "broker", [request], "second head"],
  ["a response body before the response head", "broker", [dataFrame(1, "x")], "unexpected data"],
  ["a body after a head that ended", "agent", [whole, dataFrame(1, "x")], "unexpected data"],
  ["a body after its end", "agent", [request, dataFrame(1, "x", true), dataFrame(1, "y")], "unexpected data"],
  ["a second end", "agent", [request, dataFrame(1, "", true), dataFrame(1, "", true)], "unexpected data"],
  [
    "more than the window",
    "agent",
    [
      request,
      ...Array.from({ length: 4 }, () => dataFrame(1, Buffer.alloc(STREAM_WINDOW / 4))),
      dataFrame(1, Buffer.alloc(1)),
    ],
    "flow control violation",
  ],
];

describe("ends the link with 1002 and a reason", () => {
  test.each(fatal)("%s", (_, side, frames, reason) => {
    const lone = new Lone(side);
    const stream = side === "broker" ? lone.link.open(POST) : undefined;
    lone.run();
    lone.receive(...frames);
    expect(lone.farewell).toEqual({ code: 1002, reason: expect.stringContaining(reason) });
    expect(lone.closed).toEqual([lone.farewell ?? { code: 0, reason: "" }]);
    expect([lone.link.isClosed, lone.link.streams, lone.clock.armed]).toEqual([true, 0, 0]);
    for (const failed of stream === undefined ? lone.streams : [stream]) {
      expect(failed.failure?.code ?? "whole").toBe(failed.arrived && failed.out.sent ? "whole" : "link_lost");
    }
  });

  test.each(["", "hello", "[]", '["register"]', "null", "1", '"text"', "{", '{"type":"heartbeat"'])(
    "the text %p",
    text => {
      for (const version of [1, 2] as const) {
        const lone = new Lone("broker", version);
        lone.text(text);
        expect(lone.farewell?.code).toBe(1002);
        expect(lone.farewell?.reason).toMatch(/not JSON|must be a JSON object/);
      }
    },
  );

  test("random bytes, whatever they are, end the link or do nothing", () => {
    let state = 7;
    const random = (): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 32;
    };
    for (let round = 0; round < 3000; round++) {
      const lone = new Lone(round % 2 === 0 ? "agent" : "broker");
      const stream = round % 2 === 0 ? undefined : lone.link.open(POST);
      lone.run();
      const frames = Array.from({ length: 1 + Math.floor(random() * 4) }, () => {
        const bytes = Buffer.from(Array.from({ length: Math.floor(random() * 24) }, () => Math.floor(random() * 256)));
        if (random() < 0.2) return bytes;
        return frame(Math.floor(random() * 10), Math.floor(random() * 4), bytes, Math.floor(random() * 4));
      });
      lone.receive(...frames);
      if (lone.link.isClosed) expect(lone.farewell?.code).toBe(1002);
      else lone.link.close(1000, "");
      expect([lone.link.streams, lone.clock.armed]).toEqual([0, 0]);
      if (stream !== undefined) expect(stream.closed).toBe(true);
    }
  });

  test("the reason fits a close frame", () => {
    for (let shift = 0; shift < 4; shift++) {
      const name = "x".repeat(shift) + "ä€😀".repeat(100);
      const lone = new Lone("broker", 1);
      lone.text(
        JSON.stringify({ type: "http_proxy_response_headers", request_id: "r1", status: 200, headers: { [name]: 1 } }),
      );
      expect(lone.farewell?.code).toBe(1002);
      expect(Buffer.byteLength(lone.farewell?.reason ?? "")).toBeLessThanOrEqual(123);
    }
  });
});

describe("resets one stream", () => {
  test.each([0, 1, 99, 100, 199, 600, 1e9, 1.5, -200, Number.POSITIVE_INFINITY])("the status %d", async status => {
    const broker = new Lone("broker");
    const [bad, good] = [broker.link.open(GET, true), broker.link.open(GET, true)];
    const head = new Watched(bad.head());
    broker.frames();
    const text = `[${status === Number.POSITIVE_INFINITY ? "1e400" : status},[]]`;
    broker.receive(frame(1, bad.id, text), dataFrame(bad.id, "body", true), headFrame(good.id, [299, []], true));
    expect(broker.farewell).toBeUndefined();
    expect(bad.failure).toMatchObject({ code: "upstream_error" });
    expect(await good.head()).toEqual({ status: 299, headers: [] });
    expect(head.error).toBe(bad.failure);
    expect(broker.frames()).toEqual([
      { kind: "reset", id: bad.id, code: "upstream_error", message: bad.failure?.message ?? "" },
    ]);
    expect(broker.link.streams).toBe(0);
  });

  test.each([200, 404, 599])("and the status %d is fine", async status => {
    const broker = new Lone("broker");
    const stream = broker.link.open(GET, true);
    broker.receive(headFrame(1, [status, [["a", "b"]]], true));
    expect(await stream.head()).toEqual({ status, headers: [["a", "b"]] });
  });
});

describe("is let pass", () => {
  test("an unknown kind, with its payload and whatever its id", () => {
    const agent = new Lone("agent");
    agent.receive(frame(0, 9, "zero"), frame(8, 77, "later"), request, frame(255, 1, Buffer.alloc(FRAME_MAX)));
    agent.receive(dataFrame(1, "x", true));
    expect(agent.farewell).toBeUndefined();
    expect(agent.streams[0]?.arrived).toBe(true);
  });

  test("flags that are not known", () => {
    const agent = new Lone("agent");
    agent.receive(frame(1, 1, '["GET","/",[]]', 0xfe));
    expect(agent.streams[0]?.arrived).toBe(false);
    agent.receive(frame(2, 1, "", 0xff));
    expect(agent.streams[0]?.arrived).toBe(true);
  });

  test("more members in a head", async () => {
    const broker = new Lone("broker");
    const stream = broker.link.open(GET, true);
    broker.receive(frame(1, 1, '[200,[["a","b"]],{"later":1},null]', 1));
    expect(await stream.head()).toEqual({ status: 200, headers: [["a", "b"]] });
  });

  test("an empty message", () => {
    const agent = new Lone("agent");
    agent.receive(Buffer.alloc(0));
    expect(agent.farewell).toBeUndefined();
  });

  test("the late frames of a stream that was reset here", () => {
    const broker = new Lone("broker");
    const stream = broker.link.open(POST);
    broker.frames();
    stream.reset(new NfrxError("canceled", "enough"));
    broker.receive(headFrame(1, [200, []]), dataFrame(1, "late"), windowFrame(1, 1000), dataFrame(1, "", true));
    broker.receive(headFrame(1, [9999, []]), resetFrame(1, "canceled"));
    expect([broker.farewell, broker.link.streams]).toEqual([undefined, 0]);
    const agent = new Lone("agent");
    agent.receive(request);
    agent.streams[0]?.reset(new NfrxError("timeout", "enough"));
    agent.receive(dataFrame(1, "late"), windowFrame(1, 5), resetFrame(1, "canceled"), dataFrame(1, "", true));
    expect([agent.farewell, agent.link.streams]).toEqual([undefined, 0]);
  });

  test("and of one that was refused, or whose id was skipped", () => {
    const agent = new Lone("agent", 2);
    agent.link.goaway();
    agent.receive(headFrame(5, ["POST", "/", []]), dataFrame(5, "body", true), resetFrame(3, "canceled"));
    expect(agent.farewell).toBeUndefined();
    expect(agent.frames().filter(seen => seen.kind === "reset")).toEqual([
      { kind: "reset", id: 5, code: "refused", message: "draining" },
    ]);
  });

  test.each([
    ['["no_such_code","why"]', "upstream_error", "why"],
    ['["no_such_code"]', "upstream_error", "no_such_code"],
    ['["constructor","x"]', "upstream_error", "x"],
    ['["timeout","slow",{"more":1}]', "timeout", "slow"],
    ["[]", "upstream_error", "undefined"],
    ["{}", "upstream_error", "undefined"],
    ["7", "upstream_error", "undefined"],
  ])("the odd reset %s", (payload, code, message) => {
    const broker = new Lone("broker");
    const stream = broker.link.open(POST);
    broker.receive(frame(3, 1, payload));
    expect(stream.failure).toMatchObject({ code, message });
    expect(broker.farewell).toBeUndefined();
  });

  test("credit without end", async () => {
    const broker = new Lone("broker");
    const stream = broker.link.open(POST);
    for (let n = 0; n < 10; n++) broker.receive(windowFrame(1, 0xffff_ffff), windowFrame(0, 0xffff_ffff));
    stream.end(Buffer.alloc(1_000_000));
    expect(broker.frames().length).toBeGreaterThan(10);
    expect(Number.isSafeInteger(stream.out.credit)).toBe(true);
  });

  test("empty data, which is nothing", async () => {
    const agent = new Lone("agent");
    agent.receive(request, dataFrame(1, ""), dataFrame(1, "a"), dataFrame(1, ""), dataFrame(1, "b", true));
    expect((await drain(agent.streams[0]!)).toString()).toBe("ab");
  });
});
