// Takes out of a Bun runtime what nfrx does not use of ICU's data: the languages other than English, and the word lists
// for breaking Thai, Khmer, Lao, Burmese, Chinese and Japanese. Bun keeps them compressed one by one, so that no archive
// gets them smaller: they are a sixth of a download. What remains is a package of ICU's own format that has fewer items,
// as ICU's data build tool makes them, in the same place; Intl then answers in American English whatever it is asked for.

/** Header size 144, the magic number, sizes and byte order, "CmnD" version 1: the start of ICU's common data. */
const HEADER = Buffer.from("9000da271400000000000200436d6e4401000000", "hex");
const HEADER_BYTES = 144;
const ALIGNMENT = 16;
/** Items are names and data of a few thousand; more is another format. */
const MAX_ITEMS = 20_000;

interface Item {
  readonly name: string;
  readonly data: Uint8Array;
}

/** Empties the runtime, in place, of the data that nfrx does not use. Returns the bytes freed: 0 where there is no such data, as on macOS, which has its own. */
export function trimIcu(runtime: Uint8Array): number {
  const bytes = Buffer.from(runtime.buffer, runtime.byteOffset, runtime.byteLength);
  const header = bytes.indexOf(HEADER);
  if (header < 0) return 0;
  const start = header + HEADER_BYTES;
  const { items, end } = readPackage(bytes.subarray(start));
  const trimmed = writePackage(items.filter(({ name }) => used(name)));
  if (trimmed.length > end) throw new Error("ICU's data grew as it was trimmed");
  bytes.set(trimmed, start);
  bytes.fill(0, start + trimmed.length, start + end);
  return end - trimmed.length;
}

/** Whether an item is kept: whatever is of no language, and English. The lists of the languages go too, or Intl would believe them. */
export function used(name: string): boolean {
  const leaf = name.split("/").at(-1) ?? "";
  if (leaf.endsWith(".dict") || leaf === "res_index.res") return false;
  const language = /^([a-z]{2,3})(?:_[A-Za-z0-9_]+)?\.res$/.exec(leaf)?.[1];
  return language === undefined || language === "en";
}

/** A count, then for each item the places of its name and its data, in the order of the names; the names; the data. */
function readPackage(bytes: Buffer): { items: Item[]; end: number } {
  const count = bytes.readUInt32LE(0);
  if (count === 0 || count > MAX_ITEMS) throw new Error(`ICU's data cannot have ${count} items`);
  const places = Array.from({ length: count }, (_, index) => {
    const name = bytes.readUInt32LE(4 + 8 * index);
    const data = bytes.readUInt32LE(8 + 8 * index);
    return { name: bytes.toString("latin1", name, bytes.indexOf(0, name)), data };
  });
  const known = places.every(({ name, data }, index) => {
    const before = places[index - 1];
    return data % ALIGNMENT === 0 && (before === undefined || (before.name < name && before.data < data));
  });
  const last = places.at(-1);
  // Nobody says how long the last item is, so it stays where it is, without being listed.
  if (!known || last === undefined || used(last.name)) throw new Error("ICU's data is not as this script knows it");
  const items = places.slice(0, -1).map(({ name, data }, index) => ({
    name,
    data: Uint8Array.from(bytes.subarray(data, places[index + 1]?.data)),
  }));
  return { items, end: last.data };
}

function writePackage(items: readonly Item[]): Buffer {
  const names = items.map(({ name }) => Buffer.from(`${name}\0`, "latin1"));
  const head = Buffer.alloc(4 + 8 * items.length);
  head.writeUInt32LE(items.length, 0);
  let name = head.length;
  let data = name + names.reduce((sum, one) => sum + one.length, 0);
  const gap = Buffer.alloc(-data & (ALIGNMENT - 1));
  data += gap.length;
  for (const [index, item] of items.entries()) {
    head.writeUInt32LE(name, 4 + 8 * index);
    head.writeUInt32LE(data, 8 + 8 * index);
    name += names[index]?.length ?? 0;
    data += item.data.length; // a multiple of the alignment, as places are
  }
  return Buffer.concat([head, ...names, gap, ...items.map(item => item.data)]);
}
