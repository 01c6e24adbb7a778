// Keys as JSON: what the store holds of them, what the API takes and what it shows.
import { z } from "zod";
import { DEFAULT_SCOPES, DEFAULT_WEIGHT, type KeyRecord, WEIGHT_MAX } from "./key.ts";
import type { Limit } from "./limit.ts";
import { changeLimits, LIMIT_NAMES, type LimitName, parseLimit } from "./limit.ts";

/** Characters of a name of a key, person or machine. */
const NAME_MAX = 64;
/** Patterns that the list of a key's models may hold, and characters of each. */
const MODELS_MAX = 100;
const PATTERN_MAX = 200;
const SCOPES_MAX = 100;

const NAME = new RegExp(`^[A-Za-z0-9._@-]{1,${NAME_MAX}}$`);

const keyName = z
  .string()
  .regex(NAME, `must be 1 to ${NAME_MAX} letters, digits, dots, dashes, underscores or @`)
  .describe("Unique name of the key.");
const person = keyName.describe("Person; the key's name by default. Several keys can belong to one person.");
const scope = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,31}(?::[A-Za-z0-9._-]{1,128})?$/, "must be a scope such as llm, admin or mcp:my-relay");
const scopes = z
  .array(scope)
  .min(1)
  .max(SCOPES_MAX)
  .describe("Scopes: module IDs, jobs, transfer, state, admin (everything), mcp:<relay>.");
const models = z
  .array(z.string().min(1).max(PATTERN_MAX))
  .min(1, "must name at least one model")
  .max(MODELS_MAX)
  .nullable()
  .describe("Allowed models, with * for any characters; null for all.");
const expiresAt = z.iso.datetime({ offset: true }).nullable().describe("Expiry; null for never.");
const weight = z.int().min(1).max(WEIGHT_MAX).describe("Share of the slots while requests wait.");
const app = z.boolean().describe("The key may name the person behind each request, as Open WebUI does.");
const limits = z
  .partialRecord(
    z.enum(LIMIT_NAMES),
    z.object({ max: z.int().min(1), kind: z.enum(["hard", "soft"]).default("hard") }).nullable(),
  )
  .describe("Limits by name; null removes one.");

/** A new key, as the API takes it. */
export const newKey = z.strictObject({
  name: keyName,
  person: person.optional(),
  scopes: scopes.default([...DEFAULT_SCOPES]),
  models: models.default(null),
  expires_at: expiresAt.default(null),
  app: app.default(false),
  weight: weight.default(DEFAULT_WEIGHT),
  limits: limits.default({}),
});

/** A change of a key: what is left out stays as it is. */
export const keyChange = z.strictObject({
  name: keyName.optional(),
  person: person.optional(),
  scopes: scopes.optional(),
  models: models.optional(),
  expires_at: expiresAt.optional(),
  app: app.optional(),
  weight: weight.optional(),
  limits: limits.optional(),
});

export type NewKey = z.infer<typeof newKey>;
export type KeyChange = z.infer<typeof keyChange>;

/** A key as the API shows it. No digest is in it. */
export const shownKey = z
  .object({
    id: z.string(),
    name: keyName,
    person,
    scopes,
    models,
    expires_at: expiresAt,
    app,
    weight,
    limits: z.array(z.object({ name: z.enum(LIMIT_NAMES), max: z.int(), kind: z.enum(["hard", "soft"]) })),
    created_at: z.iso.datetime(),
    source: z.enum(["store", "file"]).describe("Keys of the configuration file cannot be changed here."),
  })
  .meta({ id: "Key" });

export type ShownKey = z.infer<typeof shownKey>;

/** A key as the store holds it: the digests of all that open it, and until when, in milliseconds since 1970. */
const storedKey = z.object({
  key: shownKey,
  digests: z.array(z.object({ sha256: z.hex().length(64), until: z.int().nullable() })),
});

/** One digest of a key. */
export interface KeyDigest {
  /** SHA-256 in hexadecimal. */
  readonly sha256: string;
  /** Milliseconds since 1970; undefined for as long as the key itself. */
  readonly until: number | undefined;
}

