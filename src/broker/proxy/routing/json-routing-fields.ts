import { asText } from "../../../lib/bytes.ts";
import { NfrxError } from "../../../lib/errors.ts";
import { TopLevelScan } from "../../../lib/json-scan.ts";
import { HELD_BODY_BYTES, type RequestBody, type Scanned } from "../../http/body/body.ts";
import { JsonModelAt, WholeJsonModel } from "./model-name.ts";
import {
  NO_USUAL_MODEL,
  type RoutingFields,
  type RoutingFieldsReader,
  requireModel,
  type UsualModel,
} from "./routing-fields.ts";

/** Bytes of JSON up to which a body is parsed; a larger one is scanned for its label only, and its backend judges it. */
const PARSED_BYTES = HELD_BODY_BYTES;

const WANTED: readonly string[] = ["model", "stream"];

/** Reads `model` and `stream` at the top level of a JSON body. */
export class JsonRoutingFields implements RoutingFieldsReader {
  /** A backend answers when it has all of it anyway. */
  readonly readOn = true;
  readonly decode = true;
  #scan: TopLevelScan | undefined;

  constructor(
    request: Request,
    /** Additional fields to read. */
    private readonly further: readonly { readonly name: string }[] = [],
    private readonly usual = NO_USUAL_MODEL,
  ) {
    requireJson(request);
  }

  scan(chunk: Uint8Array): Scanned {
    this.#scan ??= new TopLevelScan(new Set([...WANTED, ...this.further.map(({ name }) => name)]));
    this.#scan.feed(chunk);
    return this.#scan.complete || (this.#scan.values.has("model") && "known");
  }

  read(body: RequestBody): RoutingFields {
    if (body.whole && body.bytes.length <= PARSED_BYTES) return parseWhole(body, this.usual);
    const seen = this.#scan?.values;
    // A body that is too large to be parsed has to name its model.
    const model = requireModel(seen?.get("model"), "field", NO_USUAL_MODEL);
    const span = this.#scan?.spans.get("model");
    return {
      model,
      stream: seen?.get("stream") === true,
      fields: seen ?? NO_FIELDS,
      ...(span && { name: new JsonModelAt(span) }),
    };
  }
}

const NO_FIELDS: ReadonlyMap<string, unknown> = new Map();

function requireJson({ headers }: Request): void {
  const type = headers.get("content-type");
  // The 0.9 broker never checked, and curl -d sends x-www-form-urlencoded: only types that cannot be meant are refused.
  if (type !== null && (type.startsWith("multipart/") || type.startsWith("image/") || type.startsWith("audio/"))) {
    throw new NfrxError("unsupported_media_type", "the content type must be application/json", {
      param: "content-type",
    });
  }
}

function parseWhole(body: RequestBody, usual: UsualModel): RoutingFields {
  const { bytes } = body;
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
  const unnamed = model === undefined || model === null;
  return {
    model: requireModel(model, "field", usual),
    name: new WholeJsonModel(bytes),
    ...(unnamed && { unnamed }),
    stream: stream === true,
    json,
  };
}
