// A stdio server of MCP's own SDK that does a bit of everything; run it as a program.
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { z } from "zod";

const server = new McpServer(
  { name: "fixture", version: "1" },
  { capabilities: { logging: {}, tools: { listChanged: true } } },
);
const said = (text: string) => ({ content: [{ type: "text" as const, text }] });
/** Calls that were cancelled, for `cancelled` to tell. */
let cancelled = 0;
/** Calls of `wait`, let go by `release`. */
const waiting: (() => void)[] = [];

server.registerTool("echo", { inputSchema: { text: z.string() } }, ({ text }) => said(text));
server.registerTool("pid", {}, () => said(`${process.pid}`));

server.registerTool("count", { inputSchema: { to: z.number() } }, async ({ to }, { _meta, sendNotification }) => {
  for (let progress = 1; progress <= to; progress++) {
    const progressToken = _meta?.progressToken;
    if (progressToken === undefined) break;
    await sendNotification({ method: "notifications/progress", params: { progressToken, progress, total: to } });
  }
  return said(`counted to ${to}`);
});

server.registerTool("wait", {}, async ({ signal, _meta, sendNotification }) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => {
    cancelled++;
    resolve();
  });
  waiting.push(resolve);
  const progressToken = _meta?.progressToken;
  if (progressToken !== undefined) {
    await sendNotification({ method: "notifications/progress", params: { progressToken, progress: 1 } });
  }
  await promise;
  return said("released");
});

server.registerTool("release", {}, () => {
  for (const resolve of waiting.splice(0)) resolve();
  return said("released them");
});

server.registerTool("cancelled", {}, () => said(`${cancelled}`));

server.registerTool("sample", { inputSchema: { text: z.string() } }, async ({ text }, { sendRequest }) => {
  const params = { messages: [{ role: "user" as const, content: { type: "text" as const, text } }], maxTokens: 10 };
  const schema = z.looseObject({ content: z.looseObject({ text: z.string() }) });
  const { content } = await sendRequest({ method: "sampling/createMessage", params }, schema);
  return said(content.text);
});

server.registerTool("ask", {}, async () => {
  const { action, content } = await server.server.elicitInput({
    message: "Who are you?",
    requestedSchema: { type: "object", properties: { name: { type: "string" } }, required: ["name"] },
  });
  return said(`${action} ${content?.["name"]}`);
});

server.registerTool("roots", {}, async () => {
  const { roots } = await server.server.listRoots();
  return said(roots.map(({ uri }) => uri).join(" "));
});

server.registerTool("log", { inputSchema: { text: z.string() } }, async ({ text }) => {
  await server.server.sendLoggingMessage({ level: "info", data: text });
  return said("logged");
});

server.registerTool("grow", {}, () => {
  server.registerTool("grown", {}, () => said("grown"));
  return said("there is one tool more");
});

server.registerTool(
  "flood",
  { inputSchema: { messages: z.number(), bytes: z.number() } },
  async ({ messages, bytes }) => {
    const data = "x".repeat(bytes);
    for (let i = 0; i < messages; i++) await server.server.sendLoggingMessage({ level: "info", data });
    return said("flooded");
  },
);

server.registerTool("die", {}, () => process.exit(7));

await server.connect(new StdioServerTransport());
