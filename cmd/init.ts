// `init`: a new configuration file on disk, and what to do with it.
import { mkdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import type { agentOptions } from "../src/config/agent.ts";
import type { brokerOptions } from "../src/config/broker.ts";
import type { Values } from "../src/config/group.ts";
import { defaultConfigFile } from "../src/config/paths.ts";
import type { Program } from "../src/config/program.ts";
import { messageOf } from "../src/lib/errors.ts";

/** A file to write, and the values of whoever reads it. */
interface NewConfig {
  readonly path: string;
  readonly text: string;
  readonly values: {
    readonly broker?: Values<typeof brokerOptions>;
    readonly agent?: Values<ReturnType<typeof agentOptions>>;
  };
}

/** Writes the file, for its owner's eyes only, and says what to do next; the exit code. A file that is there is left alone. */
export function writeConfig(program: Program, { path, text, values }: NewConfig): number {
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text, { mode: 0o600, flag: "wx" });
  } catch (error) {
    process.stderr.write(`${program.name}: ${reason(error, path, program)}\n`);
    return 1;
  }
  const named = path === defaultConfigFile(process, program.configFile) ? "" : ` --config ${quoted(path)}`;
  const { broker, agent } = values;
  const steps = broker === undefined ? agentSteps(program.name, named, agent) : brokerSteps(named, broker);
  process.stdout.write(`Wrote ${path}, readable for its owner alone.\n\n${steps}\n`);
  return 0;
}

function reason(error: unknown, path: string, program: Program): string {
  const code = error instanceof Error && "code" in error ? error.code : "";
  if (code === "EEXIST") return `${path} is there already and was left as it is; name another file with --config`;
  if (code === "EACCES" || code === "EPERM" || code === "EROFS")
    return `${path} may not be written; name another file, as with --config ./${program.configFile}`;
  return `${path} could not be written: ${messageOf(error)}`;
}

function brokerSteps(named: string, values: Values<typeof brokerOptions>): string {
  const { port, tlsCertFile, publicUrl, apiKey, clientKey } = values;
  const origin = publicUrl ?? `${tlsCertFile === undefined ? "http" : "https"}://${hostname()}:${port}`;
  return `Start the broker with

  nfrx${named}

and on each private machine an agent, here beside Ollama (the same with nfrx-asr, nfrx-docling, nfrx-mcp):

  nfrx-llm init --server-url ${origin.replace(/^http/, "ws")} --client-key ${clientKey}
  nfrx-llm

Clients then use ${origin}/api/llm/v1 with the key ${apiKey}${publicUrl === undefined ? " —\nor the name by which they reach this machine" : ""}. Whether all is well says: nfrx doctor${named}
`;
}

function agentSteps(name: string, named: string, agent: NewConfig["values"]["agent"]): string {
  const missing = agent?.clientKey === undefined ? "\nIt has no client_key yet: put the broker's CLIENT_KEY in.\n" : "";
  return `It will connect to ${agent?.serverUrl}.
${missing}
Start it with

  ${name}${named}

Whether all is well says: ${name} doctor${named}
`;
}

/** A path as a shell takes it. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
