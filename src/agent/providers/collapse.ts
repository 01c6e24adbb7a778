import { pipeline, Readable, type Transform } from "node:stream";
import { constants, createBrotliDecompress, createUnzip, createZstdDecompress } from "node:zlib";
import { NfrxError } from "../../lib/errors.ts";
import type { HeaderPairs } from "../../lib/http.ts";
import { Fold } from "../../protocol/mcp-fold.ts";
import { idTextOf } from "../../protocol/mcp-rpc.ts";

/**
 * Converts an event stream to a JSON response: the response to the request with this text, for relays without
 * streaming. Other messages of the server are dropped. Any other response is returned unchanged.
 */
export async function collapsed(response: Response, request: string): Promise<Response> {
  if (!(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) return response;
  const headers: HeaderPairs = [];
  response.headers.forEach((value, name) => {
    if (!REPLACED.has(name)) headers.push([name, value]);
  });
  const idText = idTextOf(request);
  const id: unknown = JSON.parse(idText);
  const fold = new Fold(
    { status: response.status, headers: [["content-type", "text/event-stream"]] },
    { id: typeof id === "string" || typeof id === "number" ? id : undefined, idText },
  );
  for await (const chunk of plain(response)) {
    fold.feed(chunk);
    // A stream that continues has nothing more for this request; leaving the loop cancels it.
    if (fold.found !== undefined) break;
  }
  return new Response(fold.found ?? fold.end(), {
    status: response.status,
    headers: [...headers, ["content-type", "application/json"]],
  });
}

/** Headers that do not apply to a complete response. */
const REPLACED: ReadonlySet<string> = new Set(["content-type", "content-length", "content-encoding"]);

/** An event is wanted when it is there, not when its block is full. */
const AS_IT_COMES = { flush: constants.Z_SYNC_FLUSH };

/** Decoders by content encoding; a server may encode the response regardless of the request. */
const DECODERS: ReadonlyMap<string, () => Transform> = new Map([
  ["gzip", () => createUnzip(AS_IT_COMES)],
  ["x-gzip", () => createUnzip(AS_IT_COMES)],
  ["deflate", () => createUnzip(AS_IT_COMES)],
  ["br", () => createBrotliDecompress()],
  ["zstd", () => createZstdDecompress()],
]);

/** The decoded bytes of a body. Throws `upstream_error` for an encoding that is not known. */
function plain({ body, headers }: Response): AsyncIterable<Uint8Array> {
  const encoding = headers.get("content-encoding")?.trim().toLowerCase() ?? "identity";
  const chunks: AsyncIterable<Uint8Array> = body ?? Readable.from([]);
  if (encoding === "identity" || encoding === "") return chunks;
  const decoder = DECODERS.get(encoding)?.();
  if (decoder === undefined)
    throw new NfrxError("upstream_error", `the provider's event stream has the unsupported encoding ${encoding}`);
  // A failure at either end ends both; the loop over the decoder throws it.
  return pipeline(Readable.from(chunks), decoder, () => {});
}
