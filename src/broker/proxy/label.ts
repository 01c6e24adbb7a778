// What routes a request, however its body carries it.
import { NfrxError } from "../../lib/errors.ts";
import { NAME_MAX } from "../../protocol/limits.ts";
import type { RequestBody, Scanned } from "./body.ts";

/** What the broker reads of a request; its bytes are left alone. */
export interface Label {
  /** The model, or undefined when any worker will do. */
  model: string | undefined;
  /** The client asks for an event stream. */
  stream: boolean;
  /** The parsed body, when it was small enough to be held whole. */
  json?: unknown;
  /** What else was looked for at the top level of a larger one. */
  fields?: ReadonlyMap<string, unknown>;
}

/**
 * Reads a request's label while its body arrives: `scan` sees the chunks of a body too large to look at as a whole, `read`
 * gives the answer once the body is there. Both throw `invalid_request` naming the field.
 */
export interface LabelReader {
  /** The body is read on, once the model is known, for what else routes it. */
  readonly readOn: boolean;
  /** Its encoding must be undone, for it is read. */
  readonly decode: boolean;
  /** Takes a chunk; true once nothing more is needed of the body, `known` once it could be sent on. */
  scan(chunk: Uint8Array): Scanned | Promise<Scanned>;
  read(body: RequestBody): Label | Promise<Label>;
}

/** The model, as a `field` of JSON or a `part` of a form. Throws when it names none. */
export function requireModel(model: unknown, where: "field" | "part"): string {
  if (typeof model !== "string" || model === "") {
    throw new NfrxError("invalid_request", `no model: the ${where} \`model\` must name one`, { param: "model" });
  }
  if (model.length > NAME_MAX) {
    throw new NfrxError("invalid_request", `the ${where} \`model\` is longer than ${NAME_MAX} characters`, {
      param: "model",
    });
  }
  return model;
}
