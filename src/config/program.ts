import type { OptionGroup, Values } from "./group.ts";
import type { Option } from "./option.ts";

export type Groups = Readonly<Record<string, OptionGroup>>;

/** The values of all groups of a program, by the names of the groups. */
export type GroupValues<G extends Groups> = { readonly [K in keyof G]: Values<G[K]> };

/** A program: its name and options. */
export interface Program<G extends Groups = Groups, C extends string = string> {
  readonly name: string;
  readonly summary: string;
  /** Name of its configuration file. */
  readonly configFile: string;
  readonly groups: G;
  /** Groups that `--help-plugins` lists; without groups the flag does not exist. */
  readonly plugins?: readonly (keyof G & string)[];
  /** Commands and their descriptions. */
  readonly commands?: Readonly<Record<C, string>>;
  /** Commands that administer a running broker: they have flags of their own, and are run elsewhere. */
  readonly operatorCommands?: readonly OperatorCommand[];
  readonly build: { readonly version: string; readonly sha: string; readonly date: string };
}

/** A command that administers a running broker. */
export interface OperatorCommand {
  /** Such as `key add`. */
  readonly words: string;
  /** The names of its arguments, in their order; one in brackets may be left out. */
  readonly args: readonly string[];
  readonly help: string;
}

/** Commands of every program, and their descriptions. */
export const BUILT_IN_COMMANDS = {
  init: "Write a configuration file with every option and new keys, and show the next steps.",
  doctor: "Check the configuration and its environment; one line per finding.",
  health: "Check whether the running program is healthy; exit status 0 if so. For containers.",
} as const;

/** All commands of a program, and their descriptions. */
export function commandsOf({ commands = {} }: Pick<Program, "commands">): [word: string, what: string][] {
  return Object.entries({ ...commands, ...BUILT_IN_COMMANDS });
}

/** The operators' commands of a program as they are typed, and their descriptions. */
export function operatorCommandsOf({ operatorCommands = [] }: Pick<Program, "operatorCommands">) {
  return operatorCommands.map(({ words, args, help }): [line: string, what: string] => [
    [words, ...args].join(" "),
    help,
  ]);
}

/** The first words of the operators' commands, and the words that can follow each. */
export function operatorWordsOf({ operatorCommands = [] }: Pick<Program, "operatorCommands">) {
  const found = new Map<string, { word: string; help: string }[]>();
  for (const { words, help } of operatorCommands) {
    const [first = "", word] = words.split(" ");
    const following = found.get(first) ?? [];
    if (word !== undefined) following.push({ word, help });
    found.set(first, following);
  }
  return found;
}

/** Words that are accepted instead of a flag. */
export const FLAG_WORDS = { help: "--help", version: "--version" } as const;

/** Flags of every program. */
export const BUILT_IN_FLAGS = ["config", "help", "version", "help-plugins"] as const;

/** Every option of a program, by each of its names. */
export interface Catalog {
  readonly options: readonly Option<unknown>[];
  readonly flags: ReadonlyMap<string, Option<unknown>>;
  readonly shorts: ReadonlyMap<string, Option<unknown>>;
  readonly keys: ReadonlyMap<string, Option<unknown>>;
  /** The same by `bareKey`. */
  readonly bareKeys: ReadonlyMap<string, Option<unknown>>;
}

/** A YAML key without case and underscores: 0.9 reads `clientkey`, not `client_key`. */
export const bareKey = (key: string): string => key.toLowerCase().replaceAll("_", "");

/** Declares a program. Throws if two of its options share a name. */
export function program<const G extends Groups, const C extends string = never>(spec: Program<G, C>): Program<G, C> {
  catalogOf(spec);
  return spec;
}

/** Lists every option of a program by each of its names. */
export function catalogOf({ name, groups }: Pick<Program, "name" | "groups">): Catalog {
  const options = Object.values(groups).flatMap(group => Object.values(group.shape));
  const index = (
    kind: string,
    namesOf: (option: Option<unknown>) => readonly string[],
    reserved: readonly string[] = [],
  ) => {
    const found = new Map<string, Option<unknown>>();
    for (const option of options) {
      for (const key of namesOf(option)) {
        if (found.has(key) || reserved.includes(key)) throw new Error(`${name}: two options share the ${kind} ${key}`);
        found.set(key, option);
      }
    }
    return found;
  };
  index("environment variable", option => [option.env, ...option.aliases]);
  return {
    options,
    flags: index("flag", option => [option.flag], BUILT_IN_FLAGS),
    shorts: index("short flag", option => (option.short === undefined ? [] : [option.short])),
    keys: index("YAML key", option => option.yaml),
    bareKeys: index("YAML key", option => [...new Set(option.yaml.map(bareKey))]),
  };
}
