import { expect, test } from "bun:test";
import { discard } from "../../../src/lib/bytes.ts";

test("what is discarded has no bytes any more; what shares its memory with others stays", () => {
  const own = new Uint8Array(32 * 1024);
  discard(own);
  expect([own.length, own.buffer.byteLength]).toEqual([0, 0]);
  discard(own);
  const shared = new Uint8Array(32 * 1024).fill(7);
  discard(shared.subarray(1));
  discard(shared.subarray(0, 32 * 1024 - 1));
  expect(shared).toEqual(new Uint8Array(32 * 1024).fill(7));
});
