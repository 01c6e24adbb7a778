import { asText } from "../../lib/bytes.ts";
import { NfrxError } from "../../lib/errors.ts";
import { TopLevelScan } from "../../lib/json-scan.ts";
import { HELD_BODY_BYTES, type RequestBody, type Scanned } from "./body.ts";
import { type Label, type LabelReader, requireModel } from "./label.ts";

/** Bytes of JSON up to which a body is parsed; a larger one is scanned for its label only, and its backend judges it. */
const PARSED_BYTES = HELD_BODY_BYTES;

const WANTED: readonly string[] = ["model", "stream"];

/** Reads `model` and `stream` at the top level of a JSON body. */
export class JsonLabel implements LabelReader {
  /** A backend answers when it has all of it anyway. */
  readonly readOn = true;
  readonly decode = true;
  #scan: TopLevelScan | undefined;

  constructor(
    request: Request,
    /** Fields that are wanted besides. */
    private readonly further: readonly { readonly name: string }[] = [],
  ) {
    requireJson(request);
  }

  scan(chunk: Uint8Array): Scanned {
    this.#scan ??= new TopLevelScan(new Set([...WANTED, ...this.further.map(({ name }) => name)]));
    this.#scan.feed(chunk);
    return this.#scan.complete || (this.#scan.values.has("model") && "known");
  }

  read(body: RequestBody): Label {
    if (body.whole && body.bytes.length <= PARSED_BYTES) return parseWhole(body.bytes);
    const seen = this.#scan?.values;
    return {
      model: requireModel(seen?.get("model"), "field"),
      stream: seen?.get("stream") === true,
      fields: seen ?? NO_FIELDS,
    };
  }
}

const NO_FIELDS: ReadonlyMap<string, unknown> = new Map();

function requireJson({ headers }: Request): void {
  const type = headers.get("content-type");
  // Go's broker never looked, and curl -d says x-www-form-urlencoded: only a type that cannot be meant is refused.
  if (type !== null && (type.startsWith("multipart/") || type.startsWith("image/") || type.startsWith("audio/"))) {
    throw new NfrxError("unsupported_media_type", "the content type must be application/json", {
      param: "content-type",
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
  return { model: requireModel(model, "field"), stream: stream === true, json };
}
