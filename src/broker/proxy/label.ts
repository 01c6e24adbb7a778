import { asText } from "../../lib/bytes.ts";
import { NfrxError } from "../../lib/errors.ts";
import { TopLevelScan } from "../../lib/json-scan.ts";
import type { Endpoint } from "../../modules/module.ts";
import { NAME_MAX } from "../../protocol/limits.ts";
import { HELD_BODY_BYTES, type RequestBody } from "./body.ts";

/** What the broker reads of a request; its bytes are left alone. */
export interface Label {
  /** The model, or undefined when any worker will do. */
  model: string | undefined;
  /** The client asks for an event stream. */
  stream: boolean;
  /** The parsed body, when it was small enough to be held whole. */
  json?: unknown;
}

/**
 * Reads a request's label while its body arrives: `scan` sees the chunks of a body too large to parse, `read` gives the
 * answer once the body is there. Both throw `invalid_request` naming the field.
 */
export class LabelReader {
  #scan: TopLevelScan | undefined;

  constructor(
    request: Request,
    private readonly endpoint: Endpoint,
  ) {
    if (endpoint.label === "json-model") requireJson(request);
  }

  /** Takes a chunk; true once nothing more is needed of the body. */
  scan(chunk: Uint8Array): boolean {
    if (this.endpoint.label === "none") return true;
    this.#scan ??= new TopLevelScan(WANTED);
    this.#scan.feed(chunk);
    return this.#scan.values.has("model");
  }

  read(body: RequestBody): Label {
    if (this.endpoint.label === "none") return { model: undefined, stream: false };
    if (body.whole && body.bytes.length <= PARSED_BYTES) return parseWhole(body.bytes);
    const seen = this.#scan?.values;
    return { model: requireModel(seen?.get("model")), stream: seen?.get("stream") === true };
  }
}

/** Bytes of JSON up to which a body is parsed; a larger one is scanned for its label only, and its backend judges it. */
const PARSED_BYTES = HELD_BODY_BYTES;

const WANTED = new Set(["model", "stream"]);

function requireJson(request: Request): void {
  const type = request.headers.get("content-type");
  // Go's broker never looked, and curl -d says x-www-form-urlencoded: only a type that cannot be meant is refused.
  if (type !== null && (type.startsWith("multipart/") || type.startsWith("image/") || type.startsWith("audio/"))) {
    throw new NfrxError("unsupported_media_type", "the content type must be application/json", {
      param: "content-type",
    });
  }
  const encoding = request.headers.get("content-encoding");
  if (encoding !== null && encoding !== "identity") {
    throw new NfrxError("unsupported_media_type", "a compressed request body is not supported", {
      param: "content-encoding",
    });
  }
}

function parseWhole(bytes: Uint8Array): Label {
  let json: unknown;
  try {
    json = JSON.parse(asText(bytes));
  } catch {
    throw new NfrxError("invalid_request", "the request body is not valid JSON");
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new NfrxError("invalid_request", "the request body must be a JSON object");
  }
  const model: unknown = "model" in json ? json.model : undefined;
  const stream: unknown = "stream" in json ? json.stream : undefined;
  return { model: requireModel(model), stream: stream === true, json };
}

function requireModel(model: unknown): string {
  if (typeof model !== "string" || model === "") {
    throw new NfrxError("invalid_request", "no model: the field `model` must name one", { param: "model" });
  }
  if (model.length > NAME_MAX) {
    throw new NfrxError("invalid_request", `the field \`model\` is longer than ${NAME_MAX} characters`, {
      param: "model",
    });
  }
  return model;
}
