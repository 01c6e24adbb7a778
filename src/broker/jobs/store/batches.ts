import { NfrxError } from "../../../lib/errors.ts";
import type { JobsDatabase } from "./database.ts";

interface Write {
  run(): void;
  settle(failed?: NfrxError): void;
  /** Called after every write of the batch has been answered. */
  report(): void;
}

/** Notified after a transaction was committed and answered. */
export interface BatchWatcher {
  /** One is on disk. */
  written(): void;
  /** One was taken back, whole, because of `cause`. */
  undone(cause: unknown): void;
}

/**
 * Writes of a database in batches: what one turn of the event loop asks for is one transaction, and only what is on disk
 * is answered. An fsync costs milliseconds, whether one row is written or a hundred.
 */
export class Batches {
  #writes: Write[] = [];
  #planned = false;
  #closed = false;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(
    private readonly db: Pick<JobsDatabase, "transact">,
    private readonly watcher: BatchWatcher,
  ) {}

  /**
   * Runs `work` in the next transaction; what it returns, or the NfrxError it throws, is the answer once that is on disk.
   * Anything else that is thrown takes the whole transaction back and is `overloaded` to all who are in it. `onWritten` gets
   * what `work` returned, once that is on disk and the answer is given.
   */
  write<T>(work: () => T, onWritten?: (value: T) => void): Promise<T> {
    if (this.#closed) return Promise.reject(new NfrxError("draining", "the jobs queue has closed"));
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    let answer: () => void = () => {};
    let report: () => void = () => {};
    this.#writes.push({
      run: () => {
        try {
          const value = work();
          answer = () => resolve(value);
          if (onWritten !== undefined) report = () => onWritten(value);
        } catch (error) {
          if (!(error instanceof NfrxError)) throw error;
          answer = () => reject(error);
        }
      },
      settle: failed => (failed === undefined ? answer() : reject(failed)),
      report: () => report(),
    });
    if (!this.#planned) setImmediate(() => this.#flush());
    this.#planned = true;
    return promise;
  }

  /** Takes no more writes, and ends when those that it has are done. */
  async close(): Promise<void> {
    this.#closed = true;
    if (!this.#planned) return;
    this.#idle ??= Promise.withResolvers();
    await this.#idle.promise;
  }

  #flush(): void {
    const writes = this.#writes;
    this.#writes = [];
    this.#planned = false;
    let undone: { cause: unknown } | undefined;
    try {
      this.db.transact(() => {
        for (const write of writes) write.run();
      });
    } catch (cause) {
      undone = { cause };
    }
    const failed =
      undone && new NfrxError("overloaded", "cannot write the jobs store", { retryAfterSeconds: 10, ...undone });
    for (const write of writes) write.settle(failed);
    if (undone === undefined) {
      for (const write of writes) write.report();
      this.watcher.written();
    } else {
      this.watcher.undone(undone.cause);
    }
    this.#idle?.resolve();
  }
}
