// What differs between a suite's results direct and through the tunnel, and which of that is explained.
import { parse } from "yaml";
import { z } from "zod";
import type { Row } from "./run.ts";
import type { Provider, Suite } from "./suites.ts";
import { providerNames, suiteNames } from "./suites.ts";

/** A check whose results are not the same; undefined is a check that was not made. */
export interface Difference {
  readonly scenario: string;
  readonly check: string;
  readonly direct: string | undefined;
  readonly tunnelled: string | undefined;
}

export function compare(direct: readonly Row[], tunnelled: readonly Row[]): Difference[] {
  const key = ({ scenario, check }: Row): string => `${scenario} ${check}`;
  const first = new Map(direct.map(row => [key(row), row]));
  const second = new Map(tunnelled.map(row => [key(row), row]));
  const differences: Difference[] = [];
  for (const [name, { scenario, check }] of new Map([...first, ...second])) {
    const one = first.get(name)?.status;
    const two = second.get(name)?.status;
    if (one !== two) differences.push({ scenario, check, direct: one, tunnelled: two });
  }
  return differences;
}

const none = z.literal("none").transform(() => undefined);

/** A difference that is meant to be, and why. */
const Explained = z.strictObject({
  suites: z.array(z.enum(suiteNames)).nonempty(),
  providers: z.array(z.enum(providerNames)).nonempty(),
  scenario: z.string(),
  check: z.string(),
  direct: none.or(z.string()),
  tunnelled: none.or(z.string()),
  why: z.string().min(20),
});
export type Explained = z.infer<typeof Explained>;

const file = Bun.file(new URL("differences.yaml", import.meta.url));

/** The differences that differences.yaml explains. */
export async function explanations(): Promise<Explained[]> {
  return z.array(Explained).parse(parse(await file.text()) ?? []);
}

/** What nobody explained, and what was explained and is not so any more. */
export function unexplained(
  differences: readonly Difference[],
  explained: readonly Explained[],
  { suite, provider }: { suite: Suite; provider: Provider },
): string[] {
  const here = explained.filter(({ suites, providers }) => suites.includes(suite) && providers.includes(provider));
  const told = ({ scenario, check, direct = "none", tunnelled = "none" }: Difference): string =>
    `${scenario} ${check}: direct ${direct}, tunnelled ${tunnelled}`;
  const found = new Set(differences.map(told));
  const known = new Set(here.map(told));
  return [
    ...[...found].filter(line => !known.has(line)),
    ...[...known].filter(line => !found.has(line)).map(line => `explained, but not so: ${line}`),
  ];
}
