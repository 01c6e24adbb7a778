// A stdio server of the session era that starts fast and is on the test's roll; run it as a program, with the roll's port.
// With the word `lingers` after it, the end of its input does not end it, as with servers that do not look.
import { createConnection } from "node:net";
import { createInterface } from "node:readline";

interface Incoming {
  id?: string | number;
  method?: string;
  result?: unknown;
  params?: { protocolVersion?: string; name?: string; arguments?: Record<string, unknown>; _meta?: Meta };
}
type Meta = { progressToken?: string | number };

const roll = createConnection({ host: "127.0.0.1", port: Number(process.argv[2]), noDelay: true });
roll.on("error", () => process.exit());
// The test is over.
roll.on("close", () => process.exit());
roll.write(`${JSON.stringify({ pid: process.pid })}\n`);

const held = new Map<string, () => void>();
createInterface({ input: roll }).on("line", name => {
  held.get(name)?.();
  held.delete(name);
});

const write = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const say = (message: object): void => write(JSON.stringify({ jsonrpc: "2.0", ...message }));

/** What was asked of the client, by id. */
const asked = new Map<string | number, (result: unknown) => void>();
let asks = 0;

function sample(text: string): Promise<string> {
  const id = asks++;
  const { promise, resolve } = Promise.withResolvers<string>();
  asked.set(id, result => resolve(textOf(result)));
  const messages = [{ role: "user", content: { type: "text", text } }];
  say({ id, method: "sampling/createMessage", params: { messages, maxTokens: 10 } });
  return promise;
}

function textOf(result: unknown): string {
  if (typeof result !== "object" || result === null || !("content" in result)) return JSON.stringify(result);
  const { content } = result;
  return typeof content === "object" && content !== null && "text" in content ? String(content.text) : "";
}

/** Says that a call of this name is held, and waits until it may go on. */
function hold(name: string): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  held.set(name, resolve);
  roll.write(`${JSON.stringify({ held: name })}\n`);
  return promise;
}

const tools: Record<string, (args: Record<string, unknown>, meta: Meta | undefined) => string | Promise<string>> = {
  pid: () => `${process.pid}`,
  echo: ({ text }) => `${text}`,
  big: ({ bytes }) => "y".repeat(Number(bytes)),
  async hold({ name }, meta) {
    const progressToken = meta?.progressToken;
    if (progressToken !== undefined) say({ method: "notifications/progress", params: { progressToken, progress: 1 } });
    await hold(`${name}`);
    return `held ${name}`;
  },
  /** Asks all at once, after it was held when it has a name. */
  async ask({ texts, name }) {
    if (name !== undefined) await hold(`${name}`);
    const answers = Array.isArray(texts) ? await Promise.all(texts.map(text => sample(`${text}`))) : [];
    return answers.join(" ");
  },
};

for await (const line of createInterface({ input: process.stdin })) void receive(line, JSON.parse(line));
if (process.argv[3] !== "lingers") process.exit();

async function receive(line: string, { id, method, params, result }: Incoming): Promise<void> {
  if (method === undefined) {
    if (id !== undefined) asked.get(id)?.(result);
  } else if (method === "initialize") {
    const { protocolVersion } = params ?? {};
    const capabilities = { tools: {} };
    say({ id, result: { protocolVersion, capabilities, serverInfo: { name: "tools", version: "1" } } });
  } else if (method === "tools/call") {
    const { name = "", arguments: args = {}, _meta } = params ?? {};
    if (name === "later") {
      const text = `later by ${args["ms"]}`;
      setTimeout(() => say({ id, result: { content: [{ type: "text", text }] } }), Number(args["ms"]));
    } else if (name === "digits") {
      // The line as it came in, and numbers that no double holds.
      write(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":{"n":${args["n"]},"line":${JSON.stringify(line)}}}`);
    } else {
      const text = await tools[name]?.(args, _meta);
      say({ id, result: { content: [{ type: "text", text: text ?? `no tool ${name}` }] } });
    }
  } else if (id !== undefined) {
    say({ id, error: { code: -32601, message: "Method not found" } });
  }
}
