import type { HeaderPairs } from "../../lib/http.ts";

/** One HTTP request of MCP's Streamable HTTP transport, on its way to a private server. */
export interface ProviderRequest {
  method: string;
  /** Path and query below the relay's address, or "". */
  rest: string;
  headers: HeaderPairs;
  /** The whole body, or null. Requests are bounded by the broker, so it is held. */
  body: Uint8Array | null;
  /** Aborts when the caller has disconnected. */
  signal: AbortSignal;
}

/** A private MCP server, however it is reached. */
export interface Provider {
  /**
   * Responds like a Streamable HTTP server; the body of an event stream is produced as it arrives. Rejects with an
   * NfrxError if the server is unavailable.
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
