import { type ChildOptions, childOpener } from "./channels/child.ts";
import { Spawner } from "./channels/spawner.ts";
import { SessionManager, type SessionsOptions } from "./sessions/manager.ts";

export interface StdioOptions extends SessionsOptions, ChildOptions {
  random?: () => number;
}

/**
 * A server that is a program, and speaks by its standard input and output. Providers of one program should share their
 * `starts`, or one that is closed and opened anew forgets that the program keeps crashing.
 */
export function stdioProvider(options: StdioOptions, starts = stdioSpawner(options)): SessionManager {
  return new SessionManager({ ...options, starts });
}

/** Starts the program and tracks its exits. */
export function stdioSpawner(options: StdioOptions): Spawner {
  return new Spawner(childOpener(options), options.clock, options.random);
}
