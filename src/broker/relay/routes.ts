// The routes of MCP relays.
import { RESOURCE_METADATA_PATH } from "../../lib/well-known.ts";
import type { HttpMethod, Route } from "../../modules/route.ts";
import { connectRoute, type Upgrader } from "../pool/upgrade.ts";
import type { Relays } from "./relays.ts";

/** The relays' own door, the way to each of them, and what each says of how it is protected. */
export function relayRoutes({ relay, door }: Relays, server: () => Upgrader): Route[] {
  return [
    connectRoute("mcp", door, server),
    ...(["GET", "POST", "DELETE", "OPTIONS"] as const).flatMap(method =>
      ["/api/mcp/id/:id", "/api/mcp/id/:id/*rest"].map(
        (path): Route => ({
          ...common,
          method,
          path,
          auth: "relay",
          operation: { summary: SUMMARY[method], responses: { 200: { description: "The provider's answer." } } },
          answer: call => relay.handle(call),
        }),
      ),
    ),
    {
      ...common,
      method: "GET",
      path: `${RESOURCE_METADATA_PATH}/api/mcp/id/:id`,
      auth: "none",
      operation: {
        summary: "Tell how a relay is protected",
        responses: { 200: { description: "The provider's metadata as a protected resource." } },
      },
      answer: call => relay.metadata(call),
    },
  ];
}

const common = { tag: "mcp", ownCheck: true, errors: "json-rpc" } as const;

const SUMMARY = {
  GET: "Listen to a relay",
  POST: "Call a relay",
  DELETE: "End a session with a relay",
  OPTIONS: "Ask a relay what it allows",
} satisfies Partial<Record<HttpMethod, string>>;
