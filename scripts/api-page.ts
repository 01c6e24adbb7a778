// doc/http-api.md, out of the routes as a broker declares them.
import { STATUS_CODES } from "node:http";
import { holdersOf, MCP, PUBLIC } from "../src/broker/http/access/authenticator.ts";
import { failureContent, failuresOf, MEANING } from "../src/broker/http/document/failures.ts";
import { documentedPath, INTRODUCTION, KEY_OF, type Tag } from "../src/broker/http/document/openapi.ts";
import { type ErrorCode, NfrxError } from "../src/lib/errors.ts";
import type { Route } from "../src/modules/route.ts";

function callersOf({ scopes }: Route): string {
  if (scopes.includes(PUBLIC)) return "none";
  if (scopes.includes(MCP)) return "as the relay requires";
  return holdersOf(scopes)
    .map(kind => `\`${KEY_OF[kind]}\``)
    .join(" or ");
}

const PINNED = "/id/:worker";

/** The page: every route by its part of the API, then every error. */
export function apiPage(routes: readonly Route[], tags: readonly Tag[]): string {
  const documented = routes.filter(route => route.operation !== undefined);
  return [
    "# HTTP API",
    "",
    "<!-- Generated from the declared routes by `npm run docs`; do not edit. -->",
    "",
    INTRODUCTION,
    "",
    "A running broker serves this description with schemas and examples: as a page at `/api/client/`, as OpenAPI 3.1 at",
    "`/api/client/openapi.json`.",
    ...tags.flatMap(tag => section(tag, documented)),
    ...errorSection(documented),
    "",
  ].join("\n");
}

function section({ name, description }: Tag, routes: readonly Route[]): string[] {
  const mine = routes.filter(route => route.tag === name);
  if (mine.length === 0) return [];
  const paths = new Set(mine.map(({ path }) => path));
  const twin = ({ path }: Route): boolean => path.includes(PINNED) && paths.has(path.replace(PINNED, ""));
  const rows = mine
    .filter(route => !twin(route))
    .map(
      route =>
        `| \`${route.method} ${documentedPath(route.path)}\` | ${callersOf(route)} | ${route.operation?.summary ?? ""} |`,
    );
  const pinned = mine.some(twin)
    ? ["", `All of them except \`connect\` are also available for a single worker, below \`/api/${name}/id/{worker}\`.`]
    : [];
  return [
    "",
    `## ${name}`,
    "",
    description,
    "",
    "| Route | Key | Purpose |",
    "| --- | --- | --- |",
    ...rows,
    ...pinned,
  ];
}

function errorSection(routes: readonly Route[]): string[] {
  const codes = new Map<ErrorCode, Set<string>>();
  const shapes = new Map<Route["errors"], Set<string>>();
  for (const route of routes) {
    for (const code of failuresOf(route)) {
      codes.set(code, (codes.get(code) ?? new Set()).add(route.tag));
      shapes.set(route.errors, (shapes.get(route.errors) ?? new Set()).add(route.tag));
    }
  }
  const statusOf = (code: ErrorCode): number => new NfrxError(code, "").status;
  const rows = [...codes]
    .sort(([a], [b]) => statusOf(a) - statusOf(b) || a.localeCompare(b))
    .map(([code, tags]) => {
      const status = statusOf(code);
      return `| ${status} ${STATUS_CODES[status] ?? ""} | \`${code}\` | ${MEANING[code]} | ${list(tags)} |`;
    });
  const examples = [...shapes].map(([shape, tags]) => {
    const { example } = failureContent(shape, "unauthorized");
    return `| ${shape} | ${list(tags)} | \`${typeof example === "string" ? example : JSON.stringify(example)}\` |`;
  });
  return [
    "",
    "## Errors",
    "",
    "The same error in every format. A module with several APIs uses the format of the API to which the route belongs.",
    "",
    "| Format | Modules | Body |",
    "| --- | --- | --- |",
    ...examples,
    "",
    "Error codes. With 429 or 503, `Retry-After` may state when to retry.",
    "",
    "| Status | Code | Meaning | Modules |",
    "| --- | --- | --- | --- |",
    ...rows,
  ];
}

const list = (words: ReadonlySet<string>): string => [...words].join(", ");
