// The bytes of wire v2, written out.
import { describe, expect, test } from "bun:test";
import { FrameBatch, Kind } from "../../../src/protocol/frames.ts";
import { FRAME_MAX } from "../../../src/protocol/limits.ts";
import { frame, framesOf } from "./ends.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function put(fill: (batch: FrameBatch) => void): Uint8Array {
  const batch = new FrameBatch();
  fill(batch);
  return batch.take();
}

describe("layout", () => {
  test.each<[string, (batch: FrameBatch) => void, string]>([
    [
      "a request head",
      batch => batch.putHead(1, { method: "GET", path: "/a", headers: [["b", "c"]] }, true),
      `01 01 00000001 00000018 ${Buffer.from('["GET","/a",[["b","c"]]]').toString("hex")}`,
    ],
    [
      "a response head",
      batch => batch.putHead(0x01020304, { status: 200, headers: [] }, false),
      `01 00 01020304 00000008 ${Buffer.from("[200,[]]").toString("hex")}`,
    ],
    ["data", batch => batch.putData(2, Buffer.from([0, 255, 10]), false), "02 00 00000002 00000003 00ff0a"],
    ["an end", batch => batch.putData(0xffffffff, Buffer.alloc(0), true), "02 01 ffffffff 00000000"],
    [
      "a reset",
      batch => batch.putReset(3, "canceled", "é"),
      `03 00 00000003 00000011 ${Buffer.from('["canceled","é"]').toString("hex")}`,
    ],
    ["credit", batch => batch.putWindow(5, 0x80000001), "04 00 00000005 00000004 80000001"],
    ["goaway", batch => batch.putSignal(Kind.GOAWAY), "05 00 00000000 00000000"],
    ["a ping", batch => batch.putSignal(Kind.PING, Buffer.from([1, 2])), "06 00 00000000 00000002 0102"],
    ["a pong", batch => batch.putSignal(Kind.PONG, Buffer.alloc(8)), "07 00 00000000 00000008 0000000000000000"],
  ])("%s", (_, fill, bytes) => {
    expect(hex(put(fill))).toBe(bytes.replaceAll(" ", ""));
  });

  test("frames stand one behind the other", () => {
    const bytes = put(batch => {
      batch.putData(1, Buffer.from("a"), false);
      batch.putWindow(0, 7);
      batch.putData(1, Buffer.from("b"), true);
    });
    expect(hex(bytes)).toBe(
      hex(Buffer.concat([frame(2, 1, "a"), frame(4, 0, Buffer.from([0, 0, 0, 7])), frame(2, 1, "b", 1)])),
    );
    expect(framesOf(bytes)).toHaveLength(3);
  });

  test("a message may be a part of a larger buffer", () => {
    const bytes = put(batch => batch.putData(1, Buffer.from("inside"), true));
    const around = Buffer.concat([Buffer.from("xxx"), bytes, Buffer.from("yyy")]);
    expect(framesOf(around.subarray(3, 3 + bytes.length))).toEqual([
      { kind: "data", id: 1, bytes: 6, text: "inside", end: true },
    ]);
  });
});

describe("a batch", () => {
  test("grows as it must and is reused", () => {
    const batch = new FrameBatch();
    for (const size of [10, 100_000, FRAME_MAX, 5]) {
      for (let n = 0; n < 3; n++) batch.putData(n, Buffer.alloc(size, n), n === 2);
      const seen = framesOf(batch.take());
      expect(seen.map(one => one.kind === "data" && one.bytes)).toEqual([size, size, size]);
      expect(batch.length).toBe(0);
    }
  });

  test("leaves out a head that is too large, and nothing else", () => {
    const batch = new FrameBatch();
    batch.putData(1, Buffer.from("before"), false);
    expect(() => batch.putHead(3, { status: 200, headers: [["x", "ä".repeat(60_000)]] }, true)).toThrow("headers");
    batch.putData(1, Buffer.from("behind"), true);
    expect(framesOf(batch.take()).map(one => one.kind === "data" && one.text)).toEqual(["before", "behind"]);
  });

  test("takes text of any kind", () => {
    const headers: [string, string][] = [["x", `"\\\n\u0000\u2028😀\ud800`]];
    const batch = new FrameBatch();
    batch.putHead(1, { status: 200, headers }, false);
    batch.putReset(1, "internal", "😀".repeat(1000));
    const [head, reset] = framesOf(batch.take());
    expect(head).toMatchObject({ head: { headers } });
    expect(reset).toMatchObject({ message: "😀".repeat(512) });
  });
});
