// JSON bodies: validated by a schema; values that are only forwarded keep their text.
import type { z } from "zod";
import { NfrxError } from "../../../lib/errors.ts";
import { spanOf } from "../../../lib/json-span.ts";
import { type BodyLimits, readBody, type Sender } from "./body.ts";

/** JSON that is only carried: the text that was sent, digit for digit. */
export type JsonText = string;

/** How much of it there may be. */
export interface CarriedLimits {
  readonly bytes: number;
  readonly levels: number;
}

/** A body that its schema accepts. */
export interface JsonBody<T> {
  readonly fields: T;
  /**
   * The text of an object in it, digit for digit; undefined when it is missing or null. Throws when it is too deep or too
   * large.
   */
  carried(name: keyof T & string, limits: CarriedLimits): JsonText | undefined;
}

/** A body of JSON; none at all is an empty object where that is allowed. */
export async function readJson<T extends object>(
  sender: Sender,
  limits: BodyLimits,
  schema: z.ZodType<T>,
  mayLack = true,
): Promise<JsonBody<T>> {
  const body = await readBody(sender, limits, () => false, { decode: true });
  try {
    const sent = Buffer.from(body.bytes).toString("utf8");
    if (sent.trim() === "" && !mayLack) throw new NfrxError("invalid_request", "a request body is required");
    const text = sent.trim() === "" ? "{}" : sent;
    const fields = checked("", schema, JSON.parse(text));
    return {
      fields,
      carried: (name, bounds) => (fields[name] ? carriedText(text, name, fields[name], bounds) : undefined),
    };
  } catch (error) {
    if (error instanceof SyntaxError) throw new NfrxError("invalid_request", "the body is not JSON");
    throw error;
  } finally {
    body.release();
  }
}

/** `value`, when the schema accepts it. Throws `invalid_request` otherwise. */
export function checked<T>(param: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  if (issue?.code === "unrecognized_keys")
    throw invalid([param, ...issue.path, issue.keys[0]].filter(Boolean).join("."), "is not a field");
  throw invalid(param || (issue?.path.join(".") ?? ""), issue?.message ?? "is invalid");
}

export function invalid(param: string, problem: string): NfrxError {
  return new NfrxError("invalid_request", `${param || "the body"}: ${problem}`, param ? { param } : {});
}

function carriedText(body: string, name: string, value: unknown, { bytes, levels }: CarriedLimits): JsonText {
  if (isDeeper(value, levels)) throw invalid(name, `has more than ${levels} nested levels`);
  const span = spanOf(body, [name]);
  if (span === undefined) throw invalid(name, "must be an object");
  // No string of JSON holds a line's end; between the values one would end a field of an event.
  const text = body.slice(...span).replace(/[\r\n]/g, " ");
  if (Buffer.byteLength(text) > bytes)
    throw new NfrxError("too_large", `${name} exceeds ${bytes} bytes`, { param: name });
  return text;
}

/** True when a value of JSON has more levels of objects and lists than these. */
function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  return levels === 0 || Object.values(value).some(inner => isDeeper(inner, levels - 1));
}
