// The routes of keys, usage and the audit.
import { tmpdir } from "node:os";
import { z } from "zod";
import { NfrxError } from "../../lib/errors.ts";
import type { Clock } from "../../lib/time.ts";
import type { Content, Operation, Parameter, Principal, Route, RouteCall } from "../../modules/route.ts";
import type { BodyLimits } from "../http/body/body.ts";
import { readJson } from "../http/body/json-body.ts";
import type { ActiveKey } from "./active-key.ts";
import { auditPage, usageAnswer } from "./admin-shapes.ts";
import { type BackedUp, makeBackup } from "./backup.ts";
import { SELF_SCOPE } from "./key.ts";
import { keyChange, keyList, limitUse, madeKey, newKey, type ShownKey, showKey, shownKey } from "./key-shape.ts";
import type { MadeKey } from "./keys.ts";
import type { People } from "./people.ts";
import type { UsageQuery, UsageSum } from "./store.ts";
import { csvOf, showSum, usageQueryOf } from "./usage-query.ts";

/** Lines of the audit in one answer. */
const AUDIT_LINES_MAX = 1_000;
/** Lines without a `limit`. */
const AUDIT_LINES_USUAL = 100;
/** Seconds for which a rotated key may still open. */
const OVERLAP_MAX_SECONDS = 30 * 86_400;

export interface PeopleRoutesOptions {
  /** The stores in a backup. */
  readonly backedUp: readonly BackedUp[];
  readonly people: People;
  readonly clock: Clock;
  readonly bodies: BodyLimits;
}

/** The routes of administration, and those by which a caller sees its own key. */
export function peopleRoutes(options: PeopleRoutesOptions): Route[] {
  return [...keyRoutes(options), ...ledgerRoutes(options), backupRoute(options), ...selfRoutes(options)];
}

const rotation = z
  .strictObject({
    overlap_seconds: z
      .int()
      .min(0)
      .max(OVERLAP_MAX_SECONDS)
      .default(0)
      .describe("Seconds for which the old key stays valid."),
  })
  .meta({ id: "KeyRotation" });

const admin = { tag: "admin", scopes: ["admin"], errors: "openai" } as const;
const KEYS = "/api/admin/keys";

function keyRoutes({ people: { keys }, clock, bodies }: PeopleRoutesOptions): Route[] {
  const own = (call: RouteCall): string => call.params["id"] ?? "";
  return [
    {
      ...admin,
      method: "GET",
      path: KEYS,
      operation: { summary: "List the keys", responses: answers("Every key.", keyList, { keys: [KEY] }) },
      answer: () => Response.json({ keys: keys.list().map(showKey) }),
    },
    {
      ...admin,
      method: "POST",
      path: KEYS,
      operation: {
        summary: "Make a key",
        description: "The response contains the key, which is not shown again.",
        request: { content: [json(newKey, { name: "alice", models: ["qwen*"] })] },
        responses: answers("The key that was made.", madeKey, { key: KEY, secret: SECRET }, 201),
        failures: ["invalid_request", "exists", "overloaded"],
      },
      answer: async call => {
        const { fields } = await readJson(call, bodies, newKey, false);
        return shownOnce(await keys.add(fields, actorOf(call.principal)), 201);
      },
    },
    {
      ...admin,
      method: "GET",
      path: `${KEYS}/:id`,
      operation: {
        summary: "Show a key and how much of its limits is used",
        parameters: [ID],
        responses: answers("The key.", shownKey.extend({ use: z.array(limitUse) }), { ...KEY, use: [USE] }),
        failures: ["not_found"],
      },
      answer: call => {
        const key = keys.get(own(call));
        return Response.json({ ...showKey(key.record), use: useOf(key, clock.wall()) });
      },
    },
    {
      ...admin,
      method: "PATCH",
      path: `${KEYS}/:id`,
      operation: {
        summary: "Change a key",
        description: "Omitted fields stay unchanged. Requests that the key no longer allows end at once.",
        parameters: [ID],
        request: { content: [json(keyChange, { limits: { "tokens/day": { max: 100_000, kind: "hard" } } })] },
        responses: answers("The key as it is now.", shownKey, KEY),
        failures: ["invalid_request", "not_found", "exists", "forbidden"],
      },
      answer: async call => {
        const { fields } = await readJson(call, bodies, keyChange, false);
        return Response.json(showKey(await keys.set(own(call), fields, actorOf(call.principal))));
      },
    },
    {
      ...admin,
      method: "POST",
      path: `${KEYS}/:id/rotate`,
      operation: {
        summary: "Rotate a key",
        description: "Makes a new key in place of the old one, which ends at once or after `overlap_seconds`.",
        parameters: [ID],
        request: { optional: true, content: [json(rotation, { overlap_seconds: 3600 })] },
        responses: answers("The key, with its new text.", madeKey, { key: KEY, secret: SECRET }),
        failures: ["invalid_request", "not_found", "forbidden"],
      },
      answer: async call => {
        const { fields } = await readJson(call, bodies, rotation, true);
        const overlapMs = (fields.overlap_seconds ?? 0) * 1_000;
        return shownOnce(await keys.rotate(own(call), overlapMs, actorOf(call.principal)), 200);
      },
    },
    {
      ...admin,
      method: "DELETE",
      path: `${KEYS}/:id`,
      operation: {
        summary: "Revoke a key",
        description: "Requests in progress with it end at once.",
        parameters: [ID],
        responses: answers("The key as it was.", shownKey, KEY),
        failures: ["not_found", "forbidden"],
      },
      answer: async call => Response.json(showKey(await keys.revoke(own(call), actorOf(call.principal)))),
    },
  ];
}

