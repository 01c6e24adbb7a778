// How an error looks at the end of a stream that has already begun.

import { type NfrxError, toNfrxError } from "../../../lib/errors.ts";
import { sseEvent } from "../../../lib/sse.ts";
import type { ErrorShape, EventStreamApi } from "../../../modules/module.ts";
import { anthropicType, errorBody, typeOf } from "../../http/error-response.ts";

/** The inputs that decide the format of an error. */
export interface ErrorForm {
  errors: ErrorShape;
  /** The API of the stream, where it is known. */
  stream?: EventStreamApi | undefined;
}

/** An answer that cannot be passed on, and what its backend wrote. */
export interface Failure {
  failure: NfrxError;
  status: number;
  /** The beginning of the body, as text; empty when it says nothing that a program or a person could use. */
  text: string;
}

/** An error of ours as the last event. `sequence` is the number of the event where an API counts them. */
export function errorEvent(thrown: unknown, { errors, stream }: ErrorForm, sequence = 0): Uint8Array {
  const error = toNfrxError(thrown);
  if (stream?.errorEvent !== "response") return event(errorBody(error, errors));
  const { code, message, detail, status } = error;
  return event(responseError({ type: typeOf(status), code, message, param: detail.param }, sequence));
}

/** The same as the last line of a stream of JSON lines. */
export function errorLine(thrown: unknown, { errors }: ErrorForm): Uint8Array {
  return Buffer.from(`${JSON.stringify(errorBody(toNfrxError(thrown), errors))}\n`);
}

/** A backend's own error as the last event: all of its fields, in the place where the clients of the API look for them. */
export function backendErrorEvent({ failure, status, text }: Failure, form: ErrorForm): Uint8Array {
  const body = parseObject(text);
  const said = body === undefined ? undefined : saidIn(body);
  if (body === undefined || said === undefined) return errorEvent(failure, form);
  const { error: _, ...rest } = body;
  const { message, fields } = said;
  if (form.stream?.errorEvent === "response") {
    const { type = typeOf(status), param } = fields;
    const code = fields["code"] ?? fields["type"] ?? failure.code;
    return event({ ...rest, ...fields, ...responseError({ ...fields, type, code, message, param }, 0) });
  }
  switch (form.errors) {
    case "openai": {
      // An error object is what the client would have got at once.
      if (isObject(body["error"])) return event(body);
      const { type = typeOf(status), code = failure.code, param = null } = fields;
      return event({ ...rest, error: { message, type, code, param } });
    }
    case "anthropic": {
      const { type = anthropicType(status) } = fields;
      return event({ ...rest, type: "error", error: { ...fields, type, message } });
    }
    case "ollama":
      return event({ ...rest, error: message });
    default:
      return event(body);
  }
}

/** The message of a backend's error, or undefined if the format is unknown. */
export function messageIn(text: string): string | undefined {
  const body = parseObject(text);
  return body === undefined ? undefined : saidIn(body)?.message;
}

type Fields = Readonly<Record<string, unknown>>;

/** The message and the fields beside it: OpenAI's and Anthropic's `error`, Ollama's, vLLM's top level, FastAPI's `detail`. */
function saidIn(body: Fields): { message: string; fields: Fields } | undefined {
  const { error, message, detail } = body;
  if (isObject(error)) {
    const { message: said } = error;
    return { message: typeof said === "string" ? said : JSON.stringify(error), fields: error };
  }
  if (typeof error === "string" && error !== "") return { message: error, fields: {} };
  if (typeof message === "string") {
    const { type, code, param } = body;
    return { message, fields: withoutUndefined({ type, code, param }) };
  }
  if (detail === undefined || detail === null) return undefined;
  return { message: typeof detail === "string" ? detail : JSON.stringify(detail), fields: {} };
}

/**
 * OpenAI's error event of the Responses API: flat, as it is documented, and with the object that OpenAI itself sends. Only
 * with the object do its SDK for Python, when no event came before, and its helpers raise an exception that says what is wrong.
 */
function responseError(
  error: Fields & { type: unknown; code: unknown; message: string; param: unknown },
  sequence: number,
): object {
  const { message } = error;
  const code = error.code === undefined || error.code === null ? null : String(error.code);
  const param = error.param ?? null;
  return { type: "error", code, message, param, error: { ...error, code, param }, sequence_number: sequence };
}

function event(body: object): Uint8Array {
  return Buffer.from(sseEvent(JSON.stringify(body), { event: "error" }));
}

function withoutUndefined(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseObject(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
