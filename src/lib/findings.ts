// What an examination of a set-up finds, and how it is told.

import { oneLine } from "./printable.ts";

type Verdict = "ok" | "warn" | "fail";

/** One thing that was looked at: how it is, in one line, and, when it is not well, what to do. */
export interface Finding {
  readonly verdict: Verdict;
  readonly subject: string;
  readonly text: string;
}

export const ok = (subject: string, text: string): Finding => ({ verdict: "ok", subject, text });
export const warn = (subject: string, text: string): Finding => ({ verdict: "warn", subject, text });
export const fail = (subject: string, text: string): Finding => ({ verdict: "fail", subject, text });

const WORD: Record<Verdict, string> = { ok: "ok", warn: "warn", fail: "FAIL" };

/** Prints each finding as a line as it comes, then their sum; the exit code: 1 when anything has failed. */
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
