/**
 * The stream of states. A broker with a fleet of idle workers, once with nobody listening to the stream of
 * states and once with many on real sockets; what differs is what the listeners cost, in CPU time of all the broker's
 * threads, as a part of the one core that the event loop has.
 */
import { LoadDriver } from "../load/driver.ts";
import { median, minus } from "../stats.ts";
import { CLIENT_KEY } from "../world/pair.ts";
import { cpuSeconds } from "../world/proc.ts";
import { pidsOf, until, type Way, type WayKind } from "../world/way.ts";
import { type Bench, checked, ROOMY } from "../world/world.ts";

export interface StateRow {
  way: string;
  workers: number;
  models: number;
  listeners: number;
  /** Bytes of one event. */
  eventBytes: number | null;
  /** Per cent of a core, with nobody listening. */
  alonePercent: number | null;
  /** Per cent of a core, with all listening. */
  watchedPercent: number | null;
  /** What the listeners cost. */
  addedPercent: number | null;
}

const LIMIT_MS = 30_000;

export async function benchState(bench: Bench, brokers: readonly WayKind[]): Promise<StateRow[]> {
  const rows: StateRow[] = [];
  for (const kind of brokers) {
    try {
      const way = await kind.start(bench.children, 0, ROOMY);
      rows.push(await watch(bench, way));
    } finally {
      await bench.children.stopAll();
    }
  }
  return rows;
}

async function watch(bench: Bench, way: Way): Promise<StateRow> {
  const { listeners, workers, models, settleMs, durationMs, rounds } = bench.plan.state;
  const { port, token = "" } = way.target("");
  // A process for each, so that neither disturbs the other.
  const [fleet, load] = [await LoadDriver.start(bench.children), await LoadDriver.start(bench.children)];
  const connect = { port, path: "/api/llm/connect", token: CLIENT_KEY };
  const say = (what: string): string => `state ${way.name}, ${what}`;
  checked(
    bench,
    say("workers"),
    await fleet.run({ kind: "fleet", target: connect, workers, models, deadlineMs: LIMIT_MS }),
  );
  await until(
    `${way.name} has ${workers} workers`,
    way.parts.flatMap(part => part.children),
    async () => {
      const response = await fetch(`http://127.0.0.1:${port}/api/state`, {
        headers: { authorization: `Bearer ${token}` },
      });
      return (await response.text()).split('"connected_at"').length - 1 === workers;
    },
  );
  const alone: number[] = [];
  const watched: number[] = [];
  let eventBytes: number | null = null;
  for (let round = 1; round <= rounds; round++) {
    bench.note(`state: ${way.name}, ${workers} workers, ${listeners} listeners, round ${round} of ${rounds}`);
    await Bun.sleep(settleMs);
    push(alone, await percent(way, durationMs));
    const target = { port, path: "/api/state/stream", token };
    checked(bench, say("listeners"), await load.run({ kind: "listen", target, listeners, deadlineMs: LIMIT_MS }));
    await Bun.sleep(settleMs);
    await load.run({ kind: "received" });
    push(watched, await percent(way, durationMs));
    const received = await load.run({ kind: "received" });
    eventBytes = received.answered === 0 ? null : Math.round((received.bytes ?? 0) / received.answered);
    // Every two seconds, give or take one at either end.
    const due = listeners * (durationMs / 2_000 - 1);
    if (received.answered < due) bench.problem(say(`${received.answered} events received, at least ${due} were due`));
    checked(bench, say("at the end"), await load.run({ kind: "unlisten" }));
  }
  checked(bench, say("workers at the end"), await fleet.run({ kind: "dismiss" }));
  const [alonePercent, watchedPercent] = [median(alone), median(watched)];
  const addedPercent = minus(watchedPercent, alonePercent);
  return { way: way.name, workers, models, listeners, eventBytes, alonePercent, watchedPercent, addedPercent };
}

function push(list: number[], value: number | null): void {
  if (value !== null) list.push(value);
}

/** CPU time of the broker while it is left alone, as a part of the time that passes. */
async function percent(way: Way, ms: number): Promise<number | null> {
  const pids = way.parts.flatMap(pidsOf);
  const before = cpuSeconds(pids);
  const began = performance.now();
  await Bun.sleep(ms);
  const spent = minus(cpuSeconds(pids), before);
  return spent === null ? null : (spent / ((performance.now() - began) / 1e3)) * 100;
}
