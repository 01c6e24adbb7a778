/** The versions that know sessions, newest first: those that MCP's own SDK accepts in MCP-Protocol-Version. */
export const SESSION_VERSIONS = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05", "2024-10-07"] as const;

/** The first version without sessions. */
export const FIRST_STATELESS_VERSION = "2026-07-28";

export function isStateless(version: string): boolean {
  // Versions are dates, and their order is that of their text.
  return version >= FIRST_STATELESS_VERSION;
}

/** Where a request names the version it speaks. */
export const PROTOCOL_VERSION = "io.modelcontextprotocol/protocolVersion";

export const CLIENT_INFO = "io.modelcontextprotocol/clientInfo";

export const CLIENT_CAPABILITIES = "io.modelcontextprotocol/clientCapabilities";
