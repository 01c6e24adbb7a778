// The document of the API, out of its routes.
import { type ErrorCode, NfrxError } from "../../../lib/errors.ts";
import { VERSION } from "../../../lib/version.ts";
import type { Content, Operation, Parameter, Reply, Route } from "../../../modules/route.ts";
import { holdersOf, MCP, PUBLIC } from "../access/authenticator.ts";
import { failureContent, failuresOf, MEANING } from "./failures.ts";
import { Schemas } from "./schema.ts";

/** A part of the API: its routes carry its name as their tag. */
export interface Tag {
  readonly name: string;
  readonly description: string;
}

/** The routes that have an operation as an OpenAPI 3.1 document. */
export function openapiDocument(routes: readonly Route[], tags: readonly Tag[]): object {
  const schemas = new Schemas();
  const paths: Record<string, Record<string, object>> = {};
  for (const route of routes) {
    if (route.operation === undefined) continue;
    const path = documentedPath(route.path);
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationOf(route, route.operation, schemas) };
  }
  const used = new Set(routes.map(({ tag }) => tag));
  const known = tags.filter(({ name }) => used.delete(name));
  return {
    openapi: "3.1.0",
    info: {
      title: "nfrx",
      version: VERSION,
      summary: "One public address for AI services on private machines.",
      description: INTRODUCTION,
      license: { name: "MIT", identifier: "MIT" },
    },
    // Relative to the document, so that it holds below a path prefix, too.
    servers: [{ url: "../.." }],
    tags: [...known, ...[...used].map(name => ({ name }))],
    paths,
    components: { securitySchemes: SCHEMES, schemas: schemas.named },
  };
}

/** A route's path as OpenAPI writes it. */
export function documentedPath(path: string): string {
  return path.replace(/[:*](\w+)/g, "{$1}");
}

function operationOf(route: Route, operation: Operation, schemas: Schemas): object {
  const { summary, description, request } = operation;
  const security = securityOf(route);
  return {
    tags: [route.tag],
    operationId: `${route.method.toLowerCase()}${route.path.replace(/\/$/, "/index").replace(/\W+/g, "_")}`,
    summary,
    ...(description !== undefined && { description }),
    security,
    ...parametersOf(route.path, operation.parameters ?? [], schemas),
    ...(request && {
      requestBody: { required: request.optional !== true, content: contentOf(request.content, schemas) },
    }),
    responses: responsesOf(route, operation, schemas),
  };
}

function parametersOf(path: string, named: readonly Parameter[], schemas: Schemas): { parameters?: object[] } {
  const segments = [...path.matchAll(/[:*](\w+)/g)].map(([, name = ""]) => name);
  const known = new Set(named.map(({ name }) => name));
  const all: Parameter[] = [
    ...segments
      .filter(name => !known.has(name))
      .map((name): Parameter => ({ name, in: "path", description: `The ${name}.` })),
    ...named,
  ];
  if (all.length === 0) return {};
  const parameters = all.map(({ name, in: place, description, required, schema, example }) => ({
    name,
    in: place,
    description,
    required: place === "path" || required === true,
    schema: schema === undefined ? { type: "string" } : schemas.add(schema),
    ...(example !== undefined && { example }),
  }));
  return { parameters };
}

function responsesOf(route: Route, operation: Operation, schemas: Schemas): Record<string, object> {
  const responses: Record<string, object> = {};
  for (const [status, reply] of Object.entries(operation.responses)) responses[status] = replyOf(reply, schemas);
  const failures = failuresOf(route).flatMap(code => statusesOf(code).map(status => ({ code, status })));
  for (const [status, of] of Map.groupBy(failures, ({ status }) => status)) {
    const alike = of.map(({ code }) => code);
    // A route's own description of a status takes precedence.
    if (responses[status] !== undefined) continue;
    const contents = alike.map(code => [code, failureContent(route.errors, code, status === UNAVAILABLE)] as const);
    const [first] = contents;
    if (first === undefined) continue;
    const [, { type, schema }] = first;
    responses[status] = {
      description: alike.map(code => `\`${code}\`: ${MEANING[code]}.`).join("\n\n"),
      ...(RETRIED.has(status) && { headers: { "Retry-After": header("Seconds to wait before retrying.") } }),
      content: {
        [type]: {
          ...(schema && { schema: schemas.add(schema) }),
          examples: Object.fromEntries(contents.map(([code, { example }]) => [code, { value: example }])),
        },
      },
    };
  }
  if (operation.otherwise !== undefined) responses["default"] = replyOf(operation.otherwise, schemas);
  return responses;
}

