// The constructors of options. An option is declared once, here; environment variable, flag, YAML key, --help, the
// tables of the documentation and the sample files follow from it.
import type { z } from "zod";
import type { Kind, Machine, Option, Raw } from "./declaration.ts";
import { formatDuration, LONGEST_MS } from "./duration.ts";
import { checkDeclaration, checkDefault } from "./validate-declarations.ts";
import type { Range } from "./values.ts";
import * as values from "./values.ts";

export type { Machine, Option, Raw };

/** Fields of every declaration. */
interface Spec<D> {
  readonly env: string;
  readonly help: string;
  readonly default: D;
  readonly yaml?: string | readonly string[];
  readonly flag?: string;
  readonly short?: string;
  readonly aliases?: readonly string[];
  readonly defaultNote?: string;
  readonly seed?: () => string;
}

interface Reading<T> {
  readonly schema: z.ZodType<T>;
  readonly expects: string;
  readonly raw?: Raw | undefined;
  readonly range?: Range | undefined;
  readonly choices?: readonly string[];
  readonly path?: "file" | "folder" | undefined;
  readonly isPath?: ((item: string) => boolean) | undefined;
  readonly secret?: boolean;
  readonly defaultOn?: ((machine: Machine) => T) | undefined;
}

function declare<T>(kind: Kind, spec: Spec<unknown>, initial: T, reading: Reading<T>): Option<T> {
  checkDefault(spec.env, reading.raw, reading.schema, reading.expects);
  const lower = spec.env.toLowerCase();
  return {
    env: spec.env,
    aliases: spec.aliases ?? [],
    yaml: typeof spec.yaml === "string" ? [spec.yaml] : (spec.yaml ?? [lower]),
    flag: spec.flag ?? lower.replaceAll("_", "-"),
    short: spec.short,
    help: spec.help,
    kind,
    expects: reading.expects,
    secret: reading.secret ?? false,
    range: reading.range,
    choices: reading.choices ?? [],
    path: reading.path,
    isPath: reading.isPath ?? (() => reading.path !== undefined),
    seed: spec.seed,
    defaultRaw: reading.raw,
    defaultNote: spec.defaultNote,
    initial: machine => reading.defaultOn?.(machine) ?? initial,
    parse: raw => {
      const parsed = reading.schema.safeParse(raw);
      return parsed.success ? { ok: true, value: parsed.data } : { ok: false };
    },
  };
}

type Unset = undefined;
const written = (value: string | number | boolean | Unset) => (value === undefined ? undefined : String(value));
const between = ({ min, max }: Range) => `from ${min} to ${max}`;

/** A declared range, as text after the kind of value. */
function bounds({ min, max }: Partial<Range>): string {
  if (min !== undefined && max !== undefined) return ` ${between({ min, max })}`;
  if (min !== undefined) return ` of at least ${min}`;
  return max === undefined ? "" : ` of at most ${max}`;
}

/** The declared range, as far as the widest goes; undefined when none is declared. */
function ranged({ min, max }: Partial<Range>, widest: Range): { all: Range; declared: Range | undefined } {
  const all = { min: min ?? widest.min, max: max ?? widest.max };
  return { all, declared: min === undefined && max === undefined ? undefined : all };
}

const SAFE: Range = { min: Number.MIN_SAFE_INTEGER, max: Number.MAX_SAFE_INTEGER };
const FINITE: Range = { min: -Number.MAX_VALUE, max: Number.MAX_VALUE };
const SIZES: Range = { min: 0, max: Number.MAX_SAFE_INTEGER };

interface TextSpec<D> extends Spec<D> {
  readonly pattern?: RegExp;
  /** Description of a valid value, to follow "is not …". */
  readonly expects?: string;
  /** It is the path of one. */
  readonly path?: "file" | "folder";
  /** Values that are not paths, such as memory. */
  readonly words?: readonly string[];
}

