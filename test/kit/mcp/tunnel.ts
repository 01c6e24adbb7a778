// A private MCP server behind a broker and its nfrx-mcp, both as processes.
import { type McpProvider, Processes } from "../processes.ts";

export type { McpProvider };

/** An address and what stands behind it, until it is disposed of. */
export interface Reach extends AsyncDisposable {
  readonly url: string;
}

const ID = "relay";

/** Starts a broker and an nfrx-mcp in front of a server; the relay is registered by the time this resolves. */
export async function throughTunnel(provider: McpProvider): Promise<Reach> {
  const processes = new Processes();
  try {
    const broker = await processes.broker();
    await processes.relay(broker, provider, { CLIENT_ID: ID });
    return { url: broker.relayUrl(ID), [Symbol.asyncDispose]: () => processes[Symbol.asyncDispose]() };
  } catch (thrown) {
    await processes[Symbol.asyncDispose]();
    throw thrown;
  }
}
