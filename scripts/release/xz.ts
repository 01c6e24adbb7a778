// The system's xz, with the filter for the machine code of a target.

/** `release` compresses as well as it can, `snapshot` fast. */
export type Effort = "release" | "snapshot";
export type Code = "x64" | "arm64";

/** Memory that unpacking needs. */
const DICTIONARY = "32MiB";
const PRESET = { release: "6", snapshot: "0" } as const;
/** The xz of Ubuntu 22.04 cannot undo the filter for arm64. The alignment of its instructions helps too. */
const FILTER = { x64: ["--x86", ""], arm64: [undefined, ",lc=2,lp=2,pb=2"] } as const;

/** Compresses in one thread, so that the same input gives the same bytes. Rejects when xz is missing or fails. */
export async function xz(bytes: Uint8Array, code: Code, effort: Effort): Promise<Uint8Array> {
  const [filter, alignment] = FILTER[code];
  const lzma = `--lzma2=preset=${PRESET[effort]},dict=${DICTIONARY}${alignment}`;
  const args = ["--format=xz", "--check=crc64", "--threads=1", "--stdout", ...(filter ? [filter] : []), lzma];
  const run = Bun.spawn(["xz", ...args], { stdin: bytes, stdout: "pipe", stderr: "inherit" });
  const packed = new Uint8Array(await new Response(run.stdout).arrayBuffer());
  if ((await run.exited) !== 0) throw new Error("xz failed");
  return packed;
}
