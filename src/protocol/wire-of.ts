import type { Link } from "./link.ts";
import { WireMcpV1 } from "./mcp-v1.ts";
import { WireV1 } from "./v1.ts";
import { WireV2 } from "./v2.ts";
import type { Wire } from "./wire.ts";

/** The wire of a version, as a link's option wants it. Only v1 differs between workers and relays of MCP. */
export function wireOf(version: 1 | 2, kind: "worker" | "mcp" = "worker"): (link: Link) => Wire {
  if (version === 2) return link => new WireV2(link);
  return kind === "mcp" ? link => new WireMcpV1(link) : link => new WireV1(link);
}
