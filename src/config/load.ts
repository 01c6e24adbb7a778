import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { badValue, ConfigError, describeSource, type Mistake, type Source } from "./error.ts";
import { type CommandLine, readFlags } from "./flags.ts";
import type { OptionGroup } from "./group.ts";
import { helpFor, pluginHelpText, versionLine } from "./help.ts";
import { type Misspelt, misspelt } from "./nearest.ts";
import type { Option, Raw } from "./option.ts";
import { defaultConfigFile } from "./paths.ts";
import { type Catalog, catalogOf, type Groups, type GroupValues, type Program } from "./program.ts";
import { filledYaml } from "./samples.ts";
import { configPath, type Host, readConfigFile, readEnvironment } from "./sources.ts";

export type { Host };

export type Loaded<G extends Groups, C extends string> =
  | { readonly kind: "print"; readonly text: string; readonly exitCode: 0 }
  | {
      readonly kind: "init";
      /** The file to write, and its content. */
      readonly path: string;
      readonly text: string;
      /** The values that it sets. */
      readonly values: GroupValues<G>;
    }
  | {
      readonly kind: "run";
      readonly values: GroupValues<G>;
      /** Source of each value, by environment variable, for the log; contains no values. */
      readonly sources: ReadonlyMap<string, Source>;
      /** The configuration file, whether it exists or not. */
      readonly configFile: { readonly path: string; readonly found: boolean };
      /** Unknown variables that resemble an option. */
      readonly misspelt: readonly Misspelt[];
      readonly command: C | Look | undefined;
    };

/** Commands that check instead of running the program. */
const LOOKS = ["doctor", "health"] as const;
type Look = (typeof LOOKS)[number];

interface Given {
  readonly value: unknown;
  readonly source: Source;
}

type Answers = ReadonlyMap<Option<unknown>, Given>;

/** The process this runs in. */
export function processHost(): Host {
  return {
    argv: process.argv.slice(2),
    env: process.env,
    platform: process.platform,
    readFile: path => readFileSync(path, "utf8"),
  };
}

/**
 * Reads a program's options. Precedence: flag > environment > file > default. Throws one ConfigError with all errors,
 * including those of overridden values.
 */
export function load<G extends Groups, C extends string>(program: Program<G, C>, host = processHost()): Loaded<G, C> {
  const catalog = catalogOf(program);
  const line = readFlags(host.argv, catalog, program);
  if (line.print === "help") return print(helpFor(program, host, line));
  if (line.print === "help-plugins") return print(pluginHelpText(program));
  if (line.print === "version") return print(versionLine(program));

  if (line.command === "init") return init(program, catalog, host, line);
  const file = readConfigFile(catalog, host, line.config, defaultConfigFile(host, program.configFile));
  const answers = new Map<Option<unknown>, Given>();
  const mistakes: Mistake[] = [...file.mistakes, ...line.mistakes];
  const settings = [file, readEnvironment(catalog, host), line].flatMap(source => source.settings);
  for (const { option, raw, source } of settings) {
    const parsed = option.parse(raw);
    if (parsed.ok) answers.set(option, { value: parsed.value, source });
    else mistakes.push(badValue(option, raw, source));
  }
  const wrong = new Set(mistakes.map(mistake => mistake.option));
  const values: Record<string, unknown> = {};
  for (const [name, group] of Object.entries(program.groups)) {
    const finished = finishGroup(group, answers, host, wrong);
    values[name] = finished.values;
    mistakes.push(...finished.mistakes);
  }
  if (mistakes.length > 0) throw new ConfigError(program.name, mistakes, line.command);
  if (!isComplete(values, program.groups)) throw new Error(`${program.name}: an option group is missing`);
  return {
    kind: "run",
    values,
    sources: new Map(catalog.options.map(option => [option.env, sourceOf(option, answers)])),
    configFile: { path: file.path, found: file.found },
    misspelt: misspelt(host.env, ["CONFIG_FILE", ...catalog.options.flatMap(({ env, aliases }) => [env, ...aliases])]),
    command: commandOf(program.commands, line.command),
  };
}

