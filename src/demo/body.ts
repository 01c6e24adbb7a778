import type { z } from "zod";
import { asText, bytesUpTo } from "../lib/bytes.ts";
import { ApiError } from "./errors.ts";

/** The largest request body the demo backend reads. */
export const BODY_LIMIT = 8 * 1024 * 1024;

/** Reads and parses a JSON request body of limited size; throws an `ApiError` that describes the problem. */
export async function parseBody<T>(request: Request, schema: z.ZodType<T>): Promise<T> {
  const value = parseJson(await readText(request));
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue?.path ?? [];
  const param = formatPath(path) || null;
  if (param !== null && lookUp(value, path) === undefined) {
    throw new ApiError(400, `Missing required parameter: '${param}'.`, "missing_required_parameter", param);
  }
  throw new ApiError(400, `Invalid value for '${param ?? "body"}': ${issue?.message}.`, "invalid_value", param);
}

async function readText(request: Request): Promise<string> {
  const tooLarge = () => new ApiError(413, `The body is larger than ${BODY_LIMIT} bytes`, "request_too_large");
  if (Number(request.headers.get("content-length") ?? 0) > BODY_LIMIT) throw tooLarge();
  const bytes = await bytesUpTo(BODY_LIMIT, request.body);
  if (bytes === undefined) throw tooLarge();
  return asText(bytes);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(400, "We could not parse the JSON body of your request.", "invalid_json");
  }
}

/** `["messages", 0, "role"]` → `messages[0].role`, as OpenAI names parameters. */
function formatPath(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === "number") return `${text}[${key}]`;
    return text ? `${text}.${String(key)}` : String(key);
  }, "");
}

function lookUp(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) => (typeof inner === "object" && inner !== null ? Reflect.get(inner, key) : undefined),
    value,
  );
}
