import type { Machine, Option } from "./option.ts";
import { defaultConfigFile } from "./paths.ts";
import {
  BUILT_IN_COMMANDS,
  commandsOf,
  type Groups,
  operatorCommandsOf,
  operatorWordsOf,
  type Program,
} from "./program.ts";

const WIDTH = 100;

/** `<name> version=<v> sha=<sha> date=<date>` */
export function versionLine({ name, build }: Program): string {
  return `${name} version=${build.version} sha=${build.sha} date=${build.date}\n`;
}

/** The requested help page: short, of a command, of an option group, or complete. */
export function helpFor(
  program: Program,
  machine: Machine,
  asked: { topic: string | undefined; command: string | undefined },
): string {
  const { topic, command } = asked;
  const group = topic === undefined ? undefined : program.groups[topic];
  if (topic === "all") return helpText(program, machine);
  if (group !== undefined) return [versionLine(program).trimEnd(), ...groupSections({ group }), ""].join("\n");
  return command === "init" ? initHelp(program, machine) : shortHelp(program, machine);
}

/** Number of flags per line of the short page. */
const SHOWN_FLAGS = 3;

/** Title of the operators' commands. */
const OPERATORS = "Administration of a running broker";

/** The operators' commands in a few lines. */
function operatorSummary(program: Program): string[] {
  const [example] = program.operatorCommands ?? [];
  if (example === undefined) return [];
  const commands = [...operatorWordsOf(program)].map(([first, following]) =>
    [first, following.map(({ word }) => word).join("|")].join(" ").trimEnd(),
  );
  const help = `Options of each: ${program.name} ${example.words} --help.`;
  return [`\n${OPERATORS}:`, wrap(`${commands.join(", ")}. ${help}`, "  ")];
}

/** The short page: commands and option groups. */
function shortHelp(program: Program, machine: Machine): string {
  const words = commandsOf(program);
  const flags: [string, string][] = [
    [
      "--config <file>",
      `Read this configuration file (default ${defaultConfigFile(machine, program.configFile)}; env CONFIG_FILE).`,
    ],
    ["-h, --help", "Show this help and exit. --help all: every option. --help <group>: the options of a group."],
    ["-v, --version", "Show version, commit and build date, and exit."],
  ];
  const groups = Object.entries(program.groups).map(([name, { shape }]): [string, string] => {
    const names = Object.values(shape).map(({ flag }) => `--${flag}`);
    const rest = names.length > SHOWN_FLAGS ? `, ${names.length - SHOWN_FLAGS} more` : "";
    return [name, `${names.slice(0, SHOWN_FLAGS).join(", ")}${rest}`];
  });
  return [
    versionLine(program).trimEnd(),
    wrap(program.summary, ""),
    `\nUsage: ${program.name} [command] [options]`,
    ...table("Commands", words),
    ...operatorSummary(program),
    ...table("General", flags),
    ...table("Option groups", groups),
    "\nPrecedence: flag > environment > file > default.",
    "",
  ].join("\n");
}

/** The help of `init`. */
function initHelp(program: Program, machine: Machine): string {
  const { name, configFile } = program;
  const secrets = Object.values(program.groups).flatMap(({ shape }) => Object.values(shape));
  const seeded = secrets.filter(({ seed, secret }) => seed !== undefined && secret).map(({ yaml }) => yaml[0] ?? "");
  return [
    versionLine(program).trimEnd(),
    `${BUILT_IN_COMMANDS.init}`,
    `\nUsage: ${name} init [--config <file>] [options]`,
    "",
    wrap(
      `Writes ${defaultConfigFile(machine, configFile)}, or the file that --config names. The file must not exist yet.`,
      "",
    ),
    wrap(
      "Options that you set by flag or environment are written to the file; the others are included as comments.",
      "",
    ),
    ...(seeded.length === 0 ? [] : [`Generated at random unless you set them: ${seeded.join(", ")}.`]),
    "Only the owner can read the file. If root runs init and the group nfrx exists, that group can read it too.",
    `\nEvery option: ${name} --help all`,
    "",
  ].join("\n");
}

/** Lines with two columns. */
function table(title: string, rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([head]) => head.length));
  return [`\n${title}:`, ...rows.map(([head, text]) => `  ${head.padEnd(width)}  ${text}`)];
}

/** The complete page: every option, in plain lines that work with screen readers. */
export function helpText(program: Program, machine: Machine): string {
  const { name, summary, plugins } = program;
  const words = commandsOf(program);
  const own = [
    entry(
      "--config <file>",
      `Configuration file. Default: ${defaultConfigFile(machine, program.configFile)}. Env: CONFIG_FILE.`,
    ),
    entry("-h, --help [all|<group>]", "Show the short help, every option (all), or the options of a group, and exit."),
    entry("-v, --version", "Show version, commit and build date, and exit."),
    ...(plugins === undefined ? [] : [entry("--help-plugins", "List only the options of the modules.")]),
  ];
  return [
    versionLine(program).trimEnd(),
    wrap(summary, ""),
    `\nUsage: ${name} [${words.map(([word]) => word).join("|")}] [options]`,
    wrap("Precedence: flag > environment > file > default.", ""),
    ...section(
      "Commands",
      words.map(([word, what]) => entry(word, what)),
    ),
    ...section(
      OPERATORS,
      operatorCommandsOf(program).map(([line, what]) => entry(line, what)),
    ),
    ...section("General", own),
    ...groupSections(program.groups),
    "",
  ].join("\n");
}

/** The options of a program's modules. */
export function pluginHelpText(program: Program): string {
  const groups = Object.fromEntries(
    (program.plugins ?? []).flatMap(name => {
      const group = program.groups[name];
      return group === undefined ? [] : [[name, group]];
    }),
  );
  return [versionLine(program).trimEnd(), ...groupSections(groups), ""].join("\n");
}

/** A default, safe to display. */
export function defaultText({ defaultRaw, defaultNote, secret }: Option<unknown>): string {
  if (defaultNote !== undefined) return defaultNote;
  if (secret || defaultRaw === undefined) return "unset";
  return typeof defaultRaw === "string" ? defaultRaw : defaultRaw.join(",");
}

function groupSections(groups: Groups): string[] {
  return Object.values(groups).flatMap(group => section(group.title, Object.values(group.shape).map(optionEntry)));
}

function section(title: string, entries: readonly string[]): string[] {
  return entries.length === 0 ? [] : [`\n${title}:\n`, entries.join("\n")];
}

function optionEntry(option: Option<unknown>): string {
  const short = option.short === undefined ? "" : `-${option.short}, `;
  const value = option.kind === "bool" ? "" : ` <${option.kind}>`;
  const env = [option.env, ...option.aliases].join(" or ");
  const facts = `Default: ${defaultText(option)}. Env: ${env}. YAML: ${option.yaml[0]}.`;
  return entry(`${short}--${option.flag}${value}`, `${option.help} ${facts}`);
}

function entry(head: string, text: string): string {
  return `  ${head}\n${wrap(text, "      ")}`;
}

/** Breaks lines between words. */
export function wrap(text: string, indent: string): string {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(" ")) {
    if (line.length > indent.length && line.length + word.length >= WIDTH) {
      lines.push(line.trimEnd());
      line = indent;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()].join("\n");
}
