// The clients for Python: clients.py runs them, all in one process, one question after the other.
import { z } from "zod";
import { until } from "../../kit/time/until.ts";
import { anthropicTraits, type Client, ClientFailure, ollamaTraits, openaiTraits, type Traits } from "./client.ts";

const named = process.env["NFRX_CLIENTS_PYTHON"];
const python = named ?? "python3";
const script = new URL("clients.py", import.meta.url).pathname;
/** Importing all of the packages takes seconds. */
const START_MS = 60_000;

function installed(): boolean {
  const imports = "import anthropic, langchain_openai, litellm, ollama, openai";
  return Bun.spawnSync([python, "-c", imports], { stdout: "ignore", stderr: "ignore" }).success;
}

/** A named interpreter must have the packages, and so must any on the machine that checks everything. */
export const hasPythonClients = named !== undefined || process.env["CI"] === "true" || installed();

const Line = z.union([
  z.strictObject({ ready: z.literal(true) }),
  z.strictObject({ text: z.string() }),
  z.strictObject({ end: z.literal(true) }),
  z.strictObject({
    error: z.object({
      kinds: z.array(z.string()),
      status: z.number().nullable().catch(null),
      code: z.string().nullable().catch(null),
      message: z.string(),
    }),
  }),
]);
type Line = z.infer<typeof Line>;

/** By their names in clients.py. LangChain and litellm stand on OpenAI's SDK. */
const CLIENTS: Record<string, Traits> = {
  openai: openaiTraits,
  "openai helper": openaiTraits,
  "openai responses": openaiTraits,
  anthropic: anthropicTraits,
  ollama: ollamaTraits,
  langchain: openaiTraits,
  litellm: openaiTraits,
};

/** The process that runs the clients. */
export class PythonClients {
  #child: Bun.Subprocess<"pipe", "pipe", "pipe"> | undefined;
  #lines: AsyncGenerator<Line> | undefined;

  get clients(): Client[] {
    return Object.entries(CLIENTS).map(([client, traits]) => ({
      ...traits,
      name: `Python ${client}`,
      ask: question => this.#ask({ client, ...question }),
    }));
  }

  /** Starts the process; resolves when it takes questions. */
  async start(): Promise<void> {
    const child = Bun.spawn([python, script], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    this.#child = child;
    this.#lines = linesOf(child);
    await until(this.#next(), "the Python clients start", START_MS);
  }

  async stop(): Promise<void> {
    this.#child?.kill();
    await this.#child?.exited;
  }

  async *#ask(command: object): AsyncGenerator<string> {
    if (this.#child === undefined) throw new Error("the Python clients were not started");
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    this.#child.stdin.flush();
    for (;;) {
      const line = await this.#next();
      if ("error" in line) throw new ClientFailure(line.error);
      if ("end" in line) return;
      if ("text" in line) yield line.text;
    }
  }

  async #next(): Promise<Line> {
    const next = await this.#lines?.next();
    if (next === undefined || next.done) throw new Error("the Python clients ended");
    return next.value;
  }
}

async function* linesOf(child: Bun.Subprocess<"pipe", "pipe", "pipe">): AsyncGenerator<Line> {
  const complaint = new Response(child.stderr).text();
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of child.stdout) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) yield Line.parse(JSON.parse(line));
  }
  throw new Error(`the Python clients ended: ${await complaint}`);
}
