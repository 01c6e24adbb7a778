// Validates option declarations. Those of a plugin may be JavaScript and unchecked by types.
import type { z } from "zod";
import type { Kind, Raw } from "./declaration.ts";

/** Valid default by kind; true if it may be undefined. */
const DEFAULTS: Readonly<Record<Kind, [words: string, fits: (value: unknown) => boolean, unset: boolean]>> = {
  text: ["text or undefined", value => typeof value === "string", true],
  secret: ["undefined, because a secret has no default", () => false, true],
  int: ["a number or undefined", value => typeof value === "number", true],
  number: ["a number or undefined", value => typeof value === "number", true],
  port: ["a number or undefined", value => typeof value === "number", true],
  bytes: ["a number or undefined", value => typeof value === "number", true],
  bool: ["true or false", value => typeof value === "boolean", false],
  duration: ['text such as "30s"', value => typeof value === "string", false],
  seconds: ['a text such as "30"', value => typeof value === "string", true],
  url: ["text or undefined", value => typeof value === "string", true],
  choice: ["one of its values", value => typeof value === "string", false],
  list: ["a list, which may be empty", Array.isArray, false],
  pairs: ["an object, which may be empty", value => typeof value === "object" && value !== null, false],
  address: ["undefined", () => false, true],
};

/** Fields of every declaration, as JavaScript may contain them. */
interface Declaration {
  readonly env?: unknown;
  readonly help?: unknown;
  readonly default?: unknown;
  readonly min?: unknown;
  readonly max?: unknown;
  readonly values?: unknown;
  readonly of?: unknown;
}

/** Throws one sentence that names the option if its declaration is invalid. */
export function checkDeclaration(kind: Kind, spec: Declaration): void {
  const { env, help, min, max, values, of } = spec;
  if (env === undefined) throw new Error(`an option of the kind ${kind} (${String(help)}) has no \`env\``);
  if (typeof env !== "string" || !/^[A-Z][A-Z0-9_]*$/.test(env))
    throw new Error(`option ${String(env)}: \`env\` must consist of capitals, digits and _, such as RERANK_TOP`);
  const wrong = (problem: string): Error => new Error(`option ${env}: ${problem}`);
  if (typeof help !== "string") throw wrong("`help` is missing");
  for (const [name, bound] of Object.entries({ min, max }))
    if (bound !== undefined && (typeof bound !== "number" || Number.isNaN(bound)))
      throw wrong(`\`${name}\` must be a number${/duration|seconds/.test(kind) ? " of milliseconds" : ""}`);
  if (typeof min === "number" && typeof max === "number" && min > max) throw wrong("`min` is greater than `max`");
  if (kind === "choice" && !isChoice(values)) throw wrong("`values` must be a list of lower-case strings");
  if (kind === "list" && !isSchema(of)) throw wrong("`of` must declare the items, such as `text()`");
  const [words, fits, unset] = DEFAULTS[kind];
  if (!(spec.default === undefined ? unset : fits(spec.default))) throw wrong(`\`default\` must be ${words}`);
}

/** Throws one sentence that names the option if its default is not a valid value. */
export function checkDefault(env: string, raw: Raw | undefined, schema: z.ZodType, expects: string): void {
  if (raw === undefined || schema.safeParse(raw).success) return;
  throw new Error(`option ${env}: the default ${JSON.stringify(raw)} is not ${expects}`);
}

function isChoice(values: unknown): boolean {
  const fits = (value: unknown): boolean => typeof value === "string" && value !== "" && value === value.toLowerCase();
  return Array.isArray(values) && values.length > 0 && values.every(fits);
}

function isSchema(value: unknown): boolean {
  return typeof value === "object" && value !== null && "safeParse" in value;
}