function ledgerRoutes({ people: { ledger, store }, clock }: PeopleRoutesOptions): Route[] {
  return [
    {
      ...admin,
      method: "GET",
      path: "/api/admin/usage",
      operation: {
        summary: "Show usage",
        parameters: [...USAGE_PARAMETERS, { name: "format", in: "query", description: "`csv` for CSV." }],
        responses: answers("The sums.", usageAnswer, { since: SINCE, until: UNTIL, usage: [SUM] }),
        failures: ["invalid_request"],
      },
      answer: async ({ request }) => {
        const search = new URL(request.url).searchParams;
        const query = usageQueryOf(search, clock.wall());
        const sums = await ledger.usage(query);
        if (search.get("format") === "csv")
          return new Response(csvOf(sums, query.by), { headers: { "content-type": "text/csv; charset=utf-8" } });
        return usageResponse(sums, query);
      },
    },
    {
      ...admin,
      method: "GET",
      path: "/api/admin/audit",
      operation: {
        summary: "List the changes that operators made",
        description: "With `after` the lines that follow, oldest first; without it the last ones, newest first.",
        parameters: [
          { name: "after", in: "query", description: "The number of a line.", schema: z.int() },
          { name: "limit", in: "query", description: `How many lines, at most ${AUDIT_LINES_MAX}.`, schema: z.int() },
        ],
        responses: answers("The lines.", auditPage, { lines: [LINE] }),
        failures: ["invalid_request"],
      },
      answer: async ({ request }) => {
        const search = new URL(request.url).searchParams;
        const after = numberOf(search, "after", 0, Number.MAX_SAFE_INTEGER);
        const limit = numberOf(search, "limit", 1, AUDIT_LINES_MAX) ?? AUDIT_LINES_USUAL;
        const lines = after === undefined ? await store.lastAudit(limit) : await store.audit(after, limit);
        return Response.json({ lines: lines.map(line => ({ ...line, at: new Date(line.at).toISOString() })) });
      },
    },
  ];
}

function backupRoute({ backedUp, clock }: PeopleRoutesOptions): Route {
  return {
    ...admin,
    method: "GET",
    path: "/api/admin/backup",
    operation: {
      summary: "Back up the broker's data",
      description: "An archive (tar) with keys, usage, the audit and the jobs, each as it was at one moment.",
      responses: { 200: { description: "The archive.", content: [{ type: "application/x-tar" }] } },
    },
    answer: async () => {
      const archive = await makeBackup(backedUp, tmpdir(), clock.wall());
      const headers = { "content-type": "application/x-tar", "cache-control": "no-store" };
      return new Response(archive as Uint8Array<ArrayBuffer>, { headers });
    },
  };
}

/** A caller's questions about itself. */
function selfRoutes({ people: { keys, ledger }, clock }: PeopleRoutesOptions): Route[] {
  const self = { tag: "keys", scopes: [SELF_SCOPE, "admin"], errors: "openai", method: "GET" } as const;
  return [
    {
      ...self,
      path: "/api/me",
      operation: {
        summary: "Show your key, its limits and how much of them is used",
        responses: answers("The caller as the broker sees it.", me, {
          principal: "key",
          person: "alice",
          key: SELF,
          limits: [USE],
        }),
      },
      answer: ({ principal: { kind, person, key } }) => {
        const active = key && keys.get(key.id);
        return Response.json({
          principal: kind,
          person: person ?? null,
          key: active === undefined ? null : selfOf(showKey(active.record)),
          limits: active === undefined ? [] : useOf(active, clock.wall()),
        });
      },
    },
    {
      ...self,
      path: "/api/me/usage",
      operation: {
        summary: "Show your usage",
        parameters: USAGE_PARAMETERS,
        responses: answers("The sums.", usageAnswer, { since: SINCE, until: UNTIL, usage: [SUM] }),
        failures: ["invalid_request"],
      },
      answer: async ({ request, principal: { person, key, name } }) => {
        const query = usageQueryOf(new URL(request.url).searchParams, clock.wall());
        const own = person === undefined ? { key: key?.id ?? name } : { person };
        return usageResponse(await ledger.usage({ ...query, ...own }), query);
      },
    },
  ];
}

