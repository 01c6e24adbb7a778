/** A fixed number of requests: each connection sends its next one when the response has arrived. */
import { now } from "../clock.ts";
import { Connection, requestBytes } from "./connection.ts";
import type { JobOf, Result } from "./jobs.ts";
import { figures, Tally } from "./tally.ts";

export async function runRequests(job: JobOf<"requests">): Promise<Result> {
  const tally = new Tally();
  const bytes = requestBytes(job.target, job.body);
  const connections = await Promise.all(
    Array.from({ length: job.connections }, () => Connection.open(job.target.port)),
  );
  const latencies: number[] = [];
  let left = job.requests;

  const one = (connection: Connection): Promise<string | null> =>
    new Promise(resolve => {
      let received = 0;
      connection.send(bytes, {
        body: part => {
          received += part.length;
        },
        done: status => {
          if (status !== 200) resolve(`status ${status}`);
          else resolve(received < job.minBytes ? `short response (${received} bytes)` : null);
        },
        failed: resolve,
      });
    });
  const lane = async (connection: Connection): Promise<void> => {
    while (left-- > 0 && connection.isOpen && !tally.hopeless) {
      const began = now();
      const wrong = await one(connection);
      if (wrong !== null) tally.error(wrong);
      else {
        tally.answered++;
        latencies.push(now() - began);
      }
    }
  };
  await within(Promise.all(connections.map(lane)), job.deadlineMs, () => tally.error("requests not over in time"));
  for (const connection of connections) connection.close();
  return tally.result({ latency: figures(latencies) });
}

/** Waits for the work, at most `ms`; calls `onTimeout` when it takes longer. */
export async function within(work: Promise<unknown>, ms: number, onTimeout: () => void): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<void>(resolve => {
    timer = setTimeout(() => {
      onTimeout();
      resolve();
    }, ms);
  });
  await Promise.race([work, limit]);
  clearTimeout(timer);
}
