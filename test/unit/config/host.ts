import { ConfigError } from "../../../src/config/error.ts";
import { type Host, load } from "../../../src/config/load.ts";
import type { Groups, Program } from "../../../src/config/program.ts";

interface Machine {
  argv?: string[];
  env?: Record<string, string>;
  platform?: NodeJS.Platform;
  /** Text of the default configuration file. */
  file?: string;
  /** Further files by path; an Error is thrown when its file is read. */
  files?: Record<string, string | Error>;
}

const missing = Object.assign(new Error("no such file"), { code: "ENOENT" });
export const forbidden = Object.assign(new Error("not allowed"), { code: "EACCES" });

/** A made-up process for the loader. */
export function host({ argv = [], env = {}, platform = "linux", file, files = {} }: Machine): Host {
  return {
    argv,
    env,
    platform,
    readFile: path => {
      const content = files[path] ?? (path.startsWith("/etc/nfrx/") ? file : undefined) ?? missing;
      if (content instanceof Error) throw content;
      return content;
    },
  };
}

/** The values a program runs with. */
export function valuesOf<G extends Groups, C extends string>(program: Program<G, C>, machine: Machine) {
  const loaded = load(program, host(machine));
  if (loaded.kind !== "run") throw new Error(`it printed ${loaded.text}`);
  return loaded.values;
}

/** What is wrong, a sentence each. */
export function mistakesOf<G extends Groups, C extends string>(program: Program<G, C>, machine: Machine): string[] {
  return errorOf(program, machine).mistakes.map(mistake => mistake.text);
}

export function errorOf<G extends Groups, C extends string>(program: Program<G, C>, machine: Machine): ConfigError {
  try {
    load(program, host(machine));
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error("nothing was wrong");
}
