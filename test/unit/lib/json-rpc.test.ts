import { expect, test } from "bun:test";
import { asks, readRpc } from "../../../src/lib/json-rpc.ts";

const read = (text: string) => readRpc(Buffer.from(text));

test("what a message is", () => {
  expect(read('{"jsonrpc":"2.0","id":1,"method":"tools/call"}')).toEqual({
    kind: "request",
    method: "tools/call",
    id: 1,
  });
  expect(read('{"id":"a","method":"m"}')).toEqual({ kind: "request", method: "m", id: "a" });
  expect(read('{"method":"notifications/cancelled"}').kind).toBe("notification");
  expect(read('{"id":1,"result":{}}')).toEqual({ kind: "response", method: "", id: 1 });
  expect(read('{"error":{},"id":"x"}').kind).toBe("response");
  expect(read('[{"id":1,"method":"m"}]')).toEqual({ kind: "batch", method: "", id: null });
});

test("what begins work counts as such, and so does all that cannot be told", () => {
  for (const text of [
    '{"id":1,"method":"m"}',
    // However it is dressed up.
    `{"id":"${"x".repeat(5000)}","method":"tools/call"}`,
    `{"id":1,"method":"${"m".repeat(5000)}"}`,
    '{"id":1,"m\\u0065thod":"tools/call"}',
    '{"id":null,"method":"tools/call"}',
    '{"id":1,"method":7}',
    "[]",
    "{}",
    "null",
    "7",
    "{",
    "",
    "\xff",
    `{"id":1,"result":"${"x".repeat(1_100_000)}"}`,
  ])
    expect([text.slice(0, 50), asks(read(text))]).toEqual([text.slice(0, 50), true]);
  for (const text of [
    '{"id":1,"result":1}',
    `{"id":1,"result":"${"x".repeat(900_000)}"}`,
    '{"id":1,"error":1}',
    '{"method":"n"}',
  ])
    expect(asks(read(text))).toBeFalse();
});

test("an id is said again only when it would be the same", () => {
  const id = (text: string) => read(`{"id":${text},"method":"m"}`).id;
  expect([id("0"), id("-1"), id('"1"'), id('""'), id("9007199254740991")]).toEqual([0, -1, "1", "", 9007199254740991]);
  expect([id("9007199254740993"), id("1.5"), id("null"), id("{}"), id("[1]"), id("true")]).toEqual(
    Array.from({ length: 6 }, () => null),
  );
});
