// Common entry point of the five programs: reads the options, returns the exit code.
import { ConfigError } from "../src/config/error.ts";
import { commandOnLine, load, processHost } from "../src/config/load.ts";
import type { Misspelt } from "../src/config/nearest.ts";
import type { Groups, GroupValues, Program } from "../src/config/program.ts";
import type { Host } from "../src/config/sources.ts";
import { type Finding, fail, ok, report, warn } from "../src/lib/findings.ts";
import { createLogger, type LogFormat, type Logger, type LogLevel, silentLog } from "../src/lib/log.ts";
import { writeConfig } from "./init.ts";
import { asService } from "./service.ts";

/** The parsed input of a program. */
export interface ParsedInput<G extends Groups> {
  values: GroupValues<G>;
  configFile: { path: string; found: boolean };
  log: Logger;
}

/** Everything that a program needs to run. */
export interface Started<G extends Groups, C extends string> extends ParsedInput<G> {
  command: C | undefined;
  droppedLogs: () => number;
}

export interface Main<G extends Groups, C extends string> {
  /** The logging options. */
  logging: (values: GroupValues<G>) => WithLogs;
  /** Runs the program; resolves to the exit code. */
  run: (started: Started<G, C>) => Promise<number>;
  /** The checks of `doctor`. */
  examine: (parsed: ParsedInput<G>) => AsyncIterable<Finding>;
  /** The check of `health`: why the running program does not serve, or undefined if it does. */
  health: (values: GroupValues<G>) => Promise<string | undefined>;
}

type WithLogs = { common: { logLevel: LogLevel; logFormat: LogFormat }; backend?: object };

/** Directory for log files, if the backend's options set one. */
export function logDirOf(backend: object | undefined): string | undefined {
  return backend !== undefined && "logDir" in backend && typeof backend.logDir === "string"
    ? backend.logDir
    : undefined;
}

/**
 * Reads the options and runs the program. Handles `--help`, `--version`, `init`, `doctor`, `health` and configuration
 * errors.
 */
export async function main<G extends Groups, C extends string>(
  program: Program<G, C>,
  { logging, run, examine, health }: Main<G, C>,
  host?: Host,
): Promise<never> {
  const print = (text: string): void => void process.stdout.write(text);
  const own = host ?? processHost();
  const looks = commandOnLine(program, own);
  const service = looks === "doctor" || looks === "health" ? asService(own, program) : { host: own, files: [] };
  try {
    const loaded = load(program, service.host);
    if (loaded.kind === "print") {
      print(loaded.text);
      process.exit(loaded.exitCode);
    }
    if (loaded.kind === "init") process.exit(writeConfig(program, loaded));
    const { values, configFile, command, misspelt } = loaded;
    if (command === "health") {
      const trouble = await health(values);
      print(`${trouble ?? "ok"}\n`);
      process.exit(trouble === undefined ? 0 : 1);
    }
    if (command === "doctor") {
      const findings = withMisspelt(misspelt, examine({ values, configFile, log: silentLog }));
      process.exit(await report(withFiles(service.files, findings), print));
    }
    const { common, backend } = logging(values);
    const { log, dropped } = createLogger({
      level: common.logLevel,
      format: common.logFormat,
      name: program.name,
      folder: logDirOf(backend),
    });
    for (const { name, meant } of misspelt)
      log.warn({ variable: name, meant }, `${name} is not an option and is ignored; did you mean ${meant}?`);
    process.exit(await run({ values, configFile, command, log, droppedLogs: dropped }));
  } catch (error) {
    const mistake = error instanceof ConfigError;
    if (mistake && error.command === "doctor")
      process.exit(
        await report(
          error.mistakes.map(({ text }) => fail("config", text)),
          print,
        ),
      );
    process.stderr.write(`${program.name}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(mistake ? 2 : 1);
  }
}

/** The findings of `doctor`, after those about unknown variables. */
async function* withMisspelt(misspelt: readonly Misspelt[], rest: AsyncIterable<Finding>): AsyncGenerator<Finding> {
  for (const { name, meant } of misspelt) yield warn("config", `${name} is not an option; did you mean ${meant}?`);
  yield* rest;
}

/** The findings, after one that lists the service's environment files. */
async function* withFiles(files: readonly string[], findings: AsyncIterable<Finding>): AsyncGenerator<Finding> {
  if (files.length > 0) yield ok("settings", `${files.join(" and ")} also apply, as for the service`);
  yield* findings;
}
