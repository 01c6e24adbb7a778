// Which of the five programs the one executable is to be.

/** The names of the programs, the broker first. */
export const PROGRAMS = ["nfrx", "nfrx-llm", "nfrx-mcp", "nfrx-asr", "nfrx-docling"] as const;
export type ProgramName = (typeof PROGRAMS)[number];

export interface Called {
  name: ProgramName;
  /** What follows the name. */
  args: readonly string[];
}

/**
 * As with busybox: an agent's name makes it that agent; as anything else it is the program that its first argument
 * names, and the broker when that names none.
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
