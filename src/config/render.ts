// The documentation of the options, as Markdown, generated from the declarations.
import { formatDuration } from "./duration.ts";
import { defaultText } from "./help.ts";
import type { Option } from "./option.ts";
import { CONFIG_DIRS } from "./paths.ts";
import { catalogOf, type Program } from "./program.ts";

export const NOTICE = "<!-- Generated from the declarations in src/ by `npm run docs`; do not edit. -->";

export const cell = (text: string) => text.replaceAll("|", "\\|").replaceAll("<", "&lt;").replace(/\*/g, "\\*");
export const code = (text: string) => `\`${text}\``;
export const table = (head: readonly string[], rows: readonly (readonly string[])[]) =>
  [head, head.map(() => "---"), ...rows].map(cells => `| ${cells.join(" | ")} |`).join("\n");

function defaultCell(option: Option<unknown>): string {
  const text = defaultText(option);
  return option.defaultNote !== undefined || option.defaultRaw === undefined ? cell(text) : code(text);
}

/** The options of one program as a table. */
function optionTable(program: Program): string {
  const rows = catalogOf(program).options.map(option => [
    [option.env, ...option.aliases].map(code).join(" or "),
    option.yaml.map(code).join(" or "),
    [...(option.short === undefined ? [] : [`-${option.short}`]), `--${option.flag}`].map(code).join(" "),
    defaultCell(option),
    cell(option.help),
  ]);
  return table(["Variable", "YAML key", "Flag", "Default", "Purpose"], rows);
}

/** doc/configuration.md */
export function configurationPage(programs: readonly Program[]): string {
  const chapters = programs.map(program => {
    const file = `File: ${code(program.configFile)}; sample: [${program.configFile}](../examples/config/${program.configFile}).`;
    return `## ${program.name}\n\n${program.summary}\n\n${file}\n\n${optionTable(program)}\n`;
  });
  return `${NOTICE}\n\n# Options\n\n${INTRODUCTION}\n\n${chapters.join("\n")}`;
}

const INTRODUCTION = `Precedence: flag > environment > file > default. An invalid value, an unknown YAML key or an unknown flag stops the program
with exit code 2 and one message that lists every error with its location.

- File: \`--config\` or \`CONFIG_FILE\` names it. The default is the program's file (\`server.yaml\` for \`nfrx\`, \`worker.yaml\` for
  \`nfrx-llm\`, and \`asr.yaml\`, \`docling.yaml\`, \`mcp.yaml\` for the agents of those names) in \`${CONFIG_DIRS.linux}\` on Linux,
  \`${CONFIG_DIRS.darwin}\` on macOS, \`${CONFIG_DIRS.win32}\` on Windows; it is optional. A dot in a key stands for
  nesting: \`plugin_options.llm.queue_size\` is \`queue_size\` below \`llm\` below \`plugin_options\`. A key without a value is unset.
- Environment: an empty variable is unset.
- Flags: \`--port 8080\` or \`--port=8080\`. Boolean flags need no value; \`--no-reconnect\` sets false.
- Durations: \`5m\`, \`1m30s\`, \`250ms\`, \`0\`, and \`-1\` for no limit where that is allowed. Options in seconds also accept plain numbers.
- Sizes: \`1048576\`, \`1MiB\`, \`1MB\`. Lists: a YAML list, or comma-separated text.
- \`--help\` shows the options, \`--version\` the build.`;

/**
 * doc/limits.md: the constants that carry a doc comment in the source text of src/protocol/limits.ts and in that of the
 * other rooms, and the options that set a limit.
 */
export function limitsPage(wire: string, source: string, programs: readonly Program[]): string {
  const chapters = programs.map(program => {
    const rows = catalogOf(program).options.flatMap(option =>
      option.range === undefined
        ? []
        : [
            [
              code(option.env),
              defaultCell(option),
              bound(option, option.range.min),
              bound(option, option.range.max),
              cell(option.help),
            ],
          ],
    );
    return `## ${program.name}\n\n${table(["Option", "Default", "Minimum", "Maximum", "Purpose"], rows)}\n`;
  });
  const head = ["Name", "Value", "Meaning"];
  const protocol = `## Wire protocol\n\nConstants of both ends; they cannot be configured.\n\n${table(head, constants(wire))}\n`;
  const processes = `## Processes\n\nConstants; they cannot be configured.\n\n${table(head, constants(source))}\n`;
  return `${NOTICE}\n\n# Limits\n\n${[protocol, processes, ...chapters].join("\n")}`;
}

/** Rows of the numeric constants with a doc comment in a source text. */
function constants(source: string): string[][] {
  const found = source.matchAll(
    /\/\*\*((?:(?!\*\/)[\s\S])*)\*\/\n(?:export )?const ([A-Z][A-Z\d_]+)(?::\s*\w+)? = ([\d_ *]+);/g,
  );
  return [...found].map(([, doc = "", name = "", value = ""]) => [
    code(name),
    product(value),
    cell(doc.replace(/\s*\n\s*\*?\s*/g, " ").trim()),
  ]);
}

const grouped = (value: number) => value.toLocaleString("en-US", { useGrouping: value >= 10_000 });

/** `64 * 1024` as `65,536`. */
function product(expression: string): string {
  const value = expression.split("*").reduce((total, factor) => total * Number(factor.replaceAll("_", "").trim()), 1);
  return grouped(value);
}

function bound({ kind }: Option<unknown>, value: number): string {
  return kind === "duration" || kind === "seconds" ? formatDuration(value) : grouped(value);
}
