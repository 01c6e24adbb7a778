// Signs a macOS executable anew, ad hoc: with nobody's name, but with the right hash of every page. Bun 1.4.5 does that
// for arm64 itself; an x64 executable keeps the signature of Bun's own, which no longer fits it and which newer systems
// kill a program for. The structures are those of Apple's <mach-o/loader.h> and <kern/cs_blobs.h>.

const MAGIC_64 = 0xfeedfacf;
const HEADER_BYTES = 32;
const LC_SEGMENT_64 = 0x19;
const LC_CODE_SIGNATURE = 0x1d;
const PAGE = 4096;
const HASH_BYTES = 32;
/** A set of blobs, with one in it. */
const SET_BYTES = 20;
const DIRECTORY_BYTES = 88;
const IDENTIFIER = Buffer.from("nfrx\0");
/** Made without a certificate, by what links. */
const AD_HOC_LINKER_SIGNED = 0x20002;
const MAIN_BINARY = 1n;

/** The executable with a signature that fits it, in the place of the one it has. Throws when it has none. */
export function signAdHoc(executable: Uint8Array): Uint8Array {
  const bytes = Buffer.from(executable);
  const { signature, text, linkedit } = commandsOf(bytes);
  const code = bytes.readUInt32LE(signature + 8);
  const pages = Math.ceil(code / PAGE);
  const size = SET_BYTES + DIRECTORY_BYTES + IDENTIFIER.length + pages * HASH_BYTES;
  // The commands are signed too, so they are put right first.
  bytes.writeUInt32LE(size, signature + 12);
  const inFile = BigInt(code + size) - bytes.readBigUInt64LE(linkedit + 40);
  bytes.writeBigUInt64LE(inFile, linkedit + 48);
  bytes.writeBigUInt64LE(((inFile + BigInt(PAGE) - 1n) / BigInt(PAGE)) * BigInt(PAGE), linkedit + 32);
  const hashes = Array.from({ length: pages }, (_, page) =>
    new Bun.CryptoHasher("sha256").update(bytes.subarray(page * PAGE, Math.min((page + 1) * PAGE, code))).digest(),
  );
  const head = directory(code, pages, bytes.readBigUInt64LE(text + 40), bytes.readBigUInt64LE(text + 48));
  const set = words(0xfade0cc0, size, 1, 0, SET_BYTES);
  return Buffer.concat([bytes.subarray(0, code), set, head, IDENTIFIER, ...hashes]);
}

function directory(code: number, pages: number, textStart: bigint, textBytes: bigint): Buffer {
  const hashOffset = DIRECTORY_BYTES + IDENTIFIER.length;
  const length = hashOffset + pages * HASH_BYTES;
  const head = Buffer.alloc(DIRECTORY_BYTES);
  words(0xfade0c02, length, 0x20400, AD_HOC_LINKER_SIGNED, hashOffset, DIRECTORY_BYTES, 0, pages, code).copy(head);
  head.set([HASH_BYTES, 2, 0, Math.log2(PAGE)], 36); // SHA-256
  head.writeBigUInt64BE(textStart, 64);
  head.writeBigUInt64BE(textBytes, 72);
  head.writeBigUInt64BE(MAIN_BINARY, 80);
  return head;
}

/** Where the load commands that matter begin. */
function commandsOf(bytes: Buffer): { signature: number; text: number; linkedit: number } {
  if (bytes.readUInt32LE(0) !== MAGIC_64) throw new Error("this is no executable of macOS");
  const found = new Map<string, number>();
  let at = HEADER_BYTES;
  for (let left = bytes.readUInt32LE(16); left > 0; left--) {
    const command = bytes.readUInt32LE(at);
    if (command === LC_CODE_SIGNATURE) found.set("signature", at);
    if (command === LC_SEGMENT_64) found.set(bytes.toString("latin1", at + 8, at + 24).replace(/\0+$/, ""), at);
    at += bytes.readUInt32LE(at + 4);
  }
  const [signature, text, linkedit] = ["signature", "__TEXT", "__LINKEDIT"].map(name => found.get(name));
  if (signature === undefined || text === undefined || linkedit === undefined) {
    throw new Error("this executable has no signature to replace");
  }
  return { signature, text, linkedit };
}

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, 4 * index);
  return bytes;
}