/** Any text, or one that fits `pattern`. */
function text<D extends string | Unset>(
  spec: TextSpec<D> & { readonly defaultOn?: (machine: Machine) => string | D },
): Option<string | D> {
  checkDeclaration("text", spec);
  const { expects = "text", defaultOn, path, words = [] } = spec;
  const isPath = (item: string): boolean => path !== undefined && !words.includes(item);
  const [schema, raw] = [values.text(spec.pattern), written(spec.default)];
  return declare<string | D>("text", spec, spec.default, { schema, expects, raw, path, isPath, defaultOn });
}

/** A text that is never shown. */
function secret<D extends Unset>(spec: TextSpec<D>): Option<string | D> {
  checkDeclaration("secret", spec);
  const { expects = "printable ASCII, as HTTP headers require" } = spec;
  const schema = spec.pattern === undefined ? values.key : values.text(spec.pattern);
  return declare<string | D>("secret", spec, spec.default, { schema, expects, secret: true });
}

/** A whole number; any that JavaScript holds exactly, unless `min` or `max` say otherwise. */
function int<D extends number | Unset>(spec: Spec<D> & Partial<Range>): Option<number | D> {
  checkDeclaration("int", spec);
  const { all, declared: range } = ranged(spec, SAFE);
  const [schema, expects] = [values.whole(all), `a whole number${bounds(spec)}`];
  return declare<number | D>("int", spec, spec.default, { schema, expects, raw: written(spec.default), range });
}

/** A number; any finite one, unless `min` or `max` say otherwise. */
function number<D extends number | Unset>(spec: Spec<D> & Partial<Range>): Option<number | D> {
  checkDeclaration("number", spec);
  const { all, declared: range } = ranged(spec, FINITE);
  const [schema, expects] = [values.decimal(all), `a number${bounds(spec)}`];
  return declare<number | D>("number", spec, spec.default, { schema, expects, raw: written(spec.default), range });
}

/** A TCP port; 0 lets the system choose one. */
function port<D extends number | Unset>(spec: Spec<D>): Option<number | D> {
  checkDeclaration("port", spec);
  const range = { min: 0, max: 65_535 };
  const [schema, expects] = [values.whole(range), `a port ${between(range)}`];
  return declare<number | D>("port", spec, spec.default, { schema, expects, raw: written(spec.default) });
}

/** A size; any that is not below 0, unless `min` or `max` say otherwise. */
function bytes<D extends number | Unset>(spec: Spec<D> & Partial<Range>): Option<number | D> {
  checkDeclaration("bytes", spec);
  const { all, declared: range } = ranged(spec, SIZES);
  const expects = `a size in bytes${bounds(spec)}, such as 1048576 or 1MiB`;
  const [schema, raw] = [values.bytes(all), written(spec.default)];
  return declare<number | D>("bytes", spec, spec.default, { schema, expects, raw, range });
}

/** Yes or no. As a flag it needs no value, and `--no-<flag>` says no. */
function bool(spec: Spec<boolean>): Option<boolean> {
  checkDeclaration("bool", spec);
  const [schema, raw] = [values.truth, written(spec.default)];
  return declare<boolean>("bool", spec, spec.default, { schema, expects: "true or false", raw });
}

interface DurationSpec<D> extends Spec<D> {
  /** In milliseconds; 0 unless said otherwise. */
  readonly min?: number;
  /** In milliseconds; 24 days, the longest a timer can wait, unless said otherwise. */
  readonly max?: number;
  /** `-1` is allowed and yields Infinity. Never hand that to a timer. */
  readonly allowForever?: boolean;
}

function time(kind: "seconds" | "duration", spec: DurationSpec<string | Unset>): Option<number | Unset> {
  checkDeclaration(kind, spec);
  const range = { min: spec.min ?? 0, max: spec.max ?? LONGEST_MS };
  const forever = spec.allowForever ?? false;
  const schema = values.duration(range, { forever, plainSeconds: kind === "seconds" });
  const bounds = `from ${formatDuration(range.min)} to ${formatDuration(range.max)}`;
  const plain = kind === "seconds" ? ", or a number of seconds" : "";
  const expects = `a duration ${bounds} such as 30s or 1m30s${plain}${forever ? ", or -1 for no limit" : ""}`;
  const { default: raw } = spec;
  checkDefault(spec.env, raw, schema, expects);
  const initial = raw === undefined ? raw : schema.parse(raw);
  return declare<number | Unset>(kind, spec, initial, { schema, expects, raw, range });
}

