import type { ServerResponse } from "node:http";

/**
 * Writes a Response to a node:http answer: the head at once, then every chunk of the body as one write, each after the one before has left.
 * Rejects when the body fails; the caller then destroys the socket, which is how an answer is cut. Ends in silence when the client is gone.
 */
export async function sendResponse(response: Response, out: ServerResponse, signal: AbortSignal): Promise<void> {
  const reader = response.body?.getReader();
  const gone = Promise.withResolvers<"gone">();
  const onAbort = () => gone.resolve("gone");
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    if (signal.aborted) return;
    out.writeHead(response.status, response.statusText, [...response.headers].flat());
    out.flushHeaders();
    while (reader) {
      const next = await Promise.race([reader.read(), gone.promise]);
      if (next === "gone") return;
      if (next.done) break;
      if ((await Promise.race([write(out, next.value), gone.promise])) === "gone") return;
    }
    out.end();
  } finally {
    signal.removeEventListener("abort", onAbort);
    // Not awaited: a body that hangs may never confirm it.
    reader?.cancel().catch(() => undefined);
  }
}

function write(out: ServerResponse, chunk: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    out.write(chunk, error => (error ? reject(error) : resolve()));
  });
}
