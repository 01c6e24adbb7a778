// Sample files with every option and its default as comments.

import type { Kind } from "./declaration.ts";
import { wrap } from "./help.ts";
import type { Option, Raw } from "./option.ts";
import { catalogOf, type Program } from "./program.ts";

/** Explanations begin with ##, so that removing one # from each of the other lines produces a valid file. */
const explain = (option: Option<unknown>) => {
  const note = option.defaultNote === undefined ? "" : ` Default: ${option.defaultNote}.`;
  return wrap(`${option.help}${note}`, "## ");
};

const headOf = (program: Program, how: string) =>
  `## ${program.name} — ${program.summary}\n## ${how}\n## Generated from the declarations in src/ by \`npm run docs\`; do not edit.\n`;

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

/** A value as YAML, quoted if YAML might read it differently, such as text that looks like a number. */
function yamlValue(raw: Raw | undefined, kind: Kind): string {
  if (raw === undefined) return "";
  if (typeof raw !== "string") return ` [${raw.map(item => JSON.stringify(item)).join(", ")}]`;
  if (kind === "secret") return ` ${JSON.stringify(raw)}`;
  return ` ${/^[\w./-][\w./:-]*$/.test(raw) ? raw : JSON.stringify(raw)}`;
}

function yamlLines(at: Branch, set: Settings, indent: string): string[] {
  const options = at.options.map(([name, option]) => {
    const given = set.get(option);
    const line = `${indent}${name}:${yamlValue(given ?? option.defaultRaw, option.kind)}`;
    return `${explain(option)}\n${given === undefined ? "#" : ""}${line}\n`;
  });
  const branches = [...at.branches].flatMap(([name, below]) => [
    `${holds(below, set) ? "" : "#"}${indent}${name}:\n`,
    ...yamlLines(below, set, `${indent}  `),
  ]);
  return [...options, ...branches];
}

function holds(at: Branch, set: Settings): boolean {
  return at.options.some(([, option]) => set.has(option)) || [...at.branches.values()].some(below => holds(below, set));
}

/** The values of options. */
export type Settings = ReadonlyMap<Option<unknown>, Raw>;

const TO_SET =
  "To set an option, uncomment it by removing the single #, and uncomment the keys above it in the hierarchy.";

/** The sample configuration file of a program. */
export function sampleYaml(program: Program): string {
  return yamlFile(headOf(program, TO_SET), program, new Map());
}

/** A configuration file that sets these options and contains the others as comments. */
export function filledYaml(program: Program, set: Settings): string {
  return yamlFile(`## ${program.name} — ${program.summary}\n## ${TO_SET}\n`, program, set);
}

function yamlFile(head: string, program: Program, set: Settings): string {
  return [head, ...yamlLines(treeOf(program), set, "")].join("\n");
}

/** The sample environment file of a program. */
export function sampleEnv(program: Program): string {
  const lines = catalogOf(program).options.map(option => {
    const { defaultRaw = "" } = option;
    return `${explain(option)}\n#${option.env}=${typeof defaultRaw === "string" ? defaultRaw : defaultRaw.join(",")}\n`;
  });
  return [headOf(program, "To set an option, uncomment it by removing the single #."), ...lines].join("\n");
}
