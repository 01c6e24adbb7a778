import type { Server } from "bun";
import type { Logger } from "../../../src/lib/log.ts";
import { Changes } from "../time/until.ts";

/** One request as a token server got it. */
export interface TokenRequest {
  /** Of the Authorization header, when it is Basic: id and secret, decoded as RFC 6749 asks. */
  basic: { id: string; secret: string } | undefined;
  form: Record<string, string>;
  userAgent: string | null;
}

/** Answers a request for a token; `undefined` lets the server answer by itself. */
type Answer = (request: TokenRequest, signal: AbortSignal) => Response | Promise<Response> | undefined;

interface TokenServerOptions {
  /** How a client may prove itself. */
  takes?: readonly ("basic" | "post")[];
  /** Seconds that a token lasts; undefined leaves it open. */
  lifetimeS?: number | undefined;
  /** Gives refresh tokens, each good for one use. */
  refresh?: boolean;
  tls?: { cert: string; key: string };
}

export const CLIENT = { clientId: "0b7e-client_1.a", clientSecret: "s3cret/with+odd:chars~" };

/** A small token server: gives `token-1`, `token-2`, … to CLIENT, and records who asked. */
export class TokenServer implements Disposable {
  readonly requests: TokenRequest[] = [];
  /** Stands in for the server's own answers while set. */
  answer: Answer | undefined;
  readonly options: TokenServerOptions;
  readonly #changes = new Changes();
  readonly #server: Server<undefined>;
  #given = 0;
  #refreshToken: string | undefined;

  constructor(options: TokenServerOptions = {}) {
    this.options = options;
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      ...(options.tls && { tls: options.tls }),
      fetch: request => this.#handle(request),
    });
  }

  get url(): string {
    return `${this.options.tls ? "https" : "http"}://127.0.0.1:${this.#server.port}/oauth/token`;
  }

  /** Resolves once that many requests have come. */
  asked(times: number): Promise<void> {
    return this.#changes.when(
      () => this.requests.length >= times,
      () => `${times} requests for a token, there were ${this.requests.length}`,
    );
  }

  [Symbol.dispose](): void {
    this.#server.stop(true);
  }

  async #handle(request: Request): Promise<Response> {
    if (new URL(request.url).pathname !== "/oauth/token") return new Response(null, { status: 404 });
    const seen: TokenRequest = {
      basic: basicOf(request.headers.get("authorization")),
      form: Object.fromEntries(new URLSearchParams(await request.text())),
      userAgent: request.headers.get("user-agent"),
    };
    this.requests.push(seen);
    this.#changes.notify();
    return (await this.answer?.(seen, request.signal)) ?? this.#give(seen);
  }

  #give({ basic, form }: TokenRequest): Response {
    const { takes = ["basic"], lifetimeS, refresh } = this.options;
    const byBasic = takes.includes("basic") && isClient(basic?.id, basic?.secret);
    const byPost = takes.includes("post") && isClient(form["client_id"], form["client_secret"]);
    if (!byBasic && !byPost)
      return refusal("invalid_client", "who is that?", 401, { "www-authenticate": 'Basic realm="tokens"' });
    if (form["grant_type"] === "refresh_token") {
      if (form["refresh_token"] !== this.#refreshToken) return refusal("invalid_grant", "this one is used up");
    } else if (form["grant_type"] !== "client_credentials") return refusal("unsupported_grant_type");
    this.#given++;
    this.#refreshToken = refresh ? `refresh-${this.#given}` : undefined;
    return Response.json({
      access_token: `token-${this.#given}`,
      token_type: "Bearer",
      ...(lifetimeS !== undefined && { expires_in: lifetimeS }),
      ...(refresh && { refresh_token: this.#refreshToken }),
    });
  }
}

export function refusal(error: string, description?: string, status = 400, headers = {}): Response {
  return Response.json({ error, error_description: description }, { status, headers });
}

function isClient(id: string | undefined, secret: string | undefined): boolean {
  return id === CLIENT.clientId && secret === CLIENT.clientSecret;
}

function basicOf(header: string | null): TokenRequest["basic"] {
  if (header === null || !header.startsWith("Basic ")) return undefined;
  const [id = "", secret = ""] = atob(header.slice(6))
    .split(":", 2)
    .map(part => decodeURIComponent(part.replaceAll("+", " ")));
  return { id, secret };
}

/** A provider that answers calls to those who bring a token that it takes, else 401. */
export class ProtectedProvider implements Disposable {
  /** The bearer tokens of the calls that came, in order. */
  readonly brought: (string | null)[] = [];
  readonly takes = new Set<string>();
  readonly #server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async request => {
      const token = /^Bearer (\S+)$/.exec(request.headers.get("authorization") ?? "")?.[1] ?? null;
      this.brought.push(token);
      if (token === null || !this.takes.has(token))
        return new Response("no", { status: 401, headers: { "www-authenticate": 'Bearer error="invalid_token"' } });
      const { id } = (await request.json()) as { id: number };
      return Response.json({ jsonrpc: "2.0", id, result: {} });
    },
  });

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}/mcp`;
  }

  [Symbol.dispose](): void {
    this.#server.stop(true);
  }
}

/** A logger that keeps what it is told. */
export class Lines implements Logger {
  readonly lines: { level: string; fields: object; message: string }[] = [];

  get text(): string {
    return JSON.stringify(this.lines);
  }

  /** The messages of one level. */
  at(level: string): string[] {
    return this.lines.filter(line => line.level === level).map(line => line.message);
  }

  debug = (fields: object, message: string) => this.#add("debug", fields, message);
  info = (fields: object, message: string) => this.#add("info", fields, message);
  warn = (fields: object, message: string) => this.#add("warn", fields, message);
  error = (fields: object, message: string) => this.#add("error", fields, message);
  fatal = (fields: object, message: string) => this.#add("fatal", fields, message);

  #add(level: string, fields: object, message: string): void {
    this.lines.push({ level, fields, message });
  }
}
