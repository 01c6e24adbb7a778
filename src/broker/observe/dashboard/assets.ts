// The dashboard's files, all of them in the binary.

import { Asset, PAGE_POLICY } from "../../http/asset.ts";
import { pageScript } from "./bundle.ts" with { type: "macro" };
import icon from "./page/icon.svg" with { type: "text" };
import page from "./page/index.html" with { type: "text" };
import cards from "./page/style/cards.css" with { type: "text" };
import cells from "./page/style/cells.css" with { type: "text" };
import charts from "./page/style/charts.css" with { type: "text" };
import controls from "./page/style/controls.css" with { type: "text" };
import layout from "./page/style/layout.css" with { type: "text" };
import parts from "./page/style/parts.css" with { type: "text" };
import roles from "./page/style/roles.css" with { type: "text" };
import tables from "./page/style/tables.css" with { type: "text" };

const HEADERS = {
  // No text becomes HTML or code but the views of plugins, of which the page takes plain elements (page/views.ts).
  "content-security-policy": [...PAGE_POLICY, "require-trusted-types-for 'script'", "trusted-types nfrx-view"].join(
    "; ",
  ),
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
};

interface File {
  /** Where it is served. The page finds the others, and the API, relative to its own address. */
  path: string;
  /** Short description. */
  summary: string;
  description?: string;
  type: string;
  body: string;
}

/** The files of the dashboard. */
export const DASHBOARD_FILES: readonly File[] = [
  {
    path: "/state",
    summary: "Open the dashboard",
    description: "The page asks for the API key if one is required.",
    type: "text/html; charset=utf-8",
    // Bun's types know .html only as a bundle; imported as text it is a string.
    body: String(page),
  },
  {
    path: "/state/page.js",
    summary: "Get the dashboard's script",
    type: "text/javascript; charset=utf-8",
    body: pageScript(),
  },
  {
    path: "/state/style.css",
    summary: "Get the dashboard's style",
    type: "text/css; charset=utf-8",
    body: [roles, layout, parts, charts, controls, tables, cells, cards].join("\n"),
  },
  { path: "/state/icon.svg", summary: "Get the dashboard's icon", type: "image/svg+xml", body: icon },
];

const ASSETS = new Map(
  DASHBOARD_FILES.map(({ path, type, body }) => {
    const asset = new Asset(type, async () => new TextEncoder().encode(body), HEADERS);
    return [path, asset] as const;
  }),
);

/** The file at one of these paths, or 304 when the browser has it. */
export async function dashboardFile(request: Request): Promise<Response> {
  const asset = ASSETS.get(new URL(request.url).pathname);
  // The router lets a slash at the end pass, from where the page would look in the wrong place.
  return asset?.answer(request) ?? new Response(null, { status: 308, headers: { location: "../state" } });
}
