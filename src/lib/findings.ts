// Findings of a check, and their output.

import { oneLine } from "./printable.ts";

type Verdict = "ok" | "warn" | "fail";

/** One check: its result in one line and, if there is a problem, what to do. */
export interface Finding {
  readonly verdict: Verdict;
  readonly subject: string;
  readonly text: string;
}

export const ok = (subject: string, text: string): Finding => ({ verdict: "ok", subject, text });
export const warn = (subject: string, text: string): Finding => ({ verdict: "warn", subject, text });
export const fail = (subject: string, text: string): Finding => ({ verdict: "fail", subject, text });

const WORD: Record<Verdict, string> = { ok: "ok", warn: "warn", fail: "FAIL" };

/** Prints each finding as it arrives, then a summary. Returns the exit code: 1 if a check failed. */
export async function report(
  findings: AsyncIterable<Finding> | Iterable<Finding>,
  print: (line: string) => void,
): Promise<number> {
  const count: Record<Verdict, number> = { ok: 0, warn: 0, fail: 0 };
  for await (const { verdict, subject, text } of findings) {
    count[verdict]++;
    print(`${WORD[verdict].padEnd(5)} ${subject.padEnd(12)} ${oneLine(text)}\n`);
  }
  const also = count.warn === 0 ? "" : `, ${count.warn} ${count.warn === 1 ? "warning" : "warnings"}`;
  print(
    count.fail === 0
      ? `\nNo errors${also}.\n`
      : `\n${count.fail} of ${count.ok + count.warn + count.fail} checks failed${also}.\n`,
  );
  return count.fail === 0 ? 0 : 1;
}
