// An operator's command: from the command line to its exit code.

import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { z } from "zod";
import { controlSockets } from "../../config/paths.ts";
import { messageOf } from "../../lib/errors.ts";
import { AdminApi } from "./admin-api.ts";
import { type Command, type Flag, Flags } from "./command.ts";
import { keyCommands } from "./key-commands.ts";
import { otherCommands } from "./other-commands.ts";
import { UsageError } from "./usage-error.ts";

/** Every command: what the program runs, and what its help, manual page and completions list. */
export const commands: readonly Command[] = [...keyCommands, ...otherCommands];
/** A first word that begins something else as well: the agent of a plugin. */
const SHARED = "worker";

/** Flags that every command has. */
const COMMON: Readonly<Record<string, Flag>> = {
  server: { value: "URL", help: "A broker elsewhere, over HTTPS with ADMIN_KEY (env NFRX_SERVER)." },
  socket: { value: "PATH", help: "Control socket of the broker on this machine (env CONTROL_SOCKET)." },
  json: { help: "Print JSON." },
  help: { help: "Show this help and exit." },
};

export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly platform: NodeJS.Platform;
  /** Named in the audit. */
  readonly user: string;
  out(line: string): void;
  error(line: string): void;
  now(): number;
}

/** True when the words begin an operator's command. */
export function isCommand(words: readonly string[]): boolean {
  const [first] = words;
  return (
    commandOf(words) !== undefined ||
    (first !== SHARED && commands.some(({ words: own }) => own.split(" ")[0] === first))
  );
}

/** The command that a line names in full. */
function commandOf(argv: readonly string[]): Command | undefined {
  return commands.find(({ words }) => words.split(" ").every((word, at) => argv[at] === word));
}

/** Runs the command that `argv` names. Exit codes: 0, 1 for what the broker refused or does not have, 2 for mistakes on the line. */
export async function runCommand(argv: readonly string[], terminal: Terminal): Promise<number> {
  try {
    const command = commandOf(argv);
    if (command === undefined) return overview(argv, terminal);
    const { values, positionals } = parsed(command, argv.slice(command.words.split(" ").length));
    const flags = new Flags(values);
    if (flags.on("help")) {
      terminal.out(helpOf(command));
      return 0;
    }
    requireArgs(command, positionals);
    const api = new AdminApi(targetOf(flags, terminal), terminal.user);
    const printed = await command.run({ args: positionals, flags, api, host: terminal, now: terminal.now() });
    terminal.out(flags.on("json") ? JSON.stringify(printed.json, null, 2) : printed.text);
    if (printed.note !== undefined) terminal.error(printed.note);
    return printed.exitCode ?? 0;
  } catch (error) {
    terminal.error(
      `nfrx: ${error instanceof z.ZodError ? "the broker's answer was not understood" : messageOf(error)}`,
    );
    return error instanceof UsageError ? 2 : 1;
  }
}

function parsed({ flags, words }: Command, argv: readonly string[]) {
  const known = Object.entries({ ...flags, ...COMMON }).map(
    ([name, { value, many }]) =>
      [
        name,
        { type: value === undefined ? ("boolean" as const) : ("string" as const), multiple: many === true },
      ] as const,
  );
  try {
    return parseArgs({ args: [...argv], options: Object.fromEntries(known), allowPositionals: true });
  } catch (error) {
    throw new UsageError(`${messageOf(error)}. Help: nfrx ${words} --help`);
  }
}

function requireArgs({ words, args }: Command, given: readonly string[]): void {
  const needed = args.filter(name => !name.startsWith("["));
  if (given.length >= needed.length && given.length <= args.length) return;
  throw new UsageError(`usage: nfrx ${[words, ...args].join(" ")} [options]`);
}

/** `--server` wins over the socket. */
function targetOf(flags: Flags, { env, platform }: Terminal) {
  const server = flags.text("server") ?? (flags.text("socket") === undefined ? env["NFRX_SERVER"] : undefined);
  if (server === undefined) {
    const named = flags.text("socket") || env["CONTROL_SOCKET"];
    const [first, ...others] = named ? [named] : controlSockets({ platform, env });
    const socket = [first, ...others].find(path => path !== undefined && existsSync(path)) ?? first;
    if (socket === undefined)
      throw new UsageError("there is no control socket on this system: use --server with ADMIN_KEY");
    return { socket };
  }
  const key = env["ADMIN_KEY"];
  if (!key) throw new UsageError("--server needs an operator's key: set ADMIN_KEY in the environment");
  return { server, key };
}

/** Lists the commands that begin with a word. */
function overview(argv: readonly string[], { out, error }: Terminal): number {
  const meant = commands.filter(({ words }) => words.split(" ")[0] === argv[0]);
  const lines = meant.map(({ words, args, help }) => `  nfrx ${[words, ...args].join(" ").padEnd(32)}  ${help}`);
  const asked = argv[1] === undefined || argv[1] === "--help" || argv[1] === "-h";
  (asked ? out : error)(
    [...(asked ? [] : [`nfrx ${argv[0]}: unknown command ${argv[1]}`]), "Commands:", ...lines].join("\n"),
  );
  return asked ? 0 : 2;
}

function helpOf({ words, args, flags, help }: Command): string {
  const rows = Object.entries({ ...flags, ...COMMON }).map(
    ([name, flag]) => [`--${name}${flag.value === undefined ? "" : ` ${flag.value}`}`, flag.help] as const,
  );
  const width = Math.max(...rows.map(([head]) => head.length));
  return [
    help,
    `\nUsage: nfrx ${[words, ...args].join(" ")} [options]\n`,
    ...rows.map(([head, text]) => `  ${head.padEnd(width)}  ${text}`),
  ].join("\n");
}
