import { discard } from "../../../lib/bytes.ts";
import { type Clock, pause } from "../../../lib/time.ts";
import type { ChunkReader } from "./body.ts";

/** Bytes of a refused upload that are taken to its end, so that its connection serves on. */
export const REFUSED_UPLOAD_BYTES = 1024 * 1024;
/** Milliseconds that a larger refused upload is taken for: so long its sender has to read the answer and to stop. */
export const REFUSED_UPLOAD_MS = 1000;

/**
 * The answer for a request whose body may still be on its way, from which some may have been read by `source`. The answer
 * leaves at once. Bun would then swallow the rest, however much that is, or cut the connection at once, by which many a
 * client loses the answer; so the connection ends when the upload does, or a little later.
 */
export function refuseUpload(
  answer: Response,
  request: Request,
  clock: Clock,
  source: ChunkReader | undefined = request.bodyUsed ? undefined : request.body?.getReader(),
): Response {
  const announced = Number(request.headers.get("content-length") ?? Number.POSITIVE_INFINITY);
  if (source === undefined || announced <= REFUSED_UPLOAD_BYTES || request.signal.aborted) {
    source?.cancel().catch(() => {});
    return answer;
  }
  const timeout = new AbortController();
  const { headers, status } = answer;
  headers.set("connection", "close");
  const body = new ReadableStream<Uint8Array>({
    async start(controller) {
      controller.enqueue(new Uint8Array(await answer.arrayBuffer()));
      void Promise.race([swallow(source), pause(clock, REFUSED_UPLOAD_MS, timeout.signal)]).then(() => {
        if (timeout.signal.aborted) return;
        timeout.abort();
        controller.close();
        source.cancel().catch(() => {});
      });
    },
    cancel: () => timeout.abort(),
  });
  return new Response(body, { status, headers });
}

/** Discards the stream to its end. Never rejects. */
async function swallow(source: ChunkReader): Promise<void> {
  try {
    for (;;) {
      const { value } = await source.read();
      if (value === undefined) return;
      discard(value);
    }
  } catch {
    // the sender is gone
  }
}
