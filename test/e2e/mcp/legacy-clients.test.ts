// A client of the HTTP+SSE transport of 2024 at a relay's public address.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { call } from "../../kit/http/call.ts";
import { callText } from "../../kit/mcp/provider.ts";
import { MCP_HEADERS, McpWorld, rpc } from "../../kit/mcp/world.ts";

test("is served, and its session is its own", async () => {
  await using world = new McpWorld();
  const stdioArgs = [join(import.meta.dir, "../../kit/mcp/fixture.ts")];
  const provider = { transportOrder: ["stdio"] as const, stdioCommand: process.execPath, stdioArgs };
  await world.relay({ url: "http://127.0.0.1:1/" }, { provider });
  const client = new Client({ name: "old", version: "1" });
  let endpoint = "";
  const headers = { Authorization: "Bearer alice" };
  const transport = new SSEClientTransport(new URL(world.url()), {
    requestInit: { headers },
    eventSourceInit: { fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...headers } }) },
    fetch: (url, init) => {
      if (init?.method === "POST") endpoint = String(url);
      return fetch(url, init);
    },
  });
  await client.connect(transport);
  expect(await callText(client, "echo", { text: "hello" })).toBe("hello");
  expect(endpoint).toContain(`${world.url()}?sessionId=`);
  const foreign = await call(endpoint, { headers: MCP_HEADERS, body: rpc(1, "tools/list") });
  expect(foreign.status).toBe(404);
  await client.close();
});
