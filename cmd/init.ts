// `init`: writes a new configuration file and shows the next steps.
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { dirname } from "node:path";
import type { agentOptions } from "../src/config/agent.ts";
import type { brokerOptions } from "../src/config/broker.ts";
import type { Values } from "../src/config/group.ts";
import { defaultConfigFile } from "../src/config/paths.ts";
import type { Program } from "../src/config/program.ts";
import { messageOf } from "../src/lib/errors.ts";
import { hasUnit, serviceGroup } from "./service.ts";

/** The file to write, and the values that it sets. */
interface NewConfig {
  readonly path: string;
  readonly text: string;
  readonly values: {
    readonly broker?: Values<typeof brokerOptions>;
    readonly agent?: Values<ReturnType<typeof agentOptions>>;
  };
}

/**
 * Writes the file, prints the next steps and returns the exit code. Only the owner can read the file; if root writes it
 * and the services' group exists, the group can read it too. Never changes an existing file.
 */
export function writeConfig(program: Program, { path, text, values }: NewConfig): number {
  const group = serviceGroup();
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text, { mode: 0o600, flag: "wx" });
    if (group !== undefined) {
      chownSync(path, 0, group);
      chmodSync(path, 0o640);
    }
  } catch (error) {
    process.stderr.write(`${program.name}: ${reason(error, path, program)}\n`);
    return 1;
  }
  const usual = path === defaultConfigFile(process, program.configFile);
  const named = usual ? "" : ` --config ${quoted(path)}`;
  const start = usual && hasUnit(program.name) ? startUnit(program.name) : `  ${program.name}${named}`;
  const { broker, agent } = values;
  const steps =
    broker === undefined ? agentSteps(program.name, named, start, agent) : brokerSteps(named, start, broker);
  const readers =
    group === undefined ? "Only its owner can read it." : "Root and the services (group nfrx) can read it.";
  process.stdout.write(`Wrote ${path}. ${readers}\n\n${steps}\n`);
  return 0;
}

function reason(error: unknown, path: string, program: Program): string {
  const code = error instanceof Error && "code" in error ? error.code : "";
  if (code === "EEXIST") return `${path} already exists and was not changed; name another file with --config`;
  if (code === "EACCES" || code === "EPERM" || code === "EROFS")
    return `${path}: this user cannot write it; run init as root, or name another file: --config ./${program.configFile}`;
  return `${path}: cannot write: ${messageOf(error)}`;
}

/** Restarts a running unit, so that it reads the new file. */
const startUnit = (name: string): string => `  systemctl enable ${name} && systemctl restart ${name}`;

function brokerSteps(named: string, start: string, values: Values<typeof brokerOptions>): string {
  const { port, tlsCertFile, publicUrl, apiKey, clientKey } = values;
  const origin = publicUrl ?? `${tlsCertFile === undefined ? "http" : "https"}://${hostname()}:${port}`;
  return `Start the broker:

${start}

On each private machine, set up an agent (nfrx-llm for Ollama; in the same way nfrx-asr, nfrx-docling, nfrx-mcp), then start it as init tells you:

  nfrx-llm init --server-url ${origin.replace(/^http/, "ws")} --client-key ${clientKey}

Clients use ${origin}/api/llm/v1 with the bearer token ${apiKey}.${publicUrl === undefined ? "\nReplace the host name with the one under which they reach this machine." : ""}
To check the setup, run: nfrx doctor${named}
`;
}

function agentSteps(name: string, named: string, start: string, agent: NewConfig["values"]["agent"]): string {
  const missing =
    agent?.clientKey === undefined ? "\nclient_key is not set yet: enter the broker's CLIENT_KEY there.\n" : "";
  return `It connects to ${agent?.serverUrl}.
${missing}
Start it:

${start}

To check the setup, run: ${name} doctor${named}
`;
}

/** A path quoted for a shell. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
