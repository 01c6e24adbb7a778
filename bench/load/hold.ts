/** Many streams that are open and silent. */
import { Connection, requestBytes } from "./connection.ts";
import type { JobOf, Result } from "./jobs.ts";
import { within } from "./requests.ts";
import { StampReader } from "./streams.ts";
import { Tally } from "./tally.ts";

export class Hold {
  #connections: Connection[] = [];
  #cut = 0;
  #released = false;

  /** Opens the streams, `parallel` at a time; resolves when each has had its first chunk or has failed. */
  async open(job: JobOf<"hold">): Promise<Result> {
    const tally = new Tally();
    const body = {
      model: "bench-model",
      stream: true,
      bench_hold: true,
      messages: [{ role: "user", content: "Wait." }],
    };
    const bytes = requestBytes(job.target, JSON.stringify(body));
    let left = job.streams;
    const lane = async (): Promise<void> => {
      while (left-- > 0 && !tally.hopeless && !this.#released) {
        const wrong = await this.#one(job.target.port, bytes).catch(String);
        if (wrong === null) tally.answered++;
        else tally.error(wrong);
      }
    };
    const lanes = Promise.all(Array.from({ length: job.parallel }, lane));
    await within(lanes, job.deadlineMs, () => {
      left = 0;
      tally.error("streams not open in time");
    });
    return tally.result();
  }

  /** Closes them all; those that had ended by themselves are errors. */
  release(): Result {
    this.#released = true;
    const tally = new Tally();
    for (let cut = 0; cut < this.#cut; cut++) tally.error("idle stream cut");
    for (const connection of this.#connections) connection.close();
    tally.answered = this.#connections.length - this.#cut;
    return tally.result();
  }

  async #one(port: number, bytes: Buffer): Promise<string | null> {
    const connection = await Connection.open(port);
    this.#connections.push(connection);
    return new Promise(resolve => {
      let open = false;
      const reader = new StampReader(() => {
        open = true;
        resolve(null);
      });
      const ended = (reason: string): void => {
        if (open) this.#cut++;
        resolve(reason);
      };
      connection.send(bytes, {
        body: part => reader.read(part),
        done: status => ended(`ended with status ${status}`),
        failed: ended,
      });
    });
  }
}
