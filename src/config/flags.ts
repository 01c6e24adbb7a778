import type { Mistake } from "./error.ts";
import { suggestion } from "./nearest.ts";
import type { Option } from "./option.ts";
import { BUILT_IN_FLAGS, type Catalog, commandsOf, FLAG_WORDS, operatorWordsOf, type Program } from "./program.ts";
import type { ParsedSource, Setting } from "./setting.ts";

type Print = "help" | "version" | "help-plugins";

/** The parsed command line. */
export interface CommandLine extends ParsedSource {
  readonly print: Print | undefined;
  /** Topic of `--help`: `all`, or an option group. */
  readonly topic: string | undefined;
  readonly config: string | undefined;
  readonly command: string | undefined;
}

class Reader {
  readonly settings: Setting[] = [];
  readonly mistakes: Mistake[] = [];
  readonly printed = new Set<Print>();
  topic: string | undefined;
  config: string | undefined;
  command: string | undefined;
  #next = 0;

  constructor(
    readonly argv: readonly string[],
    readonly catalog: Catalog,
    readonly commands: readonly string[],
    readonly builtIn: readonly string[],
    readonly topics: readonly string[],
    /** Commands that are run elsewhere, for suggestions. */
    readonly others: readonly string[],
  ) {
    while (this.#next < argv.length) this.#readArgument(argv[this.#next++] ?? "");
  }

  #note(text: string, option?: Option<unknown>): void {
    this.mistakes.push({ option: option?.env, value: undefined, source: { from: "command line" }, text });
  }

  #readArgument(argument: string): void {
    const equals = argument.indexOf("=");
    const name = equals < 0 ? argument : argument.slice(0, equals);
    const value = equals < 0 ? undefined : argument.slice(equals + 1).trim();
    const option = this.#find(name);
    if (!argument.startsWith("-") || argument === "-") this.#readPositional(argument);
    else if (name === "-h" || name === "--help") this.#readHelp(value);
    else if (name === "-v" || name === "--version") this.printed.add("version");
    else if (name === "--help-plugins" && this.builtIn.includes("help-plugins")) this.printed.add("help-plugins");
    else if (name === "--config") this.config = this.#valueOf(name, value) ?? this.config;
    else if (option === undefined) this.#readOther(name, value);
    else
      this.#add(
        option,
        name,
        option.kind === "bool" && value === undefined ? "true" : this.#valueOf(name, value, option),
      );
  }

  /** `--no-<flag>`, or an unknown flag. */
  #readOther(name: string, value: string | undefined): void {
    const denied = name.startsWith("--no-") ? this.catalog.flags.get(name.slice(5)) : undefined;
    if (denied?.kind === "bool") {
      if (value === undefined) this.#add(denied, name, "false");
      else this.#note(`flag ${name} takes no value; use --${denied.flag}=false`, denied);
      return;
    }
    const known = [...this.catalog.flags.keys(), ...this.builtIn].map(flag => `--${flag}`);
    this.#note(`unknown flag ${name}${suggestion(name, known)}`);
    // The next argument is probably its value. It is skipped without display, because it may be a secret.
    if (value === undefined && !(this.argv[this.#next] ?? "-").startsWith("-")) this.#next++;
  }

  #find(name: string): Option<unknown> | undefined {
    if (name.startsWith("--")) return this.catalog.flags.get(name.slice(2));
    return name.startsWith("-") ? this.catalog.shorts.get(name.slice(1)) : undefined;
  }

  /** The value after `=`, or the next argument unless that is a flag itself. `-1` is a value. */
  #valueOf(name: string, given: string | undefined, option?: Option<unknown>): string | undefined {
    const following = this.argv[this.#next];
    const takes = given === undefined && following !== undefined && !this.#isFlag(following);
    if (takes) this.#next++;
    const value = takes ? following.trim() : given;
    if (value !== undefined && value !== "") return value;
    this.#note(`flag ${name} needs a value`, option);
    return undefined;
  }

  #isFlag(argument: string): boolean {
    const name = argument.split("=", 1)[0] ?? "";
    if (!name.startsWith("--")) return name === "-h" || name === "-v" || this.#find(name) !== undefined;
    const bare = name.slice(2);
    return (
      this.builtIn.includes(bare) || this.catalog.flags.has(bare.replace(/^no-/, "")) || this.catalog.flags.has(bare)
    );
  }

  /** A repeated flag replaces the earlier value: settings apply in order. */
  #add(option: Option<unknown>, flag: string, raw: string | undefined): void {
    if (raw !== undefined) this.settings.push({ option, raw, source: { from: "flag", flag } });
  }

  /** A topic is optional. */
  #readHelp(given: string | undefined): void {
    this.printed.add("help");
    const topic = given ?? this.argv[this.#next]?.toLowerCase();
    if (topic === undefined || !this.topics.includes(topic)) return;
    this.topic = topic;
    if (given === undefined) this.#next++;
  }

  #readPositional(argument: string): void {
    if (argument === "help" && this.#next === 1) this.#readHelp(undefined);
    else if (argument === "version" && this.#next === 1) this.printed.add("version");
    else if (this.command === undefined && this.commands.includes(argument)) {
      this.command = argument;
    } else if (this.#next === 1) {
      this.#note(
        `unknown command ${JSON.stringify(argument)}${suggestion(argument, [...this.commands, ...this.others, ...Object.keys(FLAG_WORDS)])}`,
      );
    } else {
      // Not displayed: it may be the value of the previous flag, and a secret.
      const before = (this.argv[this.#next - 2] ?? "").split("=", 1)[0] ?? "";
      const hint = this.#find(before) !== undefined ? ` after ${before}; use = to give a value` : "";
      this.#note(`unexpected argument ${this.#next}${hint}`);
    }
  }
}

/** Reads the command line, without the name of the program. */
export function readFlags(argv: readonly string[], catalog: Catalog, program: Program): CommandLine {
  const builtIn = BUILT_IN_FLAGS.filter(flag => flag !== "help-plugins" || program.plugins !== undefined);
  const words = commandsOf(program).map(([word]) => word);
  const reader = new Reader(
    argv,
    catalog,
    words,
    builtIn,
    ["all", ...Object.keys(program.groups)],
    [...operatorWordsOf(program).keys()],
  );
  const print = (["help", "help-plugins", "version"] as const).find(what => reader.printed.has(what));
  return {
    settings: reader.settings,
    mistakes: reader.mistakes,
    print,
    topic: reader.topic,
    config: reader.config,
    command: reader.command,
  };
}
