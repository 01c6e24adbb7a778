// The xz format (https://tukaani.org/xz/xz-file-format.txt), with each large file in a block of its own: the executable
// is compressed once for all the archives that it is in, with the filter for its machine's code.

/** How hard to try: for a release, or for a look at one. */
export type Effort = "release" | "snapshot";
export type Code = "x64" | "arm64";

/** A piece of the input of at least this many bytes gets its own block. */
const OWN_BLOCK = 1 << 20;
const HEADER_BYTES = 12;
const FOOTER_BYTES = 12;
/** Unpacking takes this much memory. */
const DICTIONARY = "32MiB";
const PRESET = { release: "6", snapshot: "0" } as const;
/**
 * What tells xz of machine code. The real filter for arm64 is younger than Ubuntu 22.04, which could not undo it; there
 * the alignment of the instructions has to do.
 */
const FILTER = { x64: ["--x86", ""], arm64: [undefined, ",lc=2,lp=2,pb=2"] } as const;

interface Block {
  readonly bytes: Uint8Array;
  /** As the index has them: the size without padding, and that of what is in it. */
  readonly unpadded: number;
  readonly uncompressed: number;
}

/** Compresses with the system's xz, one thread, so that the same input gives the same bytes. */
export class Xz {
  readonly #blocks = new Map<string, Promise<Block>>();

  constructor(readonly effort: Effort) {}

  /** One xz stream of all pieces. Rejects when xz is missing or fails. */
  async compress(pieces: readonly Uint8Array[], code: Code): Promise<Uint8Array> {
    const blocks: Block[] = [];
    for (const group of grouped(pieces)) blocks.push(await this.#block(group, code));
    return stream(blocks);
  }

  #block(input: Uint8Array, code: Code): Promise<Block> {
    const key = `${code} ${new Bun.CryptoHasher("sha256").update(input).digest("hex")}`;
    const known = this.#blocks.get(key) ?? compressed(input, code, PRESET[this.effort]);
    if (input.length >= OWN_BLOCK) this.#blocks.set(key, known);
    return known;
  }
}

/** Large pieces alone, small ones together. */
function* grouped(pieces: readonly Uint8Array[]): Generator<Uint8Array> {
  let small: Uint8Array[] = [];
  for (const piece of pieces) {
    if (piece.length < OWN_BLOCK) {
      small.push(piece);
      continue;
    }
    if (small.length > 0) yield Buffer.concat(small);
    yield piece;
    small = [];
  }
  if (small.length > 0) yield Buffer.concat(small);
}

async function compressed(input: Uint8Array, code: Code, preset: string): Promise<Block> {
  const [filter, alignment] = FILTER[code];
  const lzma = `--lzma2=preset=${preset},dict=${DICTIONARY}${alignment}`;
  const args = ["--format=xz", "--check=crc64", "--threads=1", "--stdout", ...(filter ? [filter] : []), lzma];
  const xz = Bun.spawn(["xz", ...args], { stdin: input, stdout: "pipe", stderr: "inherit" });
  const bytes = Buffer.from(await new Response(xz.stdout).arrayBuffer());
  if ((await xz.exited) !== 0) throw new Error("xz failed");
  // One thread makes one block; the index at the end of the stream says how large it is.
  const index = bytes.subarray(bytes.length - FOOTER_BYTES - indexBytes(bytes), bytes.length - FOOTER_BYTES);
  const [count, afterCount] = readNumber(index, 1);
  const [unpadded, afterUnpadded] = readNumber(index, afterCount);
  const [uncompressed] = readNumber(index, afterUnpadded);
  if (index[0] !== 0 || count !== 1 || uncompressed !== input.length) throw new Error("xz made no single block");
  return { bytes: bytes.subarray(HEADER_BYTES, HEADER_BYTES + padded(unpadded)), unpadded, uncompressed };
}

const padded = (size: number): number => size + (-size & 3);

/** The size of the index, as the footer has it: in words of four bytes, less one. */
const indexBytes = (bytes: Buffer): number => (bytes.readUInt32LE(bytes.length - 8) + 1) * 4;

function readNumber(bytes: Buffer, at: number): [value: number, next: number] {
  let value = 0;
  for (let index = 0; ; index++) {
    const byte = bytes[at + index] ?? 0;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return [value, at + index + 1];
  }
}

function written(value: number): number[] {
  return value < 0x80 ? [value] : [(value % 0x80) | 0x80, ...written(Math.floor(value / 0x80))];
}

function stream(blocks: readonly Block[]): Uint8Array {
  const flags = Buffer.from([0, 4]); // blocks are checked with CRC64
  const records = blocks.flatMap(({ unpadded, uncompressed }) => [...written(unpadded), ...written(uncompressed)]);
  const list = Buffer.from([0, ...written(blocks.length), ...records]);
  const index = Buffer.concat([list, Buffer.alloc(-list.length & 3)]);
  const size = Buffer.alloc(4);
  size.writeUInt32LE((index.length + 4) / 4 - 1);
  return Buffer.concat([
    Buffer.from("\xfd7zXZ\0", "latin1"),
    flags,
    crc(flags),
    ...blocks.map(({ bytes }) => bytes),
    index,
    crc(index),
    crc(Buffer.concat([size, flags])),
    size,
    flags,
    Buffer.from("YZ"),
  ]);
}

function crc(bytes: Uint8Array): Buffer {
  const sum = Buffer.alloc(4);
  sum.writeUInt32LE(Bun.hash.crc32(bytes));
  return sum;
}
