import { serve } from "../lib/listen.ts";
import { chat } from "./chat.ts";
import type { DemoContext } from "./context.ts";
import { embed } from "./embeddings.ts";
import { ApiError, apiErrorResponse } from "./errors.ts";
import { getModel, listDemoModels } from "./models.ts";
import { respond } from "./responses.ts";

type Handler = (request: Request, context: DemoContext) => Response | Promise<Response>;

export interface DemoBackendOptions {
  /** 0 or absent: any free port. */
  readonly port?: number;
  /** Milliseconds between two streamed words; 30 by default. */
  readonly wordMs?: number;
}

export interface DemoBackend {
  /** The OpenAI base URL: `http://127.0.0.1:PORT/v1`. */
  readonly url: string;
  /** Stops listening and closes open connections. */
  stop(): Promise<void>;
}

/** The map of the demo backend; a trailing `/*` stands for one more segment. */
const routes: Readonly<Record<string, Readonly<Record<string, Handler>>>> = {
  "/v1/models": { GET: listDemoModels },
  "/v1/models/*": { GET: getModel },
  "/v1/chat/completions": { POST: chat },
  "/v1/responses": { POST: respond },
  "/v1/embeddings": { POST: embed },
};

/**
 * Starts the toy OpenAI-compatible backend of `nfrx demo`, which is used if no real one responds. It has no model
 * inside: `demo-echo` repeats the last user message, `demo-embed` hashes words into vectors. Listens only on 127.0.0.1.
 */
export function startDemoBackend(options: DemoBackendOptions = {}): DemoBackend {
  const { port = 0, wordMs = 30 } = options;
  const server = serve({
    option: "the demo's backend",
    address: { host: "127.0.0.1", port },
    idleSeconds: 255,
    // The readers in body.ts enforce the limit, so that a client gets an OpenAI error instead of Bun's empty 413.
    maxBodyBytes: Number.MAX_SAFE_INTEGER,
    answer: (request, server) => answer(request, wordMs, () => server.timeout(request, 0)),
  });
  return {
    url: `http://127.0.0.1:${server.port}/v1`,
    stop: () => server.stop(true),
  };
}

async function answer(request: Request, wordMs: number, streams: () => void): Promise<Response> {
  const { pathname } = new URL(request.url);
  try {
    const slash = pathname.lastIndexOf("/");
    const methods = routes[pathname] ?? routes[`${pathname.slice(0, slash)}/*`];
    if (!methods) throw new ApiError(404, `Unknown request URL: ${request.method} ${pathname}`, "unknown_url");
    const handler = methods[request.method];
    if (!handler) throw new ApiError(405, `${pathname} does not support ${request.method}`, "method_not_allowed");
    return await handler(request, { wordMs, name: segment(pathname.slice(slash + 1)), streams });
  } catch (error) {
    return apiErrorResponse(error);
  }
}

function segment(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}
