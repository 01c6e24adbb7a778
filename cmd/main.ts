// What the five binaries have in common: options in, exit code out.
import { ConfigError } from "../src/config/error.ts";
import { load } from "../src/config/load.ts";
import type { Groups, GroupValues, Program } from "../src/config/program.ts";
import { createLogger, type LogFormat, type Logger, type LogLevel } from "../src/lib/log.ts";

/** What a program runs with. */
export interface Started<G extends Groups, C extends string> {
  values: GroupValues<G>;
  configFile: string;
  command: C | undefined;
  log: Logger;
  droppedLogs: () => number;
}

type WithLogs = { common: { logLevel: LogLevel; logFormat: LogFormat }; backend?: object };

/** Reads the options and runs the program; `--help`, `--version` and mistakes end here. */
export async function main<G extends Groups, C extends string>(
  program: Program<G, C>,
  logging: (values: GroupValues<G>) => WithLogs,
  run: (started: Started<G, C>) => Promise<number>,
): Promise<never> {
  try {
    const loaded = load(program);
    if (loaded.kind === "print") {
      process.stdout.write(loaded.text);
      process.exit(loaded.exitCode);
    }
    const { values, configFile, command } = loaded;
    const { common, backend } = logging(values);
    const { log, dropped } = createLogger({
      level: common.logLevel,
      format: common.logFormat,
      name: program.name,
      folder:
        backend !== undefined && "logDir" in backend && typeof backend.logDir === "string" ? backend.logDir : undefined,
    });
    process.exit(await run({ values, configFile: configFile.path, command, log, droppedLogs: dropped }));
  } catch (error) {
    const mistake = error instanceof ConfigError;
    process.stderr.write(`${program.name}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(mistake ? 2 : 1);
  }
}
