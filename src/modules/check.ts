// Validates the values that a module returns: a plugin file may be plain JavaScript or unchecked TypeScript.
import { z } from "zod";
import { LONGEST_MS } from "../config/duration.ts";
import { type ErrorCode, isErrorCode } from "../lib/errors.ts";
import { mayForward } from "../lib/request-headers.ts";
import type { Backend, ProbeResult, Served } from "./module.ts";

const callable = z.custom<(...given: never[]) => unknown>(value => typeof value === "function", "expected a function");
const object = z.custom<object>(value => typeof value === "object" && value !== null, "expected an object");
const amount = z.custom<number>(
  value => typeof value === "number" && value >= 0,
  "expected a number; create the pool with `poolSettings`",
);
const errorCode = z.custom<ErrorCode>(
  value => typeof value === "string" && isErrorCode(value),
  "expected an error code of NfrxError",
);

const method = z.enum(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]);
const shapes = ["openai", "anthropic", "ollama", "plain", "word", "json-rpc"] as const;
const errors = z.enum(shapes);
/** From the root or below a module; a star may stand at its end alone. */
const path = (star: string, written: string) =>
  z
    .string()
    .startsWith("/", "a path must begin with /")
    .regex(/^[^\s?#]*$/, "a path must not contain spaces, ? or #")
    .regex(new RegExp(`^[^*]*(?:/${star})?$`), `only the last segment can have a star, as in ${written}`);
const address = z.string().regex(/^https?:\/\/\S*[^\s/]$/, "expected a URL without a trailing slash");

const reply = z.strictObject({
  description: z.string(),
  headers: z.record(z.string(), z.string()).optional(),
  content: z.array(object).optional(),
});

const operation = z.strictObject({
  summary: z.string(),
  description: z.string().optional(),
  parameters: z
    .array(
      z.strictObject({
        name: z.string(),
        in: z.enum(["path", "query", "header"]),
        description: z.string(),
        required: z.boolean().optional(),
        schema: object.optional(),
        example: z.union([z.string(), z.number()]).optional(),
      }),
    )
    .optional(),
  request: z.strictObject({ optional: z.boolean().optional(), content: z.array(object) }).optional(),
  responses: z.record(z.string().regex(/^[1-5]\d\d$/, "expected an HTTP status"), reply),
  otherwise: reply.optional(),
  failures: z.array(errorCode).optional(),
});

const route = z.strictObject({
  method,
  path: path("\\*\\w+", "/*name"),
  tag: z.string().min(1),
  auth: z.enum(["none", "api", "client", "api-or-client", "admin"]),
  orSlash: z.literal(true).optional(),
  errors: z.enum([...shapes, "text"]),
  operation: operation.optional(),
  answer: callable,
});

const keptName = z.strictObject({
  name: z.string(),
  what: z.string(),
  lookup: path("\\*", "/*").optional(),
  missing: errorCode.optional(),
});

const headerName = z.string().regex(/^[a-z\d!#$%&'+.^_`|~-]+$/, "expected a header name in lower case");

const headerPattern = z
  .string()
  .regex(/^[a-z\d!#$%&'+.^_`|~-]+\*?$/, "expected a header name in lower case, optionally with a trailing star")
  .refine(name => mayForward(name.replace(/\*$/, "")), "this header is never forwarded");

const endpoint = z.strictObject({
  method,
  path: path("\\*", "/*"),
  backendPath: path("\\*", "/*"),
  jobType: z.string().min(1),
  label: z.enum(["json-model", "form-model", "none"]),
  events: z.boolean(),
  stream: z
    .strictObject({
      closed: z.boolean().optional(),
      errorEvent: z.literal("response").optional(),
      toEvents: callable.optional(),
    })
    .optional(),
  repeatable: z.boolean().optional(),
  headers: z.union([z.literal("all"), z.array(headerPattern)]).optional(),
  exemptFromSlots: z.boolean().optional(),
  modelOptional: z.boolean().optional(),
  exact: z.boolean().optional(),
  needs: z
    .strictObject({
      families: z.array(z.string()).optional(),
      since: z.record(z.string(), z.string()).optional(),
    })
    .optional(),
  errors: errors.optional(),
  tokens: z.literal("ollama").optional(),
  task: z.enum(["starts", "follows"]).optional(),
  keeps: z
    .strictObject({ answer: z.string().optional(), fields: z.array(keptName).optional(), segment: keptName.optional() })
    .optional(),
  fanout: z.object({ split: callable, items: callable }).optional(),
  gather: z.object({ parse: callable, merge: callable }).optional(),
  watch: z
    .object({
      path: path("\\*", "/*"),
      queryHeaders: z.record(z.string(), headerName),
      opening: callable,
      update: callable,
      failure: callable,
      isOver: callable,
      operation,
    })
    .optional(),
  operation,
});

const served = z.strictObject({
  worker: z
    .strictObject({
      id: z.string(),
      summary: z.string(),
      listsModels: z.boolean(),
      modelsBelow: z.array(path("\\*", "/*")).optional(),
      errors,
      requestTimeoutMs: z.number().min(0).max(LONGEST_MS).optional(),
      reach: z.enum(["any", "id"]).optional(),
      endpoints: z.array(endpoint),
    })
    .optional(),
  pool: z
    .strictObject({
      queueSize: amount,
      queueTimeoutMs: amount,
      queueUpdateMs: amount,
      queueEvents: z.enum(["auto", "event", "comment", "off"]).optional(),
      graceMs: amount,
      minScore: amount,
      defaultModel: z.string().optional(),
      maxParallel: amount,
      maxSlotExempt: amount,
      maxSlots: amount,
      requestTimeoutMs: amount.optional(),
    })
    .optional(),
  relays: z
    .strictObject({
      maxReqBytes: amount,
      maxRespBytes: amount,
      wsHeartbeatMs: amount,
      wsDeadAfterMs: amount,
      maxConcurrencyPerClient: amount,
      queueTimeoutMs: amount.optional(),
      requireApiKey: z.boolean(),
      allowOpen: z.boolean().optional(),
    })
    .optional(),
  routes: z.array(route).optional(),
  state: callable.optional(),
  view: callable.optional(),
  close: callable.optional(),
});

const texts = z.record(z.string(), z.string());

const backend = z.strictObject({
  baseUrl: address,
  mounts: z.array(z.strictObject({ prefix: path("\\*", "/*"), baseUrl: address })).optional(),
  headers: z.literal("all").optional(),
  apiKey: z.string().optional(),
  keyHeader: z
    .string()
    .regex(/^[\w!#$%&'*+.^`|~-]+$/, "expected a header name")
    .optional(),
  ownHeaders: z.record(z.string(), z.string()).optional(),
  ca: z.string().optional(),
  pollMs: z.number().min(1).max(LONGEST_MS),
  facts: texts,
  probe: callable,
});

const probed = z.object({
  models: z.array(z.string()),
  details: z.record(z.string(), z.record(z.string(), z.number())).optional(),
  facts: texts,
  warning: z.string().optional(),
});

/** Throws, naming the field, unless `serve` may have returned this. */
export function checkServed(value: Served): Served {
  refusePromise("serve", value);
  return checked("serve", served, value);
}

/** Throws, naming the field, unless this is a backend. */
export function checkBackend(value: Backend): Backend {
  return checked("backend", backend, value);
}

/** Throws, naming the field, unless a probe may have found this. */
export function checkProbed(value: ProbeResult): ProbeResult {
  return checked("probe", probed, value);
}

/** The value itself, not a copy: its functions may use `this`. */
function checked<T>(name: string, schema: z.ZodType, value: T): T {
  const result = schema.safeParse(value);
  if (result.success) return value;
  const [issue] = result.error.issues;
  const at = issue === undefined || issue.path.length === 0 ? "" : `\`${fieldOf(issue.path)}\`: `;
  throw new Error(`\`${name}\` returned an invalid value: ${at}${issue?.message}`);
}

/** `routes[0].auth` */
function fieldOf(path: readonly PropertyKey[]): string {
  return path.map((part, at) => (typeof part === "number" ? `[${part}]` : `${at ? "." : ""}${String(part)}`)).join("");
}

/** Throws for a promise, which is not supported, and for undefined. */
export function refusePromise(name: string, value: unknown): void {
  if (value === undefined || value === null) throw new Error(`\`${name}\` returns nothing; return an object`);
  if (typeof value === "object" && value !== null && "then" in value)
    throw new Error(`\`${name}\` returns a promise, which is not supported: use top-level await instead`);
}
