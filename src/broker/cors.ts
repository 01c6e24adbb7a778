/** Answers browsers that ask from other origins. */
export class Cors {
  readonly #origins: ReadonlySet<string>;
  readonly #any: boolean;

  /** `allowed` are origins such as `https://app.example.com`, or `*`; none denies all. */
  constructor(allowed: readonly string[]) {
    this.#origins = new Set(allowed.map(origin => origin.replace(/\/$/, "").toLowerCase()));
    this.#any = this.#origins.has("*");
  }

  /** The answer to a preflight, or undefined when the request is none. */
  preflight(request: Request): Response | undefined {
    if (request.method !== "OPTIONS" || request.headers.get("access-control-request-method") === null) return undefined;
    const response = new Response(null, { status: this.allows(request.headers.get("origin")) ? 204 : 403 });
    if (response.status === 403) return response;
    response.headers.set("access-control-allow-methods", "GET, POST, DELETE, OPTIONS");
    const asked = request.headers.get("access-control-request-headers");
    if (asked !== null) response.headers.set("access-control-allow-headers", asked);
    response.headers.set("access-control-max-age", "600");
    return this.decorate(request, response);
  }

  /** Lets the page of an allowed origin read the response. */
  decorate(request: Request, response: Response): Response {
    if (!this.allows(request.headers.get("origin"))) return response;
    response.headers.set("access-control-allow-origin", request.headers.get("origin") ?? "");
    response.headers.set(
      "access-control-expose-headers",
      "x-request-id, retry-after, mcp-session-id, www-authenticate, x-transfer-length, server-timing, x-nfrx-worker",
    );
    response.headers.append("vary", "Origin");
    return response;
  }

  /** True when pages of this origin may call. */
  allows(origin: string | null): boolean {
    return origin !== null && (this.#any || this.#origins.has(origin.toLowerCase()));
  }
}
