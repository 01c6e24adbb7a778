// A stdio provider, and what calls it, without a network between them.
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import type { ClientCapabilities } from "@modelcontextprotocol/sdk/types.js";
import type { Provider } from "../../../src/agent/providers/provider.ts";
import type { SessionManager } from "../../../src/agent/providers/sessions/manager.ts";
import { type StdioOptions, stdioProvider } from "../../../src/agent/providers/stdio.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { systemClock } from "../../../src/lib/time.ts";

/** The programs that stand for a private server, in test/kit. */
export type Fixture = "fixture" | "raw" | "stateless";

/** Options of a provider for one of the fixtures. */
function fixtureOptions(fixture: Fixture, args: readonly string[] = []): StdioOptions {
  return {
    command: process.execPath,
    args: [join(import.meta.dir, `${fixture}.ts`), ...args],
    env: {},
    passEnv: [],
    workdir: undefined,
    lineBytes: 16 * 1024 * 1024,
    initTimeoutMs: 20_000,
    sessionIdleMs: 0,
    maxSessions: 64,
    sessionlessCompat: true,
    shared: false,
    protocolVersion: undefined,
    clock: systemClock,
    log: silentLog,
  };
}

export interface Reach extends AsyncDisposable {
  readonly provider: SessionManager;
  /** Sends a request to the provider, as a client's fetch does to a server. */
  readonly fetch: (url: string | URL, init?: RequestInit) => Promise<Response>;
}

/** A provider for a fixture; it is closed when the scope ends. */
export function reach(fixture: Fixture, more: Partial<StdioOptions> = {}, args: readonly string[] = []): Reach {
  const provider = stdioProvider({ ...fixtureOptions(fixture, args), ...more });
  return { provider, fetch: fetchOf(provider), [Symbol.asyncDispose]: () => provider.close() };
}

/** The provider as a fetch. */
export function fetchOf(provider: Provider): Reach["fetch"] {
  return async (url, init = {}) => {
    const request = new Request(`${url}`, init);
    const { pathname, search } = new URL(request.url);
    return provider.fetch({
      method: request.method,
      rest: `${pathname === "/" ? "" : pathname}${search}`,
      headers: [...request.headers],
      body: request.body === null ? null : new Uint8Array(await request.arrayBuffer()),
      signal: init.signal ?? new AbortController().signal,
    });
  };
}

export const URL_OF_PROVIDER = new URL("http://provider/");

/** A connected client of MCP's own SDK. */
export async function connect(
  { fetch }: Pick<Reach, "fetch">,
  capabilities: ClientCapabilities = {},
  prepare: (client: Client) => void = () => {},
): Promise<Client> {
  const client = new Client({ name: "test", version: "1" }, { capabilities });
  prepare(client);
  // The SDK's transport allows an undefined session id where its interface, read exactly, does not.
  const transport: object = new StreamableHTTPClientTransport(URL_OF_PROVIDER, { fetch });
  await client.connect(transport as Parameters<Client["connect"]>[0]);
  return client;
}

/** Calls a tool and returns the text that it says. */
export async function callText(client: Client, name: string, args: Record<string, unknown> = {}): Promise<string> {
  return textOf(await client.callTool({ name, arguments: args }));
}

/** The first text in the result of a tool. */
export function textOf(result: object): string {
  const content = "content" in result && Array.isArray(result.content) ? result.content : [];
  const [first]: { text?: unknown }[] = content;
  return typeof first?.text === "string" ? first.text : JSON.stringify(result);
}
