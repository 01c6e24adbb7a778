import { describe, expect, test } from "bun:test";
import { errorText, MalformedMessage, readMessages } from "../../../../src/agent/providers/channels/message.ts";
import { parseEventId, Replay } from "../../../../src/agent/providers/sessions/replay.ts";
import { elementsOf, replaceValues, spanOf } from "../../../../src/lib/json-span.ts";
import { TestClock } from "../../../kit/time/clock.ts";

describe("a message", () => {
  test.each([
    ['{"jsonrpc":"2.0","id":1,"method":"m"}', "request", "1"],
    ['{"jsonrpc":"2.0","id":"1","method":"m"}', "request", '"1"'],
    ['{"jsonrpc":"2.0","method":"m"}', "notification", undefined],
    ['{"jsonrpc":"2.0","id":1,"result":{}}', "response", "1"],
    ['{"jsonrpc":"2.0","id":null,"error":{}}', "response", undefined],
    ['{"params":{"id":7},"id": 12345678901234567890 ,"jsonrpc":"2.0","method":"m"}', "request", "12345678901234567890"],
  ] as const)("%s is a %s", (text, kind, id) => {
    expect(readMessages(text).messages).toMatchObject([{ text, kind, id }]);
  });

  test.each([
    "",
    "{",
    "1",
    "null",
    '"x"',
    "{}",
    '{"jsonrpc":"2.0"}',
    '{"jsonrpc":"1.0","method":"m"}',
    "[1]",
    '{"jsonrpc":"2.0","id":{},"method":"m"}',
    '{"jsonrpc":"2.0","id":null,"method":"m"}',
    '{"jsonrpc":"2.0","id":1,"method":5}',
  ])("%s is none", text => {
    expect(() => readMessages(text)).toThrow(MalformedMessage);
  });

  test("is one line, whatever it was", () => {
    const { messages, batch } = readMessages(
      '[\n{"jsonrpc":"2.0",\r\n"method":"a\\n"},\n {"jsonrpc":"2.0","method":"b"}\n]',
    );
    expect([batch, messages.map(({ text }) => text)]).toEqual([
      true,
      ['{"jsonrpc":"2.0", "method":"a\\n"}', '{"jsonrpc":"2.0","method":"b"}'],
    ]);
  });

  test("that is an error carries the id as it is", () => {
    expect(errorText("12345678901234567890", -1, "no")).toBe(
      '{"jsonrpc":"2.0","error":{"code":-1,"message":"no"},"id":12345678901234567890}',
    );
    expect(JSON.parse(errorText(undefined, -1, "no", { a: 1 }))).toMatchObject({ id: null, error: { data: { a: 1 } } });
  });
});

describe("a span", () => {
  const text = ' { "a" : { "b\\u0063" : [ "}" , {"x":"\\\\"} , 1.50 ] , "d" : "\\"" } , "id":1, "id" : 2 } ';
  test.each([
    [["id"], "2"],
    [["a", "bc"], '[ "}" , {"x":"\\\\"} , 1.50 ]'],
    [["a", "d"], '"\\""'],
    [["a", "none"], undefined],
    [["id", "x"], undefined],
    [["none"], undefined],
  ])("at %j is %s", (path, value) => {
    const span = spanOf(text, path);
    expect(span === undefined ? undefined : text.slice(...span)).toBe(value);
  });

  test("is exchanged, and nothing else", () => {
    const changed = replaceValues(text, [
      [["a", "d"], "3"],
      [["id"], '"new"'],
      [["none"], "4"],
    ]);
    expect(changed).toBe(text.replace('"\\""', "3").replace('"id" : 2', '"id" : "new"'));
  });

  test("of each element", () => {
    expect(elementsOf(' [ {"a":[1,2]} ,"x,]", 3 , [] ] ')).toEqual(['{"a":[1,2]}', '"x,]"', "3", "[]"]);
    expect(elementsOf("[]")).toEqual([]);
  });
});

describe("what is kept of events", () => {
  test("is bounded, and the newest is kept whatever its size", () => {
    const empty: number[] = [];
    const clock = new TestClock();
    const replay = new Replay(clock, stream => empty.push(stream));
    replay.add(1, 1, new Uint8Array(10));
    replay.add(2, 1, new Uint8Array(3 * 1024 * 1024));
    replay.add(2, 2, new Uint8Array(9 * 1024 * 1024));
    expect([empty, replay.after(2, 0).map(({ count }) => count)]).toEqual([[1], [2]]);
    for (let count = 1; count <= 2000; count++) replay.add(3, count, new Uint8Array(1));
    expect([empty, replay.after(3, 1998).map(({ count }) => count), replay.after(3, 0).length]).toEqual([
      [1, 2],
      [1999, 2000],
      1000,
    ]);
  });

  test("is not kept for ever", () => {
    const empty: number[] = [];
    const clock = new TestClock();
    const replay = new Replay(clock, stream => empty.push(stream));
    replay.add(1, 1, new Uint8Array(1));
    clock.advance(400_000);
    replay.add(2, 1, new Uint8Array(1));
    clock.advance(200_000);
    expect([empty, replay.has(2)]).toEqual([[1], true]);
    clock.advance(400_000);
    expect([empty, clock.armed]).toEqual([[1, 2], 0]);
    replay.add(3, 1, new Uint8Array(1));
    replay.clear();
    expect([replay.has(3), clock.armed]).toEqual([false, 0]);
  });

  test("is named by ids of ours only", () => {
    expect(parseEventId("3-17")).toEqual({ stream: 3, count: 17 });
    for (const id of ["", "3", "-3-1", "3-1-1", "a-b", "1-1 ", "1-9999999999999999"])
      expect(parseEventId(id)).toBeUndefined();
  });
});
