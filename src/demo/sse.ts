/**
 * Responds with the given events, each produced after the client has read the previous one. When `signal` aborts, the
 * client is gone: the generator is ended and produces nothing more.
 */
export function sseResponse(events: AsyncGenerator<string>, signal: AbortSignal): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const next = await events.next();
          if (!next.done && !signal.aborted) return controller.enqueue(encoder.encode(next.value));
          await events.return(undefined);
        } catch (error) {
          if (!signal.aborted) return controller.error(error);
        }
        controller.close();
      },
      async cancel() {
        await events.return(undefined);
      },
    },
    { highWaterMark: 0 },
  );
  return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-cache" } });
}
