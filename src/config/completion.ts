// Shell completions, generated from the declarations.
import type { Option } from "./option.ts";
import { BUILT_IN_FLAGS, catalogOf, commandsOf, operatorCommandsOf, operatorWordsOf, type Program } from "./program.ts";

/** One flag, as shells need it. */
interface Flag {
  readonly names: readonly string[];
  readonly help: string;
  /** The kind of its value; undefined if it takes none. */
  readonly value: { readonly choices: readonly string[]; readonly path: Option<unknown>["path"] } | undefined;
}

const BUILT_IN: Record<(typeof BUILT_IN_FLAGS)[number], Flag> = {
  config: { names: ["--config"], help: "Configuration file.", value: { choices: [], path: "file" } },
  help: { names: ["-h", "--help"], help: "Show help and exit; all: every option.", value: undefined },
  version: { names: ["-v", "--version"], help: "Show the version and exit.", value: undefined },
  "help-plugins": { names: ["--help-plugins"], help: "List the options of the modules.", value: undefined },
};

function flagsOf(program: Program): Flag[] {
  const builtIn = BUILT_IN_FLAGS.filter(flag => flag !== "help-plugins" || program.plugins !== undefined);
  const declared = catalogOf(program).options.map(({ flag, short, help, kind, choices, path }) => ({
    names: [...(short === undefined ? [] : [`-${short}`]), `--${flag}`],
    help,
    value: kind === "bool" ? undefined : { choices, path },
  }));
  return [...builtIn.map(flag => BUILT_IN[flag]), ...declared];
}

/** Every word that may come first, and its description. */
function firstWordsOf(program: Program): [word: string, help: string][] {
  const own = commandsOf(program);
  const others = [...operatorWordsOf(program)].filter(([word]) => own.every(([one]) => one !== word));
  const lines = operatorCommandsOf(program);
  return [
    ...own,
    ...others.map(([word, following]): [string, string] => [
      word,
      following.length > 0
        ? `${following.map(one => one.word).join(", ")}.`
        : (lines.find(([line]) => line.split(" ")[0] === word)?.[1] ?? ""),
    ]),
  ];
}

/** The words that can follow the first one, for those that have any. */
function secondWordsOf(program: Program) {
  return [...operatorWordsOf(program)].filter(([, following]) => following.length > 0);
}

const quote = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
/** A name that is valid in a shell function's name. */
const identifier = ({ name }: Program): string => `_${name.replaceAll("-", "_")}`;

/** The completion script for bash. */
export function bashCompletion(program: Program): string {
  const flags = flagsOf(program);
  const names = flags.flatMap(flag => flag.names);
  const words = [...firstWordsOf(program).map(([word]) => word), ...names];
  const taking = flags.filter(({ value }) => value !== undefined);
  const chosen = taking.filter(({ value }) => (value?.choices.length ?? 0) > 0);
  const cases = [
    ...secondWordsOf(program).map(
      ([first, following]) =>
        `    ${first}) words=${quote([...following.map(({ word }) => word), ...names].join(" "))} ;;`,
    ),
    ...chosen.map(({ names, value }) => `    ${names.join("|")}) words=${quote(value?.choices.join(" ") ?? "")} ;;`),
    // Without matches, readline offers files.
    `    ${taking
      .filter(flag => !chosen.includes(flag))
      .flatMap(({ names }) => names)
      .join("|")}) return ;;`,
  ];
  // Compatible with bash 3.2, the version of macOS.
  return `# Completes ${program.name} in bash.
${identifier(program)}() {
  local current=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD - 1]}
  local words=${quote(words.join(" "))}
  COMPREPLY=()
  case $before in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F ${identifier(program)} ${program.name}
`;
}

/** The completion function for zsh. */
export function zshCompletion(program: Program): string {
  const text = (help: string): string => help.replace(/[\\[\]:]/g, "\\$&");
  const after = ({ value }: Flag): string => {
    if (value === undefined) return "";
    if (value.choices.length > 0) return `:value:(${value.choices.join(" ")})`;
    if (value.path === "file") return ":file:_files";
    if (value.path === "folder") return ":folder:_files -/";
    return ":value:";
  };
  const specs = flagsOf(program).flatMap(flag =>
    flag.names.map(name => `  ${quote(`${name}[${text(flag.help)}]${after(flag)}`)}`),
  );
  const commands = firstWordsOf(program).map(([word, help]) => `${word}\\:${quote(text(help))}`);
  specs.push(`  ${quote(`1::command:((${commands.join(" ")}))`)}`);
  const second = secondWordsOf(program).map(
    ([first, following]) => `${first}) compadd ${following.map(({ word }) => word).join(" ")} ;;`,
  );
  if (second.length > 0) specs.push(`  ${quote(`2::command:{case $words[2] in ${second.join(" ")} esac}`)}`);
  return `#compdef ${program.name}
_arguments -s \\
${specs.join(" \\\n")}
`;
}

/** The completion script for fish. */
export function fishCompletion(program: Program): string {
  const text = (help: string): string => `'${help.replace(/[\\']/g, "\\$&")}'`;
  const after = ({ value }: Flag): string => {
    if (value === undefined) return "";
    if (value.choices.length > 0) return ` -x -a '${value.choices.join(" ")}'`;
    if (value.path === "file") return " -r -F";
    if (value.path === "folder") return " -x -a '(__fish_complete_directories)'";
    return " -x";
  };
  const start = `complete -c ${program.name}`;
  const commands = firstWordsOf(program).map(
    ([word, help]) => `${start} -n __fish_is_first_arg -a ${word} -d ${text(help)}`,
  );
  for (const [first, following] of secondWordsOf(program))
    for (const { word, help } of following)
      commands.push(`${start} -n '__fish_seen_subcommand_from ${first}' -a ${word} -d ${text(help)}`);
  const flags = flagsOf(program).map(flag => {
    const names = flag.names.map(name => (name.startsWith("--") ? `-l ${name.slice(2)}` : `-s ${name.slice(1)}`));
    return `${start} ${names.join(" ")}${after(flag)} -d ${text(flag.help)}`;
  });
  return [`# Completes ${program.name} in fish.`, `${start} -f`, ...commands, ...flags, ""].join("\n");
}
