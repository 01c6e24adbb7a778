// The option descriptors, from the declarations; they contain no values.
import type { Option, Raw } from "../../config/option.ts";
import type { Groups } from "../../config/program.ts";
import type { Served } from "../../modules/module.ts";

/** One option as the API shows it. */
interface OptionDescriptor {
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

/** The options of a plugin. */
export interface OptionsDescriptor {
  id: string;
  title: string;
  options: OptionDescriptor[];
}

/** The options of the served plugins; `server` has the broker's own. */
export function descriptorsOf(
  groups: Groups,
  plugins: readonly string[],
  served: readonly string[],
): Record<string, OptionsDescriptor> {
  const server: OptionsDescriptor = { id: "server", title: "Broker", options: [] };
  const descriptors: Record<string, OptionsDescriptor> = { server };
  for (const [id, { title, shape }] of Object.entries(groups)) {
    const options = Object.values(shape).map(describe);
    if (!plugins.includes(id)) server.options.push(...options);
    else if (served.includes(id)) descriptors[id] = { id, title, options };
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

/** The description of a plugin. */
export interface PluginDescriptor {
  id: string;
  /** `worker` serves requests from a pool; `tunnel` leads to one provider; `routes` has no agents. */
  type: "worker" | "tunnel" | "routes";
  title: string;
  endpoints: { method: string; path: string; job_type?: string }[];
  /** Where its agents connect. */
  connect: string;
  state: string;
  view: string;
  options: OptionDescriptor[];
}

/** Describes a module. */
export function pluginDescriptor(
  id: string,
  { worker, relays, routes = [] }: Served,
  settings: OptionsDescriptor | undefined,
): PluginDescriptor {
  const base = `/api/${id}`;
  const below = worker?.reach === "id" ? `${base}/id/:worker` : base;
  const endpoints = [
    ...(relays === undefined
      ? []
      : RELAY_METHODS.map(method => ({ method, path: `${base}/id/:id`, job_type: "mcp.call" }))),
    ...(worker?.endpoints ?? []).map(({ method, path, jobType }) => ({
      method,
      path: below + path,
      job_type: jobType,
    })),
    ...routes.map(({ method, path }) => ({ method, path })),
  ];
  return {
    id,
    type: relays !== undefined || worker?.reach === "id" ? "tunnel" : worker === undefined ? "routes" : "worker",
    title: settings?.title ?? id,
    endpoints,
    connect: `${base}/connect`,
    state: "/api/state",
    view: `/api/state/view/${id}.html`,
    options: settings?.options ?? [],
  };
}

const RELAY_METHODS = ["POST", "GET", "DELETE"];
