// Routes about plugins: views, descriptions, options.
import { z } from "zod";
import type { Groups } from "../../config/program.ts";
import { NfrxError } from "../../lib/errors.ts";
import { Html } from "../../lib/html.ts";
import type { Operation, Route } from "../../modules/route.ts";
import { descriptorsOf, pluginDescriptor } from "./option-descriptors.ts";
import { type StateSources, shownOf } from "./state.ts";

/** Where the options of a program are declared, by plugin. */
export interface DeclaredOptions {
  groups: Groups;
  /** The groups that belong to a plugin of the same name. */
  plugins?: readonly string[];
}

export interface PluginSources {
  sources: StateSources;
  declared: DeclaredOptions | undefined;
}

export function pluginRoutes({ sources, declared }: PluginSources): Route[] {
  const { modules } = sources;
  const ids = modules.map(({ configured }) => configured.id);
  const descriptors = descriptorsOf(declared?.groups ?? {}, declared?.plugins ?? [], ids);
  const get = (path: string, operation: Operation, answer: Route["answer"]): Route => ({
    method: "GET",
    path,
    tag: "state",
    scopes: ["state"],
    errors: "openai",
    operation,
    answer,
  });
  return [
    get("/api/state/view/:file", VIEW, ({ params }) => {
      const id = /^(.+)\.html$/.exec(params["file"] ?? "")?.[1];
      const plugin = modules.find(({ configured }) => configured.id === id);
      if (plugin === undefined && id !== "server" && id !== "jobs") throw new NfrxError("not_found", "view not found");
      const view = plugin?.served.view?.(shownOf(plugin.configured.id, plugin.served, sources));
      if (view !== undefined && !(view instanceof Html))
        throw new Error(`the view of ${id} was not created with the html template`);
      return view === undefined
        ? new Response(null, { status: 204 })
        : new Response(view.toString(), { headers: VIEW_HEADERS });
    }),
    get("/api/state/descriptors", DESCRIPTORS, () => Response.json(descriptors)),
    ...modules.map(({ configured: { id }, served }) => {
      const descriptor = pluginDescriptor(id, served, descriptors[id]);
      const operation = { ...PLUGIN, summary: `Describe the plugin ${id}` };
      return get(`/api/${id}/`, operation, () => Response.json(descriptor));
    }),
  ];
}

/** A view is put into a page by the dashboard; opened by itself it can do nothing. */
const VIEW_HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
};

const VIEW: Operation = {
  summary: "Get a plugin's view",
  description: "The plugin's view of its state: an HTML fragment without scripts.",
  parameters: [{ name: "file", in: "path", description: "Plugin ID followed by `.html`.", example: "llm.html" }],
  responses: {
    200: { description: "The view.", content: [{ type: "text/html", schema: z.string() }] },
    204: { description: "The plugin has no view." },
  },
  failures: ["not_found"],
};

const DESCRIPTORS: Operation = {
  summary: "List the options",
  description: "The declared options by plugin; `server` is the broker itself. Values are not included.",
  responses: { 200: { description: "The options by plugin.", content: [{ type: "application/json" }] } },
};

const PLUGIN: Operation = {
  summary: "Describe a plugin",
  responses: {
    200: { description: "The plugin's routes and options.", content: [{ type: "application/json" }] },
  },
};