/** A duration; its value is in milliseconds. */
function duration(spec: DurationSpec<string>): Option<number>;
function duration(spec: DurationSpec<string | Unset>): Option<number | Unset> {
  return time("duration", spec);
}

/** A duration of which a plain number means seconds; its value is in milliseconds. */
function seconds(spec: DurationSpec<string>): Option<number>;
function seconds(spec: DurationSpec<Unset>): Option<number | Unset>;
function seconds(spec: DurationSpec<string | Unset>): Option<number | Unset> {
  return time("seconds", spec);
}

interface UrlSpec<D> extends Spec<D> {
  /** `http` and `https` unless said otherwise. */
  readonly schemes?: readonly string[];
  /** Transforms the given value; not applied to the default. */
  readonly rewrite?: (url: string) => string;
}

function url<D extends string | Unset>(spec: UrlSpec<D>): Option<string | D> {
  checkDeclaration("url", spec);
  const schemes = spec.schemes ?? ["http", "https"];
  const schema = values.url(schemes).transform(spec.rewrite ?? (given => given));
  const expects = `a URL that begins with ${schemes.map(scheme => `${scheme}://`).join(" or ")}`;
  return declare<string | D>("url", spec, spec.default, { schema, expects, raw: written(spec.default) });
}

function choice<const C extends string>(spec: Spec<NoInfer<C>> & { readonly values: readonly C[] }): Option<C> {
  checkDeclaration("choice", spec);
  const [schema, expects] = [values.choice(spec.values), `one of ${spec.values.join(", ")}`];
  return declare<C>("choice", spec, spec.default, {
    schema,
    expects,
    choices: spec.values,
    raw: written(spec.default),
  });
}

interface ListSpec<E> extends Spec<readonly NoInfer<E>[]> {
  /** Schema of the items. */
  readonly of: z.ZodType<E>;
  readonly expects?: string;
  /** A word that stands for the empty list. */
  readonly emptyWord?: string;
  /** True if an item is a path. */
  readonly isPath?: (item: string) => boolean;
  /** The items are never displayed. */
  readonly secret?: boolean;
}

/** A list: a YAML list, or one text with commas; a text that begins with `[` is a JSON list. */
function list<E extends string>(spec: ListSpec<E>): Option<readonly E[]> {
  checkDeclaration("list", spec);
  const { expects = "a comma-separated list", secret: hidden = false, default: items, isPath } = spec;
  const schema = values.list(spec.of, spec.emptyWord);
  return declare<readonly E[]>("list", spec, items, {
    schema,
    expects,
    secret: hidden,
    isPath,
    raw: items.length > 0 ? items : undefined,
  });
}

/**
 * Pairs: a YAML map, a JSON object, or `NAME=value` items as in a list. Never displayed, because the values are often
 * keys.
 */
function pairs(spec: Spec<Readonly<Record<string, string>>>): Option<Readonly<Record<string, string>>> {
  checkDeclaration("pairs", spec);
  const expects = "a map, a JSON object or comma-separated NAME=value pairs";
  return declare("pairs", spec, spec.default, { schema: values.pairs, expects, secret: true });
}

/** An address or a port to listen on. A bare port listens on `bareHost`, by default on every interface. */
function address(spec: Spec<Unset> & { readonly bareHost?: string }): Option<values.Address | Unset> {
  checkDeclaration("address", spec);
  const [schema, expects] = [values.address(spec.bareHost ?? ""), "a port or an address such as 127.0.0.1:9090"];
  return declare<values.Address | Unset>("address", spec, undefined, { schema, expects });
}

export const option = {
  text,
  secret,
  int,
  number,
  port,
  bytes,
  bool,
  duration,
  seconds,
  url,
  choice,
  list,
  pairs,
  address,
};
