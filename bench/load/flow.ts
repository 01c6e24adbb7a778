/** Streams that go on while something else is measured. */
import { Connection } from "./connection.ts";
import type { JobOf, Result } from "./jobs.ts";
import { within } from "./requests.ts";
import { readStream, streamRequest } from "./streams.ts";
import { figures, Tally } from "./tally.ts";

/** Short streams one after the other, so that the flow ends soon after `stop`. */
const CHUNKS = 100;

/** One running flow. `mark` closes a section and returns its chunk times. */
export class Flow {
  #job: JobOf<"flow">;
  #tally = new Tally();
  #chunk: number[] = [];
  #stopped = false;
  #lanes: Promise<void>[] = [];
  #connections: Connection[] = [];

  constructor(job: JobOf<"flow">) {
    this.#job = job;
  }

  /** Resolves when every stream has had its first chunk. */
  async start(): Promise<Result> {
    const { target, streams, intervalMs, deadlineMs } = this.#job;
    const bytes = streamRequest(target, CHUNKS, intervalMs);
    this.#connections = await Promise.all(Array.from({ length: streams }, () => Connection.open(target.port)));
    const flowing = this.#connections.map(
      connection =>
        new Promise<void>(first => {
          this.#lanes.push(this.#lane(connection, bytes, first));
        }),
    );
    await within(Promise.all(flowing), deadlineMs, () => this.#tally.error("streams did not start in time"));
    return this.mark();
  }

  mark(): Result {
    const result = this.#tally.result({ chunk: figures(this.#chunk) });
    this.#tally = new Tally();
    this.#chunk = [];
    return result;
  }

  async stop(): Promise<Result> {
    this.#stopped = true;
    await within(Promise.all(this.#lanes), this.#job.deadlineMs, () => this.#tally.error("streams not over in time"));
    for (const connection of this.#connections) connection.close();
    return this.mark();
  }

  async #lane(connection: Connection, bytes: Buffer, first: () => void): Promise<void> {
    while (!this.#stopped && connection.isOpen) {
      const onChunk = (sentAt: number, receivedAt: number): void => {
        first();
        this.#chunk.push(receivedAt - sentAt);
      };
      const wrong = await readStream({ connection, bytes, chunks: CHUNKS, onChunk });
      if (wrong === null) {
        this.#tally.answered++;
        continue;
      }
      this.#tally.error(wrong);
      if (this.#tally.hopeless) return;
      await Bun.sleep(20);
    }
  }
}
