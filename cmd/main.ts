// What the five binaries have in common: options in, exit code out.
import { ConfigError } from "../src/config/error.ts";
import { commandOnLine, load, processHost } from "../src/config/load.ts";
import type { Misspelt } from "../src/config/nearest.ts";
import type { Groups, GroupValues, Program } from "../src/config/program.ts";
import type { Host } from "../src/config/sources.ts";
import { type Finding, fail, ok, report, warn } from "../src/lib/findings.ts";
import { createLogger, type LogFormat, type Logger, type LogLevel, silentLog } from "../src/lib/log.ts";
import { writeConfig } from "./init.ts";
import { asService } from "./service.ts";

/** What a program is told. */
export interface ParsedInput<G extends Groups> {
  values: GroupValues<G>;
  configFile: { path: string; found: boolean };
  log: Logger;
}

/** What a program runs with. */
export interface Started<G extends Groups, C extends string> extends ParsedInput<G> {
  command: C | undefined;
  droppedLogs: () => number;
}

export interface Main<G extends Groups, C extends string> {
  /** The part of the values that says how to log. */
  logging: (values: GroupValues<G>) => WithLogs;
  /** What the program is there for; its exit code. */
  run: (started: Started<G, C>) => Promise<number>;
  /** What `doctor` looks at. */
  examine: (told: ParsedInput<G>) => AsyncIterable<Finding>;
  /** What `health` finds of the program that runs: why it does not serve, or undefined. */
  health: (values: GroupValues<G>) => Promise<string | undefined>;
}

type WithLogs = { common: { logLevel: LogLevel; logFormat: LogFormat }; backend?: object };

/** The folder for log files, where the backend's options name one. */
export function logDirOf(backend: object | undefined): string | undefined {
  return backend !== undefined && "logDir" in backend && typeof backend.logDir === "string"
    ? backend.logDir
    : undefined;
}

/** Reads the options and runs the program; `--help`, `--version`, `init`, `doctor`, `health` and mistakes end here. */
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

/** What `doctor` finds, behind the variables that nothing reads. */
async function* withMisspelt(misspelt: readonly Misspelt[], rest: AsyncIterable<Finding>): AsyncGenerator<Finding> {
  for (const { name, meant } of misspelt) yield warn("config", `${name} is not an option; did you mean ${meant}?`);
  yield* rest;
}

/** The findings, after one that names the files which the service takes further settings from. */
async function* withFiles(files: readonly string[], findings: AsyncIterable<Finding>): AsyncGenerator<Finding> {
  if (files.length > 0) yield ok("settings", `${files.join(" and ")} also apply, as for the service`);
  yield* findings;
}
