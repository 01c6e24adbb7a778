// Selects the program that the executable runs as.

/** Names of the programs; the broker is the first. */
export const PROGRAMS = ["nfrx", "nfrx-llm", "nfrx-mcp", "nfrx-asr", "nfrx-docling"] as const;
export type ProgramName = (typeof PROGRAMS)[number];

export interface Called {
  name: ProgramName;
  /** Arguments after the name. */
  args: readonly string[];
}

/**
 * As with busybox: the executable's own name selects an agent. Otherwise the first argument names the program; the
 * default is the broker.
 */
export function calledAs(argv0: string, args: readonly string[]): Called {
  const own = argv0
    .split(/[\\/]/)
    .at(-1)
    ?.replace(/\.exe$/i, "");
  const byName = PROGRAMS.find(program => program === own);
  if (byName !== undefined && byName !== "nfrx") return { name: byName, args };
  const byArgument = PROGRAMS.find(program => program === args[0]);
  return byArgument === undefined ? { name: "nfrx", args } : { name: byArgument, args: args.slice(1) };
}