const me = z
  .object({
    principal: z.string().describe("`key`, or which key of the configuration: `api`, `admin`, `role`, `anonymous`."),
    person: z.string().nullable(),
    key: shownKey.pick({ id: true, name: true, scopes: true, models: true, expires_at: true }).nullable(),
    limits: z.array(limitUse),
  })
  .meta({ id: "Me" });

function selfOf({ id, name, scopes, models, expires_at }: ShownKey) {
  return { id, name, scopes, models, expires_at };
}

function usageResponse(sums: readonly UsageSum[], query: UsageQuery): Response {
  const [since, until] = [query.since, query.until].map(time => new Date(time).toISOString());
  return Response.json({ since, until, usage: sums.map(sum => showSum(sum, query.by)) });
}

/** A number in the query. Throws `invalid_request` naming the parameter. */
function numberOf(search: URLSearchParams, name: string, min: number, max: number): number | undefined {
  const text = search.get(name);
  if (text === null) return undefined;
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new NfrxError("invalid_request", `${name} must be a whole number from ${min} to ${max}`, { param: name });
}

function useOf({ meter, record }: ActiveKey, now: number) {
  return meter.use(record.limits, now).map(({ resetsAt, ...use }) => ({
    ...use,
    resets_at: resetsAt === undefined ? null : new Date(resetsAt).toISOString(),
  }));
}

function shownOnce({ record, secret }: MadeKey, status: number): Response {
  return Response.json({ key: showKey(record), secret }, { status, headers: { "cache-control": "no-store" } });
}

/** The author of a change, as the audit names it. */
function actorOf({ name }: Principal): string {
  return name;
}

const json = (schema: z.ZodType, example: unknown): Content => ({ type: "application/json", schema, example });
function answers(description: string, schema: z.ZodType, example: unknown, status = 200): Operation["responses"] {
  return { [status]: { description, content: [json(schema, example)] } };
}

const ID: Parameter = { name: "id", in: "path", description: "The key's id or name.", example: "alice" };
const USAGE_PARAMETERS: readonly Parameter[] = [
  {
    name: "by",
    in: "query",
    description: "Fields to sum by: person, key, module, model, worker, day or hour, with commas.",
    example: "person,model",
  },
  { name: "since", in: "query", description: "A date or time; 30 days ago by default.", example: "2026-01-01" },
  { name: "until", in: "query", description: "A date or time; now by default." },
];
const SECRET = "sk-nfrx-…";
const SINCE = "2026-01-01T00:00:00.000Z";
const UNTIL = "2026-01-31T00:00:00.000Z";
const KEY = {
  id: "k_8f2k3m5n7p9q2r4t",
  name: "alice",
  person: "alice",
  scopes: ["llm", "asr"],
  models: ["qwen*"],
  expires_at: null,
  app: false,
  weight: 10,
  limits: [{ name: "tokens/day", max: 100_000, kind: "hard" }],
  created_at: SINCE,
  source: "store",
};
const SELF = { id: "k_8f2k3m5n7p9q2r4t", name: "alice", scopes: ["llm"], models: ["qwen*"], expires_at: null };
const USE = { name: "tokens/day", max: 100_000, kind: "hard", used: 1_250, resets_at: UNTIL };
const SUM = {
  person: "alice",
  model: "qwen3:8b",
  requests: 12,
  failures: 0,
  cancelled: 1,
  tokens_in: 3_400,
  tokens_out: 5_100,
  items: 0,
  bytes_in: 20_480,
  bytes_out: 40_960,
  estimated: 0,
  slot_seconds: 93.4,
  energy_wh: 0,
};
const LINE = {
  seq: 1,
  at: SINCE,
  actor: "local:root",
  action: "key.add",
  target: "k_8f2k3m5n7p9q2r4t",
  before: null,
  after: "{}",
  hash: "3f1c…",
};
