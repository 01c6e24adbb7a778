/** Of libdeflate's levels those that are used here: fast, usual, smallest. */
export type Level = 6 | 9 | 12;

/** As `gzip -n` does it: without a name or a time. */
export const gzip = (bytes: Uint8Array, level: Level = 9): Uint8Array =>
  Bun.gzipSync(Buffer.from(bytes), { library: "libdeflate", level });
