import { RATE_HEADERS } from "../rate-headers.ts";

/** Headers of responses that pages may read. */
const EXPOSED = [
  "x-request-id, retry-after, mcp-session-id, www-authenticate, x-transfer-length, server-timing, x-nfrx-model, x-nfrx-worker",
  ...RATE_HEADERS,
].join(", ");

/** Headers that the official SDKs (OpenAI's, Anthropic's, Ollama's, MCP's) and our own clients send. */
const ALLOWED_HEADERS: readonly string[] = [
  "accept",
  "accept-language",
  "anthropic-beta",
  "anthropic-dangerous-direct-browser-access",
  "anthropic-version",
  "api-key",
  "authorization",
  "cache-control",
  "content-type",
  "idempotency-key",
  "last-event-id",
  "mcp-method",
  "mcp-name",
  "mcp-protocol-version",
  "mcp-session-id",
  "openai-beta",
  "openai-organization",
  "openai-project",
  "traceparent",
  "tracestate",
  "x-api-key",
  "x-nfrx-queue",
  "x-request-id",
  "x-stainless-arch",
  "x-stainless-custom-poll-interval",
  "x-stainless-helper-method",
  "x-stainless-lang",
  "x-stainless-os",
  "x-stainless-package-version",
  "x-stainless-poll-helper",
  "x-stainless-retry-count",
  "x-stainless-runtime",
  "x-stainless-runtime-version",
  "x-stainless-timeout",
];

/** Maximum number of refused origins that are logged, each once, so that clients cannot grow the log. */
const REFUSED_LOGGED_MAX = 100;
/** Maximum length of an origin in the log, in characters. */
const ORIGIN_SHOWN = 200;

/** Answers browsers that ask from other origins. */
export class Cors {
  readonly #origins: ReadonlySet<string>;
  readonly #any: boolean;
  readonly #refused = new Set<string>();

  /** `allowed` are origins such as `https://app.example.com`, or `*`; none denies all. */
  constructor(
    allowed: readonly string[],
    /** Called once for each origin whose preflight was refused. */
    private readonly onRefused: (origin: string) => void = () => {},
  ) {
    this.#origins = new Set(allowed.map(origin => origin.replace(/(?<=[^/])\/$/, "").toLowerCase()));
    this.#any = this.#origins.has("*");
  }

  /** The answer to a preflight, or undefined when the request is none. */
  preflight(request: Request): Response | undefined {
    if (request.method !== "OPTIONS" || request.headers.get("access-control-request-method") === null) return undefined;
    const origin = request.headers.get("origin");
    if (!this.allows(origin)) {
      this.#noteRefused(origin ?? "");
      return new Response(null, { status: 403 });
    }
    const response = new Response(null, { status: 204 });
    const { headers } = response;
    headers.set("access-control-allow-methods", "GET, POST, PUT, DELETE, OPTIONS");
    headers.set("access-control-allow-headers", headersFor(request.headers.get("access-control-request-headers")));
    headers.set("access-control-max-age", "600");
    return this.decorate(request, response);
  }

  /** Lets the page of an allowed origin read the response. */
  decorate(request: Request, response: Response): Response {
    if (!this.allows(request.headers.get("origin"))) return response;
    response.headers.set("access-control-allow-origin", request.headers.get("origin") ?? "");
    response.headers.set("access-control-expose-headers", EXPOSED);
    response.headers.append("vary", "Origin");
    return response;
  }

  /** True when pages of this origin may call. */
  allows(origin: string | null): boolean {
    return origin !== null && (this.#any || this.#origins.has(origin.toLowerCase()));
  }

  #noteRefused(origin: string): void {
    const shown = origin.slice(0, ORIGIN_SHOWN);
    if (this.#refused.size >= REFUSED_LOGGED_MAX || this.#refused.has(shown)) return;
    this.#refused.add(shown);
    this.onRefused(shown);
  }
}

/** Request headers of an allowed page: those of SDKs, and those that this page requests. */
function headersFor(asked: string | null): string {
  const extra = (asked ?? "").split(",").map(name => name.trim().toLowerCase());
  return [...new Set([...ALLOWED_HEADERS, ...extra.filter(name => name !== "")])].join(", ");
}
