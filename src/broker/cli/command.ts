// The declaration of an operator's command: words, arguments, flags and action.
import type { Machine } from "../../config/option.ts";
import type { OperatorCommand } from "../../config/program.ts";
import type { AdminApi } from "./admin-api.ts";

export interface Flag {
  /** A word for its value in the help; without one it is a switch. */
  readonly value?: string;
  /** It may be given several times. */
  readonly many?: true;
  readonly help: string;
}

/** The values of flags: texts, lists of them where a flag may be repeated, true for switches. */
export class Flags {
  constructor(private readonly values: Readonly<Record<string, unknown>>) {}

  text(name: string): string | undefined {
    const value = this.values[name];
    return typeof value === "string" ? value : undefined;
  }

  list(name: string): readonly string[] {
    const value = this.values[name];
    return Array.isArray(value) ? value.map(String) : [];
  }

  on(name: string): boolean {
    return this.values[name] === true;
  }
}

export interface Asked {
  readonly args: readonly string[];
  readonly flags: Flags;
  readonly api: AdminApi;
  /** The machine that the command runs on. */
  readonly host: Machine;
  /** The time, in milliseconds since 1970. */
  readonly now: number;
}

/** The output of a command. */
export interface Printed {
  /** The answer, as `--json` shows it. */
  readonly json: unknown;
  /** The same for people. */
  readonly text: string;
  /** A line on standard error, for what must not end up in a pipe. */
  readonly note?: string;
  /** 0 unless the command found something wrong. */
  readonly exitCode?: number;
}

export interface Command extends OperatorCommand {
  readonly flags: Readonly<Record<string, Flag>>;
  run(asked: Asked): Promise<Printed>;
}
