// The API's document, and the page that shows it, from the broker alone.

import style from "swagger-ui-dist/swagger-ui.css" with { type: "file" };
import bundle from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "file" };
import { z } from "zod";
import { NfrxError } from "../../../lib/errors.ts";
import type { Operation, Route } from "../../../modules/route.ts";
import { Asset, PAGE_POLICY } from "../asset.ts";
import { openapiDocument, type Tag } from "./openapi.ts";
import index from "./page/index.html" with { type: "text" };
import own from "./page/page.css" with { type: "file" };
import start from "./page/start.js" with { type: "file" };

/** Where the API is described; `routes` are all there are, these included. */
export function documentationRoutes(routes: () => readonly Route[], tags: readonly Tag[]): Route[] {
  const document = new Asset("application/json", async () =>
    new TextEncoder().encode(JSON.stringify(openapiDocument(routes(), tags))),
  );
  const files = new Map([
    ["swagger-ui-bundle.js", file("text/javascript; charset=utf-8", bundle)],
    ["swagger-ui.css", file("text/css; charset=utf-8", style)],
    ["page.css", file("text/css; charset=utf-8", own)],
    ["start.js", file("text/javascript; charset=utf-8", start)],
  ]);
  const page = new Asset("text/html; charset=utf-8", () => pageOf(files), PAGE_HEADERS);
  const route = (path: string, operation: Operation, answer: Route["answer"]): Route => ({
    method: "GET",
    path,
    tag: "documentation",
    scopes: ["public"],
    errors: "openai",
    operation,
    answer,
  });
  return [
    // Without the slash the page would look for its files in the wrong place.
    route("/api/client", BARE_PAGE, () => redirect("client/")),
    route("/api/client/", PAGE, ({ request }) => page.answer(request)),
    route("/api/client/openapi.json", DOCUMENT, ({ request }) => document.answer(request)),
    route("/api/client/:file", FILE, ({ request, params }) => {
      const asset = files.get(params["file"] ?? "");
      if (asset === undefined) throw new NfrxError("not_found", "file not found");
      return asset.answer(request);
    }),
  ];
}

const redirect = (location: string): Response => new Response(null, { status: 308, headers: { location } });

/** A file that is in the binary. */
function file(type: string, path: string): Asset {
  return new Asset(type, () => Bun.file(path).bytes());
}

/** The page; its file names contain their versions. */
async function pageOf(files: ReadonlyMap<string, Asset>): Promise<Uint8Array<ArrayBuffer>> {
  // Bun's types know .html only as a bundle; imported as text it is a string.
  let text = String(index);
  for (const [name, asset] of files) text = text.replace(`"${name}"`, `"${name}?v=${await asset.version()}"`);
  return new TextEncoder().encode(text);
}

const PAGE_HEADERS = {
  "content-security-policy": PAGE_POLICY.join("; "),
  "cross-origin-opener-policy": "same-origin",
  "referrer-policy": "no-referrer",
};

const KNOWN = { description: "Not modified." };

const PAGE: Operation = {
  summary: "Browse the API",
  description: "Swagger UI with this document. It loads nothing from other hosts.",
  responses: {
    200: { description: "The page.", content: [{ type: "text/html", schema: z.string() }] },
    304: KNOWN,
  },
};
const BARE_PAGE: Operation = {
  summary: "Redirect to the API page",
  responses: {
    308: { description: "Redirect to the address with a trailing slash.", headers: { Location: "`client/`" } },
  },
};
const DOCUMENT: Operation = {
  summary: "Get the OpenAPI document",
  responses: {
    200: {
      description: "OpenAPI 3.1 document of the modules that this broker serves.",
      content: [{ type: "application/json", schema: z.looseObject({ openapi: z.string() }) }],
    },
    304: KNOWN,
  },
};
const FILE: Operation = {
  summary: "Get a file of the API page",
  parameters: [{ name: "file", in: "path", description: "File name.", example: "swagger-ui.css" }],
  responses: {
    200: {
      description: "The file.",
      content: [
        { type: "text/javascript", schema: z.string() },
        { type: "text/css", schema: z.string() },
      ],
    },
    304: KNOWN,
  },
  failures: ["not_found"],
};
