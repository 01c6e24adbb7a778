// A signature for macOS that fits.
import { expect, test } from "bun:test";
import { signAdHoc } from "../../../scripts/macho.ts";

const CODE = 10_000;

/** As much of an executable as a signature is about: two segments, the command that tells of the signature, and code. */
function executable(): Buffer {
  const bytes = Buffer.alloc(CODE + 300, 5);
  bytes.fill(0, 0, 300);
  bytes.writeUInt32LE(0xfeedfacf, 0);
  bytes.writeUInt32LE(3, 16);
  segment(bytes, 32, "__TEXT", 0, 8192);
  segment(bytes, 104, "__LINKEDIT", 8192, CODE + 300 - 8192);
  for (const [index, value] of [0x1d, 16, CODE, 300].entries()) bytes.writeUInt32LE(value, 176 + 4 * index);
  return bytes;
}

function segment(bytes: Buffer, at: number, name: string, offset: number, size: number): void {
  bytes.writeUInt32LE(0x19, at);
  bytes.writeUInt32LE(72, at + 4);
  bytes.write(name, at + 8);
  bytes.writeBigUInt64LE(BigInt(offset), at + 40);
  bytes.writeBigUInt64LE(BigInt(size), at + 48);
}

test("every page has its hash, the commands fit the file, and the code stays", () => {
  const signed = Buffer.from(signAdHoc(executable()));
  expect(signed.subarray(300, CODE).equals(executable().subarray(300, CODE))).toBe(true);
  // The command, and the segment that the signature lies in, end where the file does.
  expect(signed.readUInt32LE(184) + signed.readUInt32LE(188)).toBe(signed.length);
  expect(Number(signed.readBigUInt64LE(144) + signed.readBigUInt64LE(152))).toBe(signed.length);
  const set = signed.subarray(CODE);
  expect([set.readUInt32BE(0), set.readUInt32BE(4), set.readUInt32BE(8)]).toEqual([0xfade0cc0, set.length, 1]);
  const directory = set.subarray(set.readUInt32BE(16));
  expect(directory.readUInt32BE(0)).toBe(0xfade0c02);
  expect(directory.readUInt32BE(4)).toBe(directory.length);
  const [hashes, pages, limit] = [16, 28, 32].map(at => directory.readUInt32BE(at));
  expect([pages, limit]).toEqual([3, CODE]);
  for (const [index, start] of [0, 4096, 8192].entries()) {
    const page = signed.subarray(start, Math.min(start + 4096, CODE));
    const wanted = new Bun.CryptoHasher("sha256").update(page).digest("hex");
    expect(directory.toString("hex", (hashes ?? 0) + 32 * index, (hashes ?? 0) + 32 * index + 32)).toBe(wanted);
  }
});

test("what is no executable of macOS, or has no signature, is refused", () => {
  expect(() => signAdHoc(Buffer.alloc(64))).toThrow("no executable of macOS");
  const bare = executable();
  bare.writeUInt32LE(2, 16);
  expect(() => signAdHoc(bare)).toThrow("no signature");
});
