// The dashboard's files, all of them in the binary.
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

/**
 * What the page may do: run and show what comes from this broker, ask it, and nothing else. No text becomes HTML or code but
 * the views of plugins, of which the page takes plain elements (page/views.ts).
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types nfrx-view",
].join("; ");

interface File {
  /** Where it is served. The page finds the others, and the API, relative to its own address. */
  path: string;
  /** What it is, in a few words. */
  summary: string;
  description?: string;
  type: string;
  body: string;
}

/** The files of the dashboard. */
export const DASHBOARD_FILES: readonly File[] = [
  {
    path: "/state",
    summary: "See the state in a browser",
    description: "The page asks for the key of the API where one is needed.",
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

const ANSWERS = new Map(
  DASHBOARD_FILES.map(({ path, type, body }) => {
    const etag = `"${Bun.SHA256.hash(body, "hex").slice(0, 32)}"`;
    const headers = {
      "content-type": type,
      // Kept, but asked about before each use: a new broker brings new ones.
      "cache-control": "no-cache",
      etag,
      "content-security-policy": POLICY,
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-resource-policy": "same-origin",
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
    };
    return [path, { body, etag, headers }] as const;
  }),
);

/** The file at one of these paths, or 304 when the browser has it. */
export function dashboardFile(request: Request): Response {
  const found = ANSWERS.get(new URL(request.url).pathname);
  // The router lets a slash at the end pass, from where the page would look in the wrong place.
  if (found === undefined) return new Response(null, { status: 308, headers: { location: "../state" } });
  const known = (request.headers.get("if-none-match") ?? "").split(",").map(tag => tag.trim().replace(/^W\//, ""));
  const { body, etag, headers } = found;
  if (known.includes(etag) || known.includes("*")) return new Response(null, { status: 304, headers });
  return new Response(body, { headers });
}
