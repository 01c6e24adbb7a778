// Finds the worker for requests about stored items.
import { NfrxError } from "../../../lib/errors.ts";
import type { Span } from "../../../lib/trace.ts";
import type { Endpoint, Keeps, KeptName } from "../../../modules/module.ts";
import type { PathParams } from "../../../modules/route.ts";
import { FOREIGN, OWNED_ID_MAX, type Owners } from "../../pool/owners.ts";
import type { Pool } from "../../pool/pool.ts";
import type { AttemptContext } from "../attempt.ts";
import { locate } from "./locate.ts";
import type { RoutingFields } from "./routing-fields.ts";

/** The stored items that a request names, and what is known about them. */
export interface Kept {
  /** The caller, who owns the IDs in the response. */
  readonly caller: string;
  /** The worker that serves the request successfully has these. */
  readonly ids: readonly string[];
  /** The worker that has them, where it is known and connected. */
  readonly workerId?: string | undefined;
  /** The worker is unknown: the request is tried on one worker after the other. */
  readonly inTurn?: boolean;
  /** The worker is known, is not connected, and may come back. */
  readonly away?: boolean;
}

/** Locations of an endpoint's IDs; undefined if its requests store nothing. */
export function keepsOf({ keeps, task }: Pick<Endpoint, "keeps" | "task">): Keeps | undefined {
  if (keeps !== undefined) return keeps;
  return task === undefined ? undefined : TASKS[task];
}

const TASKS: Readonly<Record<"starts" | "follows", Keeps>> = {
  starts: { answer: "task_id" },
  follows: { segment: { name: "task", what: "task" } },
};

export interface KeeperContext extends AttemptContext {
  pool: Pool;
  owners: Owners;
}

/** As much of a request as finding its worker needs. */
export interface KeptRequest {
  id: string;
  params: PathParams;
  label: RoutingFields;
  /** The worker that the path pins it to. */
  workerId: string | undefined;
  caller: string;
  signal: AbortSignal;
  span: Span | undefined;
}

/**
 * Finds the worker of a request: the known one, else the one that responds to a query of all. Throws the API's "not
 * found" for an ID that is unknown or belongs to another caller, and a 503 while its worker may be reconnecting.
 */
export async function findKept(keeps: Keeps, request: KeptRequest, context: KeeperContext): Promise<Kept> {
  const { params, label, caller } = request;
  const ids: string[] = [];
  let workerId: string | undefined;
  let open: { inTurn: true; away: boolean } | undefined;
  for (const { name, id } of namedIn(keeps, params, label)) {
    const owner = context.owners.find(id, caller);
    if (owner === FOREIGN) throw missing(name, id);
    ids.push(id);
    if (request.workerId !== undefined) continue;
    if (owner !== undefined && context.pool.directory.has(owner)) {
      workerId ??= owner;
    } else if (name.lookup === undefined) {
      // An agent that was started anew may have another id, and the same server behind it.
      open = { inTurn: true, away: owner !== undefined && context.pool.directory.expectsWorker(owner) };
    } else {
      workerId ??= await search({ ...name, lookup: name.lookup }, id, owner, request, context);
    }
  }
  return { caller, ids, workerId, ...open };
}

/** Every id that a request names. */
function namedIn(
  { fields = [], segment }: Keeps,
  params: PathParams,
  label: RoutingFields,
): { name: KeptName; id: string }[] {
  const found = fields.flatMap(name => {
    const id = idOf(fieldOf(label, name.name));
    return id === undefined ? [] : [{ name, id }];
  });
  const id = segment === undefined ? undefined : params[segment.name];
  return segment === undefined || !id ? found : [...found, { name: { ...segment }, id }];
}

function fieldOf({ json, fields }: RoutingFields, name: string): unknown {
  if (typeof json !== "object" || json === null) return fields?.get(name);
  return Object.hasOwn(json, name) ? Reflect.get(json, name) : undefined;
}

function idOf(value: unknown): string | undefined {
  const id = typeof value === "object" && value !== null && "id" in value ? value.id : value;
  return typeof id === "string" && id !== "" ? id : undefined;
}

/** Queries which worker has an ID; undefined if there is only one worker, which can respond itself. */
async function search(
  name: KeptName & { lookup: string },
  id: string,
  owner: string | undefined,
  request: KeptRequest,
  context: KeeperContext,
): Promise<string | undefined> {
  const { pool } = context;
  const { label } = request;
  const able = pool.directory.records(label.model).filter(worker => worker.available);
  const sole = owner === undefined && !pool.filling && able.length === 1;
  const expected = owner !== undefined && pool.directory.expectsWorker(owner);
  if (sole || (able.length === 0 && !expected)) return undefined;
  const found = await locate(able, name.lookup, id, request, context);
  if (found !== undefined) return found.id;
  if (expected) throw pool.absence(label.model, owner);
  if (pool.filling)
    throw new NfrxError("overloaded", `the worker that has this ${name.what} may still be reconnecting`, {
      retryAfterSeconds: 5,
    });
  throw missing(name, id);
}

/** The API's error for an unknown ID. */
function missing({ name, what, missing: code = "not_found" }: KeptName, id: string): NfrxError {
  const message = `${what[0]?.toUpperCase()}${what.slice(1)} with id '${id.slice(0, OWNED_ID_MAX)}' not found.`;
  return new NfrxError(code, message, { param: name, foreign: true });
}