/** A new configuration file: the given values, and generated ones for the rest. */
function init<G extends Groups, C extends string>(
  program: Program<G, C>,
  catalog: Catalog,
  host: Host,
  line: CommandLine,
): Loaded<G, C> {
  const mistakes: Mistake[] = [...line.mistakes];
  const set = new Map<Option<unknown>, Raw>();
  for (const option of catalog.options) if (option.seed !== undefined) set.set(option, option.seed());
  for (const { option, raw, source } of [...readEnvironment(catalog, host).settings, ...line.settings]) {
    const parsed = option.parse(raw);
    if (parsed.ok) set.set(option, absolutePaths(option, raw, parsed.value));
    else mistakes.push(badValue(option, raw, source));
  }
  if (mistakes.length > 0) throw new ConfigError(program.name, mistakes);
  const path = configPath(host, line.config)?.path ?? defaultConfigFile(host, program.configFile);
  const text = filledYaml(program, set);
  const written = load(program, { ...host, argv: [], env: {}, readFile: () => text });
  if (written.kind !== "run") throw new Error(`${program.name}: the file that init wrote cannot be loaded`);
  return { kind: "init", path, text, values: written.values };
}

/** The value in a form that does not depend on the current directory. */
function absolutePaths({ isPath }: Option<unknown>, raw: Raw, value: unknown): Raw {
  const items: unknown[] = Array.isArray(value) ? value : [value];
  const whole = (item: string): string => (isPath(item) ? resolve(item) : item);
  if (!items.some(item => typeof item === "string" && isPath(item))) return raw;
  return Array.isArray(value) ? items.map(item => whole(String(item))) : whole(String(value));
}

function sourceOf(option: Option<unknown>, answers: Answers): Source {
  return answers.get(option)?.source ?? { from: "default" };
}

/** The values of a group, with combination errors unless a single value is already invalid. */
function finishGroup(group: OptionGroup, answers: Answers, host: Host, wrong: ReadonlySet<string | undefined>) {
  const found: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(group.shape)) {
    const given = answers.get(option);
    found[name] = given === undefined ? option.initial(host) : given.value;
  }
  const { values, objections } = group.finish(found);
  const mistakes = objections.flatMap(({ keys, problem }): Mistake[] => {
    const concerned = keys.flatMap(name => group.shape[name] ?? []);
    const [first] = concerned;
    if (first === undefined || concerned.some(option => wrong.has(option.env))) return [];
    const named = concerned.map(option => `${option.env} (${describeSource(sourceOf(option, answers))})`);
    const text = `${named.join(", ")}: ${problem}`;
    return [{ option: first.env, value: undefined, source: sourceOf(first, answers), text }];
  });
  return { values, mistakes };
}

/**
 * The value of a single option, before the others are known. Ignores all other settings, and a value that is invalid.
 */
export function peek<T>(program: Program, option: Option<T>, host = processHost()): T {
  const catalog = catalogOf(program);
  const line = readFlags(host.argv, catalog, program);
  const file = readConfigFile(catalog, host, line.config, defaultConfigFile(host, program.configFile));
  let value = option.initial(host);
  for (const source of [file, readEnvironment(catalog, host), line]) {
    for (const { option: named, raw } of source.settings) {
      const parsed = named.env === option.env ? option.parse(raw) : undefined;
      if (parsed?.ok) value = parsed.value;
    }
  }
  return value;
}

/** The command, before anything else is read. */
export function commandOnLine(program: Program, host: Host): string | undefined {
  return readFlags(host.argv, catalogOf(program), program).command;
}

function print(text: string) {
  return { kind: "print", text, exitCode: 0 } as const;
}

function isComplete<G extends Groups>(values: unknown, groups: G): values is GroupValues<G> {
  return typeof values === "object" && values !== null && Object.keys(groups).every(name => name in values);
}

function commandOf<C extends string>(
  commands: Readonly<Record<C, string>> | undefined,
  word: string | undefined,
): C | Look | undefined {
  for (const look of LOOKS) if (look === word) return look;
  for (const command in commands) if (command === word) return command;
  return undefined;
}
