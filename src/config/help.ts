import type { Machine, Option } from "./option.ts";
import { defaultConfigFile } from "./paths.ts";
import { commandsOf, type Groups, type Program } from "./program.ts";

const WIDTH = 100;

/** `<name> version=<v> sha=<sha> date=<date>` */
export function versionLine({ name, build }: Program): string {
  return `${name} version=${build.version} sha=${build.sha} date=${build.date}\n`;
}

/** Every option of a program, as plain lines that read well aloud. */
export function helpText(program: Program, machine: Machine): string {
  const { name, summary, plugins } = program;
  const words = commandsOf(program);
  const own = [
    entry(
      "--config <file>",
      `Configuration file. Default: ${defaultConfigFile(machine, program.configFile)}. Env: CONFIG_FILE.`,
    ),
    entry("-h, --help", "Says this."),
    entry("--version", "Says the version, the commit and the date of this build."),
    ...(plugins === undefined ? [] : [entry("--help-plugins", "Lists the options of the modules alone.")]),
  ];
  return [
    versionLine(program).trimEnd(),
    wrap(summary, ""),
    `\nUsage: ${name} [${words.map(([word]) => word).join("|")}] [options]`,
    wrap(
      "An option is taken from its default, the configuration file, the environment and the command line; the later one wins.",
      "",
    ),
    ...section(
      "Commands",
      words.map(([word, what]) => entry(word, what)),
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

/** A default in words, fit to be shown. */
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
