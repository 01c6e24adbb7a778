// The routing fields of a request, whatever its format.
import { NfrxError } from "../../../lib/errors.ts";
import { NAME_MAX } from "../../../protocol/limits.ts";
import type { RequestBody, Scanned } from "../../http/body/body.ts";
import type { ModelName } from "./model-name.ts";

/** The fields that the broker reads from a request; its bytes stay unchanged. */
export interface RoutingFields {
  /** The model, or undefined when any worker will do. */
  model: string | undefined;
  /** Where the body names the model; undefined when it does not name one. */
  name?: ModelName;
  /** The body does not say `model`: the name is the broker's. */
  unnamed?: boolean;
  /** The client asks for an event stream. */
  stream: boolean;
  /** The parsed body, when it was small enough to be held whole. */
  json?: unknown;
  /** Additional top-level fields of a larger body. */
  fields?: ReadonlyMap<string, unknown>;
}

/**
 * Reads a request's label while its body arrives: `scan` sees the chunks of a body too large to look at as a whole, `read`
 * gives the answer once the body is there. Both throw `invalid_request` naming the field.
 */
export interface RoutingFieldsReader {
  /** The body is read on, once the model is known, for what else routes it. */
  readonly readOn: boolean;
  /** Its encoding must be undone, for it is read. */
  readonly decode: boolean;
  /** Takes a chunk; true once nothing more is needed of the body, `known` once it could be sent on. */
  scan(chunk: Uint8Array): Scanned | Promise<Scanned>;
  read(body: RequestBody): RoutingFields | Promise<RoutingFields>;
}

/** The model that a request is for which names none; undefined where it has to name one. */
export type UsualModel = () => string | undefined;

/** Every request has to name its model. */
export const NO_USUAL_MODEL: UsualModel = () => undefined;

/** The model, as a `field` of JSON or a `part` of a form; the usual one when it is missing. Throws when there is none. */
export function requireModel(model: unknown, where: "field" | "part", usual: UsualModel): string {
  const named = model === undefined || model === null ? usual() : model;
  if (typeof named !== "string" || named === "") {
    throw new NfrxError("invalid_request", `the ${where} \`model\` is required`, { param: "model" });
  }
  if (named.length > NAME_MAX) {
    throw new NfrxError("invalid_request", `the ${where} \`model\` is longer than ${NAME_MAX} characters`, {
      param: "model",
    });
  }
  return named;
}
