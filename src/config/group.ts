// Option groups, and the types of their values.
import type { Machine, Option } from "./option.ts";

export type Shape = Readonly<Record<string, Option<unknown>>>;

type ShapeValues<S extends Shape> = { readonly [K in keyof S]: S[K] extends Option<infer T> ? T : never };

/** An error in the combination of values that are each valid. */
export interface Objection {
  /** The affected options, by their names in code. */
  readonly keys: readonly string[];
  readonly problem: string;
}

export interface OptionGroup<S extends Shape = Shape> {
  readonly title: string;
  readonly shape: S;
  /** Gives parsed values their types and checks their combination. */
  finish(found: Readonly<Record<string, unknown>>): {
    readonly values: ShapeValues<S>;
    readonly objections: readonly Objection[];
  };
}

/** The values of a group of options. */
export type Values<G extends OptionGroup> = ShapeValues<G["shape"]>;

function isComplete<S extends Shape>(found: unknown, shape: S): found is ShapeValues<S> {
  return typeof found === "object" && found !== null && Object.keys(shape).every(key => key in found);
}

/** Declares an option group; `check` validates the combination of its values. */
export function options<S extends Shape>(
  title: string,
  shape: S,
  check: (values: ShapeValues<S>) => readonly Objection[] = () => [],
): OptionGroup<S> {
  return {
    title,
    shape,
    finish: found => {
      if (!isComplete(found, shape)) throw new Error(`a value is missing for the option group "${title}"`);
      return { values: found, objections: check(found) };
    },
  };
}

/** The defaults of a group, for code that starts a part of the program without a command line, mainly tests. */
export function defaultsOf<S extends Shape>(group: OptionGroup<S>, machine?: Machine): ShapeValues<S> {
  const host = machine ?? { platform: process.platform, env: process.env };
  return group.finish(
    Object.fromEntries(Object.entries(group.shape).map(([key, option]) => [key, option.initial(host)])),
  ).values;
}
