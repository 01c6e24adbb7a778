// A zip archive whose bytes follow from its entries and one time alone, as Windows' own tools unpack it.
import type { Entry } from "./entry.ts";
import type { Level } from "./gzip.ts";

const DEFLATED = 8;
const VERSION = 20;
const MADE_ON_UNIX = (3 << 8) | VERSION;
const REGULAR_FILE = 0o100000;

/** Folders follow from the paths; zip knows no hard links. */
export function zip(entries: readonly Entry[], epoch: number, level: Level): Uint8Array {
  const pieces: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let offset = 0;
  for (const entry of entries) {
    if (entry.kind === "folder") continue;
    if (entry.kind !== "file") throw new Error(`${entry.path}: zip knows no links`);
    const body = Bun.deflateSync(Buffer.from(entry.body), { library: "libdeflate", level });
    const name = Buffer.from(entry.path);
    const common = commonFields(entry.body, body.length, name.length, epoch);
    const local = Buffer.concat([bytes32(0x04034b50), bytes16(VERSION), common, bytes16(0), name]);
    directory.push(
      bytes32(0x02014b50),
      bytes16(MADE_ON_UNIX),
      bytes16(VERSION),
      common,
      bytes16(0), // no extra fields
      bytes16(0), // no comment
      bytes16(0), // the first disk
      bytes16(0), // no attributes of its own
      bytes32(((REGULAR_FILE | entry.mode) << 16) >>> 0),
      bytes32(offset),
      name,
    );
    pieces.push(local, body);
    offset += local.length + body.length;
  }
  const index = Buffer.concat(directory);
  const count = bytes16(pieces.length / 2);
  const end = [bytes32(0x06054b50), bytes32(0), count, count, bytes32(index.length), bytes32(offset), bytes16(0)];
  return Buffer.concat([...pieces, index, ...end]);
}

/** From the flags to the length of the name: the same in both places. */
function commonFields(body: Uint8Array, size: number, nameLength: number, epoch: number): Buffer {
  const time = new Date(epoch * 1000);
  const clock = (time.getUTCHours() << 11) | (time.getUTCMinutes() << 5) | (time.getUTCSeconds() >> 1);
  const day = ((time.getUTCFullYear() - 1980) << 9) | ((time.getUTCMonth() + 1) << 5) | time.getUTCDate();
  return Buffer.concat([
    bytes16(0),
    bytes16(DEFLATED),
    bytes16(clock),
    bytes16(day),
    bytes32(Bun.hash.crc32(body)),
    bytes32(size),
    bytes32(body.length),
    bytes16(nameLength),
  ]);
}

function bytes16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16LE(value);
  return bytes;
}

function bytes32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}
