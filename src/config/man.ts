// Manual pages, generated from the declarations.
import { defaultText } from "./help.ts";
import type { Option } from "./option.ts";
import { CONFIG_DIRS } from "./paths.ts";
import { commandsOf, operatorCommandsOf, type Program } from "./program.ts";

/** Escapes text for troff: copyable hyphens, backslashes and leading dots. */
function roff(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replace(/^[.']/gm, "\\&$&");
}

const bold = (text: string): string => `\\fB${roff(text)}\\fR`;
const italic = (text: string): string => `\\fI${roff(text)}\\fR`;
const entry = (head: string, ...lines: string[]): string => [".TP", head, ...lines].join("\n");

function optionEntry(option: Option<unknown>): string {
  const { env, aliases, yaml, flag, short, kind, help } = option;
  const value = kind === "bool" ? "" : ` ${italic(kind)}`;
  const flags = [...(short === undefined ? [] : [bold(`-${short}`)]), bold(`--${flag}`)].join(", ");
  return entry(
    `${flags}${value}`,
    roff(help),
    ".br",
    // Allows line breaks after commas in long lists.
    `Default: ${roff(defaultText(option)).replaceAll(",", ",\\:")}. Environment: ${[env, ...aliases].map(bold).join(" or ")}. YAML: ${bold(yaml[0] ?? "")}.`,
  );
}

/** The manual page of a program in section 1, in the man macros of troff; `others` are the programs it goes with. */
export function manPage(program: Program, others: readonly Program[]): string {
  const { name, summary, build, plugins, configFile } = program;
  const words = commandsOf(program);
  const operators = operatorCommandsOf(program);
  const own = [
    entry(`${bold("--config")} ${italic("file")}`, "Configuration file. Environment: \\fBCONFIG_FILE\\fR."),
    entry(
      `${bold("-h")}, ${bold("--help")} [${bold("all")}|${italic("group")}]`,
      "Show the short help, every option (all), or the options of a group, and exit.",
    ),
    entry(`${bold("-v")}, ${bold("--version")}`, "Show version, commit and build date, and exit."),
    ...(plugins === undefined ? [] : [entry(bold("--help-plugins"), "List only the options of the modules.")]),
  ];
  const day = /^\d{4}-\d\d-\d\d/.exec(build.date)?.[0] ?? "";
  const options = Object.values(program.groups).flatMap(group => [
    `.SS ${roff(group.title)}`,
    ...Object.values(group.shape).map(optionEntry),
  ]);
  const related = others.filter(other => other.name !== name).map(other => `${bold(other.name)}(1)`);
  return [
    `.TH ${name.toUpperCase().replaceAll("-", "\\-")} 1 "${day}" "nfrx ${roff(build.version)}" "nfrx"`,
    ".ad l",
    ".SH NAME",
    `${roff(name)} \\- ${roff(summary.replace(/\.$/, "").replace(/^The /, "the "))}`,
    ".SH SYNOPSIS",
    `${bold(name)} [${words.map(([word]) => bold(word)).join("|")}] [options]`,
    ".SH DESCRIPTION",
    roff(summary),
    ".PP",
    "Precedence: flag > environment > file > default.",
    ".SH COMMANDS",
    ...words.map(([word, what]) => entry(bold(word), roff(what))),
    ...(operators.length === 0
      ? []
      : [
          ".SS Administration of a running broker",
          ...operators.map(([line, what]) => entry(bold(line), roff(what))),
          ".PP",
          "With \\fB\\-\\-help\\fR, each of them lists its options.",
        ]),
    ".SH OPTIONS",
    ...own,
    ...options,
    ".SH FILES",
    entry(italic(`${CONFIG_DIRS.linux}/${configFile}`), "Default configuration file. It is optional."),
    ".SH EXIT STATUS",
    entry("0", "Stopped on request."),
    entry("1", "Failed at run time."),
    entry("2", "Invalid configuration; the message lists every error."),
    ".SH SIGNALS",
    entry("SIGTERM, SIGINT", "Takes no new work, finishes running work, and exits. A second signal exits immediately."),
    ".SH SEE ALSO",
    related.join(",\n"),
    "",
  ].join("\n");
}
