import type { HeaderPairs } from "../../lib/http.ts";
import { Fold } from "../../protocol/mcp-fold.ts";
import { idTextOf } from "../../protocol/mcp-rpc.ts";

/**
 * An answer in events as one in JSON: the response to the request with this text, for relays that are not to stream. What
 * else the server says on the way is dropped. Any other answer is returned as it is.
 */
export async function collapsed(response: Response, request: string): Promise<Response> {
  if (!(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) return response;
  const headers: HeaderPairs = [];
  response.headers.forEach((value, name) => {
    if (name !== "content-type" && name !== "content-length") headers.push([name, value]);
  });
  const idText = idTextOf(request);
  const id: unknown = JSON.parse(idText);
  const fold = new Fold(
    { status: response.status, headers: [["content-type", "text/event-stream"]] },
    { id: typeof id === "string" || typeof id === "number" ? id : undefined, idText },
  );
  for await (const chunk of response.body ?? []) {
    fold.feed(chunk);
    // A stream that goes on has nothing more to say to this request; leaving the loop cancels it.
    if (fold.found !== undefined) break;
  }
  return new Response(fold.found ?? fold.end(), {
    status: response.status,
    headers: [...headers, ["content-type", "application/json"]],
  });
}
