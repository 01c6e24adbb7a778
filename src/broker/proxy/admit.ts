// Applies a caller's key to a request: models, limits and turn.
import { NfrxError } from "../../lib/errors.ts";
import type { Endpoint } from "../../modules/module.ts";
import type { Principal, Reservation, RouteCall } from "../../modules/route.ts";
import type { RequestBody } from "../http/body/body.ts";
import type { Pool } from "../pool/pool.ts";
import { type Turn, usualTurn } from "../pool/queue.ts";
import type { RoutingFields } from "./routing/routing-fields.ts";

/** Bytes of a token, by the usual rule of thumb. */
const TOKEN_BYTES = 4;
/** Tokens that a response is expected to have when its request sets no maximum. */
const USUAL_TOKENS = 512;
/** Fields by which the APIs set the maximum of tokens of a response. */
const MAXIMA = ["max_tokens", "max_completion_tokens", "max_output_tokens"];

/**
 * Lets a request of a key in, and reserves what it may use. Of other principals it does nothing. Throws `model_not_found` for a
 * model that the key may not use, as for one that is not there; what `CallerKey.admit` throws when a limit is used up.
 */
export function admit(
  { principal }: RouteCall,
  { label }: Endpoint,
  { model, json }: RoutingFields,
  body: RequestBody,
  { directory }: Pool,
): Reservation | undefined {
  const { key } = principal;
  if (key === undefined) return undefined;
  if (label !== "none" && model !== undefined) requireModel(principal, model, directory.servedAs(model) ?? model);
  const fields = isObject(json) ? json : {};
  if (typeof fields["user"] === "string") principal.speaksFor(fields["user"]);
  return key.admit(Math.ceil((body.length ?? 0) / TOKEN_BYTES) + maximumOf(fields));
}

/** Throws unless the key of a principal allows a model, by the name that was asked for and by the one that it resolves to. */
function requireModel({ key }: Principal, asked: string, served: string): void {
  if (key === undefined || (key.allowsModel(asked) && key.allowsModel(served))) return;
  throw new NfrxError("model_not_found", `no worker serves model ${asked}`, { param: "model" });
}

/** The turn of a request. The use of keys always counts, that of other principals only while requests wait. */
export function turnOf(principal: Principal, reservation: Reservation | undefined): Turn | (() => Turn) {
  const { key } = principal;
  if (key === undefined) return () => usualTurn(principal.caller);
  return { caller: principal.caller, weight: key.weight, behind: reservation?.behind ?? false };
}

function maximumOf(fields: Readonly<Record<string, unknown>>): number {
  for (const name of MAXIMA) {
    const value = fields[name];
    if (typeof value === "number" && value > 0) return Math.min(value, Number.MAX_SAFE_INTEGER);
  }
  return USUAL_TOKENS;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
