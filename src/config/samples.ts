// Sample files, in which every option stands commented out with its default.
import { wrap } from "./help.ts";
import type { Option } from "./option.ts";
import { catalogOf, type Program } from "./program.ts";

/** Explanations begin with ##, so that removing one # from every other line gives a file that loads. */
const explain = (option: Option<unknown>) => {
  const note = option.defaultNote === undefined ? "" : ` Default: ${option.defaultNote}.`;
  return wrap(`${option.help}${note}`, "## ");
};

const headOf = (program: Program, how: string) =>
  `## ${program.name} — ${program.summary}\n## ${how}\n## Made from the declarations in src/ by \`npm run docs\`; change it there.\n`;

interface Branch {
  readonly options: [string, Option<unknown>][];
  readonly branches: Map<string, Branch>;
}

const branch = (): Branch => ({ options: [], branches: new Map() });

function treeOf(program: Program): Branch {
  const root = branch();
  for (const option of catalogOf(program).options) {
    const path = (option.yaml[0] ?? "").split(".");
    let at = root;
    for (const name of path.slice(0, -1)) {
      const next = at.branches.get(name) ?? branch();
      at.branches.set(name, next);
      at = next;
    }
    at.options.push([path.at(-1) ?? "", option]);
  }
  return root;
}

/** A default as YAML, quoted where YAML would read something else. */
function yamlValue({ defaultRaw }: Option<unknown>): string {
  if (defaultRaw === undefined) return "";
  if (typeof defaultRaw !== "string") return ` [${defaultRaw.map(item => JSON.stringify(item)).join(", ")}]`;
  return ` ${/^[\w./-][\w./:-]*$/.test(defaultRaw) ? defaultRaw : JSON.stringify(defaultRaw)}`;
}

function yamlLines(at: Branch, indent: string): string[] {
  const options = at.options.map(([name, option]) => `${explain(option)}\n#${indent}${name}:${yamlValue(option)}\n`);
  const branches = [...at.branches].flatMap(([name, below]) => [
    `#${indent}${name}:\n`,
    ...yamlLines(below, `${indent}  `),
  ]);
  return [...options, ...branches];
}

/** The sample configuration file of a program. */
export function sampleYaml(program: Program): string {
  const how = "To set an option, remove the single # before it, and before the lines that it stands under.";
  return [headOf(program, how), ...yamlLines(treeOf(program), "")].join("\n");
}

/** The sample environment file of a program. */
export function sampleEnv(program: Program): string {
  const lines = catalogOf(program).options.map(option => {
    const { defaultRaw = "" } = option;
    return `${explain(option)}\n#${option.env}=${typeof defaultRaw === "string" ? defaultRaw : defaultRaw.join(",")}\n`;
  });
  return [headOf(program, "To set an option, remove the single # before it."), ...lines].join("\n");
}