const UNAVAILABLE = 503;

/** The statuses that an error of this code may have. */
function statusesOf(code: ErrorCode): number[] {
  const { status } = new NfrxError(code, "");
  return code === "no_worker" ? [status, UNAVAILABLE] : [status];
}

/** Statuses with Retry-After. */
const RETRIED = new Set([429, 503]);

function replyOf({ description, headers, content }: Reply, schemas: Schemas): object {
  return {
    description,
    ...(headers && {
      headers: Object.fromEntries(Object.entries(headers).map(([name, says]) => [name, header(says)])),
    }),
    ...(content && { content: contentOf(content, schemas) }),
  };
}

const header = (description: string): object => ({ description, schema: { type: "string" } });

function contentOf(contents: readonly Content[], schemas: Schemas): Record<string, object> {
  return Object.fromEntries(
    contents.map(({ type, schema, example }) => [
      type,
      { ...(schema && { schema: schemas.add(schema) }), ...(example !== undefined && { example }) },
    ]),
  );
}

const bearer = (description: string): object => ({ type: "http", scheme: "bearer", description });

const SCHEMES: Readonly<Record<string, object>> = {
  API_KEY: bearer("API key of callers, as `Authorization: Bearer …`."),
  CLIENT_KEY: bearer("Key of agents and job workers, as `Authorization: Bearer …`."),
  ADMIN_KEY: bearer(
    "Key of operators, as `Authorization: Bearer …`. If it is not set at the broker, these routes return 403.",
  ),
  "X-Api-Key": {
    type: "apiKey",
    in: "header",
    name: "X-Api-Key",
    description: "`API_KEY` or `CLIENT_KEY`, for clients that cannot send a bearer token.",
  },
  "Api-Key": {
    type: "apiKey",
    in: "header",
    name: "Api-Key",
    description: "`API_KEY` or `CLIENT_KEY`, as Azure clients send it.",
  },
  relay_token: bearer("Credentials that the relay or its provider requires."),
};

type Requirement = Readonly<Record<string, readonly string[]>>;

/** A route's scopes as a choice of schemes. Where neither key nor role is set for callers, or agents, none is needed, whatever it says here. */
function securityOf({ scopes }: Route): readonly Requirement[] {
  if (scopes.includes(PUBLIC)) return [];
  if (scopes.includes(MCP)) return [{ relay_token: [] }, {}];
  const holders = holdersOf(scopes);
  const keys = holders.map(kind => ({ [KEY_OF[kind]]: [] }));
  return holders.every(kind => kind === "admin") ? keys : [...keys, { "X-Api-Key": [] }, { "Api-Key": [] }];
}

/** The option that sets a key. */
export const KEY_OF = { api: "API_KEY", client: "CLIENT_KEY", admin: "ADMIN_KEY" } as const;

/** The introduction, in Markdown. */
export const INTRODUCTION = `AI services run on private machines. Their agents connect to this broker, and callers send requests to it.

**Keys** are sent as \`Authorization: Bearer …\`, \`X-Api-Key\` or \`Api-Key\`; if a request has several, one valid key is enough. Callers send \`API_KEY\`, agents and job workers \`CLIENT_KEY\`, operators \`ADMIN_KEY\`. A role in \`X-User-Roles\`
from a trusted proxy is equivalent to a key. After ten wrong keys within a minute, an address gets 429 for each further one;
a valid key is always accepted. A broker without keys listens only on its own machine.

**Errors** have the format that the clients of each API expect. The code (\`code\`, or \`error\`) is for programs, the message for people.

**Request IDs**: a request can carry an \`X-Request-Id\`; otherwise the broker generates one. Responses of workers and the logs contain it.`;
