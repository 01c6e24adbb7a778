// A plain proxy, which passes everything on, but for what `alter` does to an answer.
import type { Reach } from "../kit/mcp/tunnel.ts";

export function throughProxy(target: string, alter: (answer: Response) => Response = answer => answer): Reach {
  const { origin } = new URL(target);
  const listener = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const answer = await fetch(`${origin}${pathname}${search}`, {
        method: request.method,
        // Its Host too, by which the fixture knows a stranger.
        headers: request.headers,
        body: request.body,
        signal: request.signal,
        redirect: "manual",
        decompress: false,
        keepalive: false,
        timeout: false,
      });
      return alter(answer);
    },
  });
  return {
    url: `http://127.0.0.1:${listener.port}${new URL(target).pathname}`,
    [Symbol.asyncDispose]: () => listener.stop(true),
  };
}
