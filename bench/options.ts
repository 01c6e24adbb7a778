/** The command line of the bench. */
import { parseArgs } from "node:util";

const WORKLOADS = [
  "chat",
  "sse",
  "embed",
  "upload",
  "idle",
  "start",
  "handover",
  "mcp",
  "transfer",
  "state",
  "observe",
] as const;
export type Workload = (typeof WORKLOADS)[number];

export interface Options {
  quick: boolean;
  only: readonly Workload[];
  rounds: number | null;
  dir: string;
  peer: string | null;
  skipOwn: boolean;
  out: string;
}

export const HELP = `npm run bench -- [options]

Measures, in one run and side by side: direct to a stand-in backend, one nginx hop (if nginx is installed),
nfrx + nfrx-llm, and with --peer another pair of binaries. Prints tables and ratios, writes JSON.

  --quick        a short version, about 90 s (the full one: 5 to 6 minutes)
  --only LIST    of ${WORKLOADS.join(",")}
                 chat, mcp and observe need wrk
  --rounds N     rounds of the chat and SSE workloads (default 5 and 7, quick 2)
  --dir DIR      where nfrx and nfrx-llm are (default dist)
  --peer DIR     another pair nfrx, nfrx-llm, started with the same environment
  --skip-own     leave out the pair in --dir
  --out FILE     the JSON report (default dist/bench.json)

Exit code 0 when everything ran without errors (met or not met is information), 1 otherwise, 2 for a wrong option
or when wrk is needed and missing.
`;

/** Parses the arguments; throws with a message for the user. Null means: help is asked for. */
export function parseOptions(args: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: "boolean", short: "h" },
      quick: { type: "boolean" },
      only: { type: "string" },
      rounds: { type: "string" },
      dir: { type: "string" },
      peer: { type: "string" },
      "skip-own": { type: "boolean" },
      out: { type: "string" },
    },
  });
  if (values.help === true) return null;
  const rounds = values.rounds === undefined ? null : Number(values.rounds);
  if (rounds !== null && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= 50)) {
    throw new Error("--rounds wants a whole number from 1 to 50");
  }
  return {
    quick: values.quick === true,
    only: values.only === undefined ? WORKLOADS : values.only.split(",").map(workload),
    rounds,
    dir: values.dir ?? "dist",
    peer: values.peer ?? null,
    skipOwn: values["skip-own"] === true,
    out: values.out ?? "dist/bench.json",
  };
}

function workload(name: string): Workload {
  const known = WORKLOADS.find(one => one === name.trim());
  if (known === undefined) throw new Error(`--only knows ${WORKLOADS.join(", ")}, not "${name}"`);
  return known;
}
