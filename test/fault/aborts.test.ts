import { expect, test } from "bun:test";
import { randomness, Storm, stormBackend, turns } from "../kit/load/storm.ts";
import { CountingClock } from "../kit/time/counting-clock.ts";
import { World } from "../kit/world.ts";

const CLIENTS = 10_000;
const SEED = 20260722;
/** Clients at work at once; more than there are seats, so that some of them wait. */
const LANES = 64;
const WORKERS = 3;
const SEATS = 8;

test(`${CLIENTS} clients that go away in every phase leave nothing behind`, async () => {
  const clock = new CountingClock();
  await using world = new World({ clock, pool: { queueSize: 10 * LANES, queueUpdateMs: 1000 } });
  for (let worker = 0; worker < WORKERS; worker++) {
    const { backend } = await world.worker({ clock, maxConcurrency: SEATS, batchSize: 2 });
    backend.respond = stormBackend;
  }
  await turns(10);
  const baseline = clock.live;
  const storm = new Storm(world.broker.port, randomness(SEED), LANES);
  await storm.run(CLIENTS);

  await world.when(() => world.quiet, "nothing is left at the broker", 30_000);
  for (const backend of world.backends) await backend.when(() => backend.inflight === 0, "an idle backend", 30_000);
  await clock.when(
    () => clock.live === baseline && world.agents.every(agent => agent.state === "connected_idle"),
    () =>
      `no timer or job is left (timers ${baseline} → ${clock.live}, agents ${world.agents.map(agent => agent.state)})`,
  );
  expect(world.agents.map(agent => agent.status())).toEqual(
    world.agents.map(() => expect.objectContaining({ current_jobs: 0 })),
  );
  expect(world.logs.filter(line => line.level === "error" || line.message === "worker disconnected")).toEqual([]);
  // Every phase was reached, and requests went away while they waited as well as while they ran.
  expect(Object.values(storm.phases).reduce((sum, count) => sum + count, 0)).toBe(CLIENTS);
  const canceled = world.logs.filter(line => line.fields["outcome"] === "canceled");
  const running = canceled.filter(line => line.fields["worker_id"] !== undefined).length;
  expect(Math.min(running, canceled.length - running)).toBeGreaterThan(CLIENTS / 20);
  expect(storm.answers.short).toBe(0);

  // And all seats are there for those who stay.
  const answers = await Promise.all(Array.from({ length: WORKERS * SEATS }, () => world.chat()));
  expect(answers.map(answer => answer.status)).toEqual(answers.map(() => 200));
  expect(await world.leftovers()).toEqual({});
}, 120_000);
