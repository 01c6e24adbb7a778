/** The bench's end of a load generator: sends jobs, awaits results, each with a limit. */

import { now } from "../clock.ts";
import { readLines } from "../lines.ts";
import type { Children, TalkingChild } from "../world/children.ts";
import { type Job, lineFromLoad, type Result } from "./jobs.ts";

/** Above every deadline inside the jobs: a load generator that does not answer by then is broken. */
const ANSWER_MS = 120_000;

interface Waiting {
  resolve(result: Result): void;
  reject(error: Error): void;
}

export class LoadDriver {
  #child: TalkingChild;
  #waiting = new Map<number, Waiting>();
  #id = 0;

  private constructor(child: TalkingChild) {
    this.#child = child;
  }

  static async start(children: Children): Promise<LoadDriver> {
    const before = now();
    const child = children.talk("load", "load/main.ts");
    const driver = new LoadDriver(child);
    const hello = Promise.withResolvers<number>();
    readLines(child.lines, line => {
      const message = lineFromLoad.parse(JSON.parse(line));
      if ("hello" in message) hello.resolve(message.hello);
      else driver.#answer(message);
    }).finally(() => {
      driver.#lost();
      hello.reject(new Error(`the load generator ended: ${child.log()}`));
    });
    checkClock(before, await hello.promise, now());
    return driver;
  }

  async run(job: Job): Promise<Result> {
    const id = ++this.#id;
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    this.#waiting.set(id, { resolve, reject });
    this.#child.say(JSON.stringify({ id, job }));
    const timer = setTimeout(() => reject(new Error(`the load generator did not answer (${job.kind})`)), ANSWER_MS);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  stop(): Promise<void> {
    return this.#child.stop();
  }

  #answer(message: { id: number; result: Result } | { id: number; failure: string }): void {
    const waiting = this.#waiting.get(message.id);
    if ("result" in message) waiting?.resolve(message.result);
    else waiting?.reject(new Error(message.failure));
  }

  #lost(): void {
    for (const waiting of this.#waiting.values())
      waiting.reject(new Error(`the load generator ended: ${this.#child.log()}`));
  }
}

/** A child's clock must lie between ours before its start and ours after its first word. */
export function checkClock(before: number, theirs: number, after: number): void {
  if (theirs < before || theirs > after)
    throw new Error(`clocks differ between processes: ${before} ${theirs} ${after}`);
}
