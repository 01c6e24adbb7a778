// A tar archive (POSIX ustar) whose bytes follow from its entries and one time alone.
import type { Entry } from "./entry.ts";

const BLOCK = 512;
/** Archives end with two empty blocks. */
const END = Buffer.alloc(2 * BLOCK);
const TYPE = { file: "0", hardlink: "1", symlink: "2", folder: "5" } as const;

/** The archive in pieces; the body of each file is a piece of its own. Every entry belongs to root and has the time `epoch`, in seconds. */
export function tar(entries: readonly Entry[], epoch: number): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (const entry of entries) {
    pieces.push(header(entry, epoch));
    if (entry.kind === "file") pieces.push(entry.body, Buffer.alloc(-entry.body.length & (BLOCK - 1)));
  }
  return [...pieces, END];
}

/** A long path, parted at a slash: the front has a field of its own. */
function splitPath(path: string): [prefix: string, name: string] {
  if (Buffer.byteLength(path) <= 100) return ["", path];
  const at = path.indexOf("/", path.length - 101);
  return [path.slice(0, Math.max(0, at)), path.slice(at + 1)];
}

function header(entry: Entry, epoch: number): Uint8Array {
  const block = Buffer.alloc(BLOCK);
  const text = (value: string, at: number, width: number): void => {
    if (Buffer.byteLength(value) > width) throw new Error(`${entry.path}: too long for a tar archive`);
    block.write(value, at);
  };
  const octal = (value: number, at: number, width: number): void =>
    text(`${value.toString(8).padStart(width - 1, "0")}\0`, at, width);
  const [prefix, name] = splitPath(entry.kind === "folder" ? `${entry.path}/` : entry.path);
  text(name, 0, 100);
  text(prefix, 345, 155);
  octal("mode" in entry ? entry.mode : 0o755, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(entry.kind === "file" ? entry.body.length : 0, 124, 12);
  octal(epoch, 136, 12);
  text(TYPE[entry.kind], 156, 1);
  if ("to" in entry) text(entry.to, 157, 100);
  text("ustar\0" + "00", 257, 8);
  text("root", 265, 32);
  text("root", 297, 32);
  block.fill(" ", 148, 156); // the sum is taken with its own field blank
  const sum = block.reduce((total, byte) => total + byte, 0);
  text(`${sum.toString(8).padStart(6, "0")}\0 `, 148, 8);
  return block;
}
