// Servers of the HTTP+SSE transport of 2024 behind the same sessions.
import { describe, expect, test } from "bun:test";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { SSEServerTransport } from "@modelcontextprotocol/sdk/server/sse.js";
import { CreateMessageRequestSchema } from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";
import { type LegacySseOptions, legacySseProvider } from "../../../../src/agent/providers/legacy-sse.ts";
import { silentLog } from "../../../../src/lib/log.ts";
import { systemClock } from "../../../../src/lib/time.ts";
import { answerOf, openSession, post, rpc } from "../../../kit/mcp/http.ts";
import { callText, connect, fetchOf, type Reach, textOf } from "../../../kit/mcp/provider.ts";

const reason = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    error => error.message,
  );

function reachSse(url: string, more: Partial<LegacySseOptions> = {}): Reach {
  const provider = legacySseProvider({
    url,
    lineBytes: 1024 * 1024,
    initTimeoutMs: 5_000,
    sessionIdleMs: 0,
    maxSessions: 8,
    shared: false,
    sessionlessCompat: true,
    protocolVersion: undefined,
    clock: systemClock,
    log: silentLog,
    ...more,
  });
  return { provider, fetch: fetchOf(provider), [Symbol.asyncDispose]: () => provider.close() };
}

/** A server of the SDK; what it counts are open connections. */
async function sdkServer() {
  const transports = new Map<string, SSEServerTransport>();
  const tokens = new Set<string | undefined>();
  const http = createServer(async (request, response) => {
    tokens.add(request.headers.authorization);
    if (request.method === "POST") {
      const id = new URL(request.url ?? "", "http://x").searchParams.get("sessionId") ?? "";
      return void (await transports.get(id)?.handlePostMessage(request, response));
    }
    const transport = new SSEServerTransport("/messages", response);
    transports.set(transport.sessionId, transport);
    response.on("close", () => transports.delete(transport.sessionId));
    const server = new McpServer({ name: "sse", version: "1" });
    server.registerTool("echo", { inputSchema: { text: z.string() } }, ({ text }) => ({
      content: [{ type: "text", text }],
    }));
    server.registerTool("sample", {}, async () => {
      const content = { type: "text" as const, text: "?" };
      const answer = await server.server.createMessage({ messages: [{ role: "user", content }], maxTokens: 1 });
      return { content: [{ type: "text", text: JSON.stringify(answer.content) }] };
    });
    await server.connect(transport);
  });
  const listening = Promise.withResolvers<void>();
  http.listen(0, "127.0.0.1", listening.resolve);
  await listening.promise;
  const { port } = http.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/sse`,
    transports,
    tokens,
    [Symbol.asyncDispose]: async () => {
      http.closeAllConnections();
      http.close();
    },
  };
}

/** A server that is written by hand: its event stream is what the test says. */
function handServer(answer: (request: Request) => Response) {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer });
  return { url: `${server.url}sse`, [Symbol.asyncDispose]: () => server.stop(true) };
}

const events = (text: string) => new Response(text, { headers: { "content-type": "text/event-stream" } });

describe("a server of the HTTP+SSE transport", () => {
  test("serves clients of today, a connection for each, with our token", async () => {
    await using sse = await sdkServer();
    await using server = reachSse(sse.url, { headers: async () => ({ authorization: "Bearer t" }) });
    await server.provider.probe(new AbortController().signal);
    const [a, b] = [
      await connect(server, { sampling: {} }, client =>
        client.setRequestHandler(CreateMessageRequestSchema, () => ({
          model: "m",
          role: "assistant",
          content: { type: "text", text: "sampled" },
        })),
      ),
      await connect(server),
    ];
    expect([await callText(a, "echo", { text: "ä" }), await callText(b, "echo", { text: "b" })]).toEqual(["ä", "b"]);
    expect(await callText(a, "sample")).toContain("sampled");
    const sessionless = await answerOf(
      await post(server, rpc(1, "tools/call", { name: "echo", arguments: { text: "none" } })),
    );
    expect(textOf(sessionless["result"] ?? {})).toBe("none");
    expect([sse.transports.size, [...sse.tokens]]).toEqual([3, ["Bearer t"]]);
    await Promise.all([a.close(), b.close()]);
  });

  test("that names an endpoint elsewhere is not sent anything", async () => {
    const paths: string[] = [];
    await using elsewhere = handServer(request => {
      paths.push(new URL(request.url).pathname);
      return new Response(null, { status: 202 });
    });
    await using sse = handServer(() => events(`event: endpoint\ndata: ${elsewhere.url}\n\n`));
    await using server = reachSse(sse.url);
    expect(await reason(openSession(server))).toContain("another origin");
    expect(paths).toEqual([]);
  });

  test("that refuses is an error of the provider; one that takes no message is an answer", async () => {
    await using refuses = handServer(() => new Response("no", { status: 405 }));
    await using none = reachSse(refuses.url);
    expect(await reason(openSession(none))).toContain("405");
    const held = Promise.withResolvers<void>();
    await using sse = handServer(request => {
      if (request.method === "POST") return new Response("full", { status: 500 });
      const body = new ReadableStream<Uint8Array>({
        start: controller => controller.enqueue(Buffer.from("event: endpoint\r\ndata: /messages?x=1\r\n\r\n")),
        cancel: () => held.resolve(),
      });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    });
    await using server = reachSse(sse.url);
    const response = await post(server, rpc(1, "initialize", {}));
    expect(await response.json()).toMatchObject({ id: 1, error: { message: expect.stringContaining("500") } });
    await held.promise;
  });
});
