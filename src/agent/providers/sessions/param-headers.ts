// Arguments of tools that a client of the stateless era repeats in headers, as the tool's own schema asks (SEP-2243).
import { headerOf } from "../../../lib/http.ts";
import type { Clock } from "../../../lib/time.ts";
import { at, isObject, type Message } from "../channels/message.ts";
import type { ProviderRequest } from "../provider.ts";
import { decodedHeader, mismatch } from "./header-values.ts";
import type { SharedServer } from "./shared-server.ts";

/** Time in milliseconds for which a list of tools is considered current. */
const TOOLS_FRESH_MS = 60_000;
/** Minimum interval between two queries of the list of tools, in milliseconds. */
const TOOLS_AGAIN_MS = 1_000;
/** Time in milliseconds for a server to list its tools before a call continues without the list. */
const TOOLS_LIST_MS = 5_000;
/** Maximum pages of a list of tools. */
const TOOL_PAGES_MAX = 100;

/** A header that repeats an argument. */
interface Declared {
  readonly header: string;
  readonly path: readonly string[];
}

/** Knows which headers the tools of a server ask for, and holds calls against them. */
export class ParamHeaders {
  #server: SharedServer | undefined;
  #tools: ReadonlyMap<string, readonly Declared[]> = new Map();
  #since = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(private readonly clock: Clock) {}

  /** The error for a call whose headers and arguments differ. */
  async refusal(server: SharedServer, request: ProviderRequest, call: Message): Promise<Response | undefined> {
    if (call.kind !== "request" || call.method !== "tools/call") return undefined;
    const name = at(call.value, "params", "name");
    if (typeof name !== "string") return undefined;
    if (server !== this.#server) {
      this.#server = server;
      this.#since = Number.NEGATIVE_INFINITY;
    }
    await this.#refresh(server, call, this.#tools.has(name) ? TOOLS_FRESH_MS : TOOLS_AGAIN_MS);
    const refusal = this.#check(name, request, call);
    if (refusal === undefined) return undefined;
    // The tool may have changed meanwhile: do not reject calls for an outdated rule.
    await this.#refresh(server, call, TOOLS_AGAIN_MS);
    return this.#check(name, request, call);
  }

  #check(name: string, request: ProviderRequest, call: Message): Response | undefined {
    for (const { header, path } of this.#tools.get(name) ?? []) {
      const argument = at(call.value, "params", "arguments", ...path);
      const text = textOf(argument);
      if (text === undefined) continue;
      const value = headerOf(request.headers, header)?.trim();
      const decoded = value === undefined ? undefined : decodedHeader(value);
      if (decoded === text || (typeof argument === "number" && isSameNumber(decoded, argument))) continue;
      const what = `the body carries ${path.join(".")}=${text}, the ${header} header ${value ?? "is absent"}`;
      return mismatch(call, value ?? "(missing)", what);
    }
    return undefined;
  }

  /** Reads the list of tools, unless that was done less than `ms` ago. */
  async #refresh(server: SharedServer, call: Message, ms: number): Promise<void> {
    if (this.clock.now() - this.#since < ms) return;
    // The call's own envelope, so that the list is the one that its client would get.
    this.#reading ??= this.#read(server, at(call.value, "params", "_meta")).finally(() => {
      this.#reading = undefined;
    });
    await this.#reading;
  }

  async #read(server: SharedServer, envelope: unknown): Promise<void> {
    const tools = new Map<string, readonly Declared[]>();
    const { progressToken: _, ...meta } = isObject(envelope) ? envelope : {};
    let cursor: unknown;
    const timeout = new AbortController();
    const timer = this.clock.after(TOOLS_LIST_MS, () => timeout.abort(new Error("too late")), true);
    try {
      for (let page = 0; page < TOOL_PAGES_MAX; page++) {
        const params = { ...(cursor === undefined ? {} : { cursor }), _meta: meta };
        const answer = await server.call("tools/list", params, timeout.signal);
        const list = at(answer.value, "result", "tools");
        for (const tool of Array.isArray(list) ? list : []) {
          const name = at(tool, "name");
          if (typeof name === "string") tools.set(name, declaredIn(at(tool, "inputSchema"), []));
        }
        cursor = at(answer.value, "result", "nextCursor");
        if (typeof cursor !== "string") break;
      }
      this.#tools = tools;
    } catch {
      // A server that does not list its tools asks for no headers; whether it is there the call itself will show.
    } finally {
      timer.cancel();
    }
    this.#since = this.clock.now();
  }
}

/** Only values under `properties` can be named by a header. */
function declaredIn(schema: unknown, path: readonly string[]): Declared[] {
  const header = at(schema, "x-mcp-header");
  const here =
    typeof header === "string" && path.length > 0 ? [{ header: `mcp-param-${header.toLowerCase()}`, path }] : [];
  const properties = at(schema, "properties");
  if (!isObject(properties)) return here;
  return [...here, ...Object.entries(properties).flatMap(([key, child]) => declaredIn(child, [...path, key]))];
}

/** An argument as a header has it; undefined when a header cannot have it. */
function textOf(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  if (typeof value === "boolean") return `${value}`;
  if (typeof value !== "number" || (Number.isInteger(value) && !Number.isSafeInteger(value))) return undefined;
  return `${value}`;
}

function isSameNumber(text: string | undefined, value: number): boolean {
  return text !== undefined && /^-?\d+(\.\d+)?$/.test(text) && Number(text) === value;
}
