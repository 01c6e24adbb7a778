/** The closed loop of small requests. */
import { now } from "./clock.ts";
import { Connection, requestBytes } from "./connection.ts";
import type { JobOf, Result } from "./jobs.ts";
import { figures, Tally } from "./tally.ts";

/** How long after the end an answer may still come before it counts as lost. */
const GRACE_MS = 20_000;

export async function runRequests(job: JobOf<"requests">): Promise<Result> {
  const tally = new Tally();
  const bytes = requestBytes(job.target, job.body);
  const connections = await Promise.all(
    Array.from({ length: job.connections }, () => Connection.open(job.target.port)),
  );
  const latencies: number[] = [];
  const start = now();
  const from = start + job.warmupMs;
  const until = from + job.durationMs;
  let sent = 0;
  let lastEnd = from;
  let inTime = 0;

  const lane = (connection: Connection): Promise<void> =>
    new Promise(resolve => {
      let began = 0;
      let received = 0;
      const next = (): void => {
        began = now();
        if (began >= until || sent >= job.maxRequests || tally.hopeless) resolve();
        else {
          sent++;
          received = 0;
          connection.send(bytes, exchange);
        }
      };
      const exchange = {
        body: (part: Buffer) => {
          received += part.length;
        },
        done: (status: number) => {
          const end = now();
          if (status !== 200) tally.error(`status ${status}`);
          else if (received < job.minBytes) tally.error(`short answer (${received} bytes)`);
          else {
            tally.answered++;
            if (began >= from) {
              latencies.push(end - began);
              lastEnd = end;
            }
            if (end >= from && end <= until) inTime++;
          }
          next();
        },
        failed: (reason: string) => {
          tally.error(reason);
          // A fresh connection goes on with this lane, so that one reset does not lower the concurrency for good.
          Connection.open(job.target.port).then(
            fresh => {
              connections.push(fresh);
              lane(fresh).then(resolve);
            },
            () => resolve(),
          );
        },
      };
      next();
    });

  await within(Promise.all(connections.map(lane)), job.warmupMs + job.durationMs + GRACE_MS, () => {
    for (const connection of connections) connection.close();
    for (let lost = sent - tally.answered - tally.errors; lost > 0; lost--) tally.error("no answer in time");
  });
  for (const connection of connections) connection.close();
  // What ends after the time is over has a latency but no part in the rate, unless the number was the limit.
  const seconds = (sent >= job.maxRequests ? Math.min(lastEnd, until) - from : job.durationMs) / 1e3;
  return tally.result({
    seconds,
    perSecond: seconds > 0 ? inTime / seconds : 0,
    latency: figures(latencies),
  });
}

/** Waits for the work, at most so long; `late` runs when it is not over by then. */
export async function within(work: Promise<unknown>, ms: number, late: () => void): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const limit = new Promise<void>(resolve => {
    timer = setTimeout(() => {
      late();
      resolve();
    }, ms);
  });
  await Promise.race([work, limit]);
  clearTimeout(timer);
}