/** A key as the API shows it. */
export function showKey(record: KeyRecord): ShownKey {
  const { id, name, person, scopes, models, expiresAt, app, weight, limits, createdAt, source } = record;
  return {
    id,
    name,
    person,
    scopes: [...scopes],
    models: models === undefined ? null : [...models],
    expires_at: expiresAt === undefined ? null : new Date(expiresAt).toISOString(),
    app,
    weight,
    limits: [...limits],
    created_at: new Date(createdAt).toISOString(),
    source,
  };
}

export function encodeKey(record: KeyRecord, digests: readonly KeyDigest[]): string {
  return JSON.stringify({
    key: showKey(record),
    digests: digests.map(({ sha256, until }) => ({ sha256, until: until ?? null })),
  });
}

/** Throws when the store holds something else. */
export function decodeKey(json: string): { record: KeyRecord; digests: KeyDigest[] } {
  const { key, digests } = storedKey.parse(JSON.parse(json));
  const { expires_at, created_at, models: patterns, ...rest } = key;
  return {
    record: {
      ...rest,
      models: patterns ?? undefined,
      expiresAt: expires_at === null ? undefined : Date.parse(expires_at),
      createdAt: Date.parse(created_at),
    },
    digests: digests.map(({ sha256, until }) => ({ sha256, until: until ?? undefined })),
  };
}

/** A record of what the API was given. */
export function recordOf(spec: NewKey, id: string, createdAt: number, source: KeyRecord["source"]): KeyRecord {
  return {
    id,
    name: spec.name,
    person: spec.person ?? spec.name,
    scopes: spec.scopes,
    models: spec.models ?? undefined,
    expiresAt: timeOf(spec.expires_at),
    app: spec.app,
    weight: spec.weight,
    limits: limitsAfter([], spec.limits),
    createdAt,
    source,
  };
}

/** The record after a change. */
export function changed(record: KeyRecord, change: KeyChange): KeyRecord {
  return {
    ...record,
    name: change.name ?? record.name,
    person: change.person ?? record.person,
    scopes: change.scopes ?? record.scopes,
    models: change.models === undefined ? record.models : (change.models ?? undefined),
    expiresAt: change.expires_at === undefined ? record.expiresAt : timeOf(change.expires_at),
    app: change.app ?? record.app,
    weight: change.weight ?? record.weight,
    limits: change.limits === undefined ? record.limits : limitsAfter(record.limits, change.limits),
  };
}

function timeOf(text: string | null): number | undefined {
  return text === null ? undefined : Date.parse(text);
}

type LimitSpec = Partial<Record<LimitName, { max: number; kind: "hard" | "soft" } | null>>;

function limitsAfter(limits: readonly Limit[], spec: LimitSpec): Limit[] {
  const changes = LIMIT_NAMES.flatMap(name => {
    const value = spec[name];
    return value === undefined ? [] : [{ name, limit: value === null ? undefined : { name, ...value } }];
  });
  return changeLimits(limits, changes);
}

/** Limits as the command line and the configuration file write them, in the API's form. Throws what `parseLimit` throws. */
export function limitSpecOf(texts: readonly string[]): LimitSpec {
  return Object.fromEntries(
    texts
      .map(parseLimit)
      .map(({ name, limit }) => [name, limit === undefined ? null : { max: limit.max, kind: limit.kind }]),
  );
}

/** Every key. */
export const keyList = z.object({ keys: z.array(shownKey) }).meta({ id: "KeyList" });

/** A key with the text that opens it. */
export const madeKey = z
  .object({ key: shownKey, secret: z.string().describe("The key itself. It is not shown again.") })
  .meta({ id: "MadeKey" });

/** How much of the limits is used. */
export const limitUse = z.object({
  name: z.enum(LIMIT_NAMES),
  max: z.int(),
  kind: z.enum(["hard", "soft"]),
  used: z.number(),
  resets_at: z.iso.datetime().nullable().describe("Time when less will be used; null for concurrent requests."),
});
