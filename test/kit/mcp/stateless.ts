// A stdio server of the stateless era, of MCP's own SDK; run it as a program.
import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { z } from "zod";

/** Calls that were cancelled, for `cancelled` to tell. */
let cancelled = 0;
const waiting: (() => void)[] = [];
const said = (text: string) => ({ content: [{ type: "text" as const, text }] });

const legacy = process.argv[2] === "modern-only" ? "reject" : "serve";
serveStdio(
  () => {
    const server = new McpServer(
      { name: "stateless", version: "1" },
      { capabilities: { tools: { listChanged: true }, logging: {} } },
    );
    server.registerTool("echo", { inputSchema: z.object({ text: z.string() }) }, ({ text }) => said(text));
    const region = z.string().meta({ "x-mcp-header": "Region" });
    const level = z.number().int().optional().meta({ "x-mcp-header": "Level" });
    server.registerTool("place", { inputSchema: z.object({ region, level }) }, ({ region }) => said(region));
    server.registerTool("pid", { inputSchema: z.object({}) }, () => said(`${process.pid}`));
    server.registerTool("count", { inputSchema: z.object({ to: z.number() }) }, async ({ to }, { mcpReq }) => {
      const progressToken = mcpReq._meta?.progressToken;
      for (let progress = 1; progressToken !== undefined && progress <= to; progress++) {
        await mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, total: to } });
      }
      return said(`counted to ${to}`);
    });
    server.registerTool("wait", { inputSchema: z.object({}) }, async (_args, { mcpReq }) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      mcpReq.signal.addEventListener("abort", () => {
        cancelled++;
        resolve();
      });
      waiting.push(resolve);
      const progressToken = mcpReq._meta?.progressToken;
      if (progressToken !== undefined) {
        await mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress: 1 } });
      }
      await promise;
      return said("released");
    });
    server.registerTool("release", { inputSchema: z.object({}) }, () => {
      for (const resolve of waiting.splice(0)) resolve();
      return said("released them");
    });
    server.registerTool("cancelled", { inputSchema: z.object({}) }, () => said(`${cancelled}`));
    server.registerTool("grow", { inputSchema: z.object({}) }, () => {
      server.registerTool("grown", { inputSchema: z.object({}) }, () => said("grown"));
      return said("there is one tool more");
    });
    return server;
  },
  { legacy },
);
