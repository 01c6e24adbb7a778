// The broker's administration, over its control socket or over HTTPS.
import { z } from "zod";
import { messageOf } from "../../lib/errors.ts";
import { isLoopback } from "../../lib/origin-guard.ts";
import { LOCAL_USER_HEADER } from "../http/access/local-authenticator.ts";
import { UsageError } from "./usage-error.ts";

/** Milliseconds that an answer may take. */
const ANSWER_MS = 30_000;

/** Where the broker is: on this machine by its socket, or at an address with an operator's key. */
export type Target = { readonly socket: string } | { readonly server: string; readonly key: string };

const failed = z.object({ error: z.object({ message: z.string() }) });

/** Asks the broker. Throws an error that says what went wrong. */
export class AdminApi {
  readonly #base: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #socket: string | undefined;

  /** Throws for plain HTTP to another machine: the key would travel in the clear. */
  constructor(
    private readonly target: Target,
    user: string,
  ) {
    if ("socket" in target) {
      this.#base = "http://localhost";
      this.#headers = { [LOCAL_USER_HEADER]: user };
      this.#socket = target.socket;
      return;
    }
    const url = URL.parse(target.server.replace(/^ws(s?):/, "http$1:"));
    if (url === null || !/^https?:$/.test(url.protocol))
      throw new UsageError(`--server: "${target.server}" is not a URL such as https://ai.example`);
    if (url.protocol === "http:" && !isLoopback(url.hostname))
      throw new UsageError(`--server: ${target.server} is not https: the key would travel unencrypted`);
    this.#base = url.origin;
    this.#headers = { authorization: `Bearer ${target.key}` };
  }

  get(path: string, query: Readonly<Record<string, string | undefined>> = {}): Promise<unknown> {
    return this.#ask("GET", path, query, undefined);
  }

  /** The body as it came, for answers that are no JSON. */
  async text(path: string, query: Readonly<Record<string, string | undefined>>): Promise<string> {
    return (await this.#fetch("GET", path, query, undefined)).text();
  }

  /** The same as bytes. */
  async bytes(path: string): Promise<Uint8Array> {
    return (await this.#fetch("GET", path, {}, undefined)).bytes();
  }

  post(path: string, body: object = {}): Promise<unknown> {
    return this.#ask("POST", path, {}, body);
  }

  patch(path: string, body: object): Promise<unknown> {
    return this.#ask("PATCH", path, {}, body);
  }

  delete(path: string): Promise<unknown> {
    return this.#ask("DELETE", path, {}, undefined);
  }

  async #ask(method: string, path: string, query: Query, body: object | undefined): Promise<unknown> {
    const response = await this.#fetch(method, path, query, body);
    return response.status === 204 ? undefined : response.json();
  }

  async #fetch(method: string, path: string, query: Query, body: object | undefined): Promise<Response> {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, value);
    const asked = search.size === 0 ? path : `${path}?${search}`;
    let response: Response;
    try {
      response = await fetch(`${this.#base}${asked}`, {
        method,
        headers: { ...this.#headers, ...(body && { "content-type": "application/json" }) },
        ...(body && { body: JSON.stringify(body) }),
        ...(this.#socket !== undefined && { unix: this.#socket }),
        redirect: "error",
        signal: AbortSignal.timeout(ANSWER_MS),
      });
    } catch (error) {
      throw new Error(this.#unreachable(error));
    }
    if (response.ok) return response;
    const said = failed.safeParse(await response.json().catch(() => undefined));
    throw new Error(said.success ? said.data.error.message : `the broker answered ${response.status}`);
  }

  #unreachable(error: unknown): string {
    if ("server" in this.target) return `${this.target.server} cannot be reached: ${messageOf(error)}`;
    return `no broker answers at ${this.target.socket}: is it running, and may you open the socket? For a broker elsewhere use --server with ADMIN_KEY`;
  }
}

type Query = Readonly<Record<string, string | undefined>>;
