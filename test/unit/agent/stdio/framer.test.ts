import { describe, expect, test } from "bun:test";
import { LineFramer, type Overlong } from "../../../../src/agent/providers/channels/framer.ts";
import { limitedReader } from "../../../../src/agent/providers/event-limit.ts";

function frame(text: string | Uint8Array, pieces: number, limit = 100) {
  const lines: string[] = [];
  const overlong: Overlong[] = [];
  const framer = new LineFramer(
    limit,
    line => lines.push(line),
    line => overlong.push(line),
  );
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += pieces) framer.push(bytes.subarray(at, at + pieces));
  framer.end();
  return { lines, overlong };
}

describe("lines", () => {
  test.each([1, 2, 3, 5, 1000])("come whole over the borders of chunks of %i bytes", pieces => {
    const { lines, overlong } = frame('{"a":"ü𝄞"}\r\n\n{"b":"\u2028"}\nlast', pieces);
    expect([lines, overlong]).toEqual([['{"a":"ü𝄞"}', '{"b":"\u2028"}', "last"], []]);
  });

  test("may be as long as the limit, and are dropped beyond it, whoever they answered", () => {
    const fits = "x".repeat(100);
    const answer = `{"result":{"id":5,"text":"${"y".repeat(200)}"},"jsonrpc":"2.0","id":"mine"}`;
    const call = `{"method":"m","params":"${"y".repeat(200)}","id":3}`;
    for (const pieces of [1, 7, 1000]) {
      expect(frame(`${fits}\n${answer}\n${call}\nnext`, pieces)).toEqual({
        lines: [fits, "next"],
        overlong: [
          { id: '"mine"', hasMethod: false, bytes: answer.length },
          { id: "3", hasMethod: true, bytes: call.length },
        ],
      });
    }
  });

  test("that are no UTF-8 are read all the same", () => {
    expect(frame(Uint8Array.of(0x61, 0xff, 0x0a), 1).lines).toEqual(["a\ufffd"]);
  });
});

describe("events", () => {
  function parse(text: string, pieces: number): [string, string][] {
    const found: [string, string][] = [];
    const read = limitedReader(
      140,
      (data, name) => found.push([name, data]),
      ({ id = "", hasMethod }) => found.push([hasMethod ? "a large call" : "a large answer", id]),
    );
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; at += pieces) read(bytes.subarray(at, at + pieces));
    return found;
  }

  test.each([1, 4, 1000])("come with their names and lines, in chunks of %i bytes", pieces => {
    const text = `: hello\r\n\r\nevent: endpoint\r\ndata: /x\r\n\r\nid: 1\ndata:a\ndata: b\n\nevent: empty\n\ndata: {"id":7,"result":"${"z".repeat(150)}"}\n\ndata: end\n\n`;
    expect(parse(text, pieces)).toEqual([
      ["endpoint", "/x"],
      ["message", "a\nb"],
      ["a large answer", "7"],
      ["message", "end"],
    ]);
  });

  test("of many lines are bounded too", () => {
    expect(parse(`data: ${"a".repeat(90)}\ndata: ${"b".repeat(90)}\n\ndata: c\n\n`, 9)).toEqual([
      ["a large answer", ""],
      ["message", "c"],
    ]);
  });
});
