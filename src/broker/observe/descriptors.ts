// What can be set, out of the declarations of the options. Values are not seen here at all.
import type { Option, Raw } from "../../config/option.ts";
import type { Groups } from "../../config/program.ts";

/** One option as the API shows it. */
export interface OptionDescriptor {
  env: string;
  yaml: string;
  flag: string;
  kind: string;
  /** As one would write it; absent when it is unset or depends on the machine. */
  default?: Raw;
  /** Words for a default that a value does not explain. */
  default_note?: string;
  help: string;
  secret: boolean;
}

export interface PluginDescriptor {
  id: string;
  title: string;
  options: OptionDescriptor[];
}

/** The options by plugin; `server` has those that belong to no plugin. */
export function descriptorsOf(groups: Groups, plugins: readonly string[]): Record<string, PluginDescriptor> {
  const descriptors: Record<string, PluginDescriptor> = {
    server: { id: "server", title: "Broker", options: [] },
  };
  for (const [id, { title, shape }] of Object.entries(groups)) {
    const options = Object.values(shape).map(describe);
    if (plugins.includes(id)) descriptors[id] = { id, title, options };
    else descriptors["server"]?.options.push(...options);
  }
  return descriptors;
}

function describe(option: Option<unknown>): OptionDescriptor {
  const { env, yaml, flag, kind, defaultRaw, defaultNote, help, secret } = option;
  return {
    env,
    yaml: yaml[0] ?? "",
    flag: `--${flag}`,
    kind,
    ...(defaultRaw !== undefined && { default: defaultRaw }),
    ...(defaultNote !== undefined && { default_note: defaultNote }),
    help,
    secret,
  };
}
