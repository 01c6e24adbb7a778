import type { HeaderPairs } from "../../lib/http.ts";

/** One HTTP request of MCP's Streamable HTTP transport, on its way to a private server. */
export interface ProviderRequest {
  method: string;
  /** What follows the relay's own address: "" or a path, and the query. */
  rest: string;
  headers: HeaderPairs;
  /** The whole body, or null. Requests are bounded by the broker, so it is held. */
  body: Uint8Array | null;
  /** Aborts when whoever asked has gone away. */
  signal: AbortSignal;
}

/** A private MCP server, however it is reached. */
export interface Provider {
  /**
   * Answers as a Streamable HTTP server does; the body of an event stream comes as it is made. Rejects with an NfrxError
   * when the server cannot be asked.
   */
  fetch(request: ProviderRequest): Promise<Response>;
  /** Its own metadata as a protected resource (RFC 9728), where it can have such. */
  metadata?(signal: AbortSignal): Promise<Response>;
  /** Makes sure that the server is there. Rejects with the reason when it is not. */
  probe(signal: AbortSignal): Promise<void>;
  /** Sessions that it keeps, for the agent's metrics. */
  readonly sessions: number;
  /** Ends everything that it holds: children, connections. */
  close(): Promise<void>;
}
