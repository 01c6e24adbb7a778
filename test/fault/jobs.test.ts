// Jobs under load, races and kills: nothing that was acknowledged is lost, everything ends once.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../src/lib/time.ts";
import { type ClaimView, JobsApi } from "../kit/jobs.ts";
import { type BrokerProgram, Processes, troubles } from "../kit/processes.ts";
import { eventually, until } from "../kit/until.ts";
import { API_KEY, World } from "../kit/world.ts";

const random = (below: number): number => Math.floor(Math.random() * below);
/** Runs `work` so many times side by side. */
async function side(count: number, work: (n: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: count }, (_, n) => work(n)));
}

/** What the broker has said of a job. */
type Acknowledged = "queued" | "claimed" | "completed";
/** Which states a job may be in after the broker was killed: what was said, or what was under way. */
const MAY_BE: Record<Acknowledged, readonly string[]> = {
  queued: ["queued", "claimed"],
  claimed: ["claimed", "queued", "completed"],
  completed: ["completed"],
};

test("SIGKILL at random moments of 1,000 creations and completions: what was acknowledged is there", async () => {
  await using processes = new Processes();
  const env = {
    JOBS_STORE: join(processes.folder, "jobs.db"),
    JOBS_CLIENT_TTL: "0",
    JOBS_LEASE: "2s",
    JOBS_MAX_ATTEMPTS: "100",
  };
  const known = new Map<string, Acknowledged>();
  const create = async (jobs: JobsApi): Promise<void> => {
    const id = await jobs.created({ metadata: { n: known.size } });
    known.set(id, known.get(id) ?? "queued");
  };
  const work = async (jobs: JobsApi, wait: number): Promise<boolean> => {
    const { status, body: claim } = await jobs.claim({ max_wait_seconds: wait });
    if (status !== 200) return false;
    known.set(claim.job_id, "claimed");
    const { claim_id } = claim;
    const ended = await jobs.status(claim.job_id, "completed", { claim_id });
    // The lease may have run out while the broker was away.
    if (ended.status === 200) known.set(claim.job_id, "completed");
    return true;
  };
  for (let kills = 0; kills < 8; kills++) {
    const broker = await processes.broker(env);
    const jobs = new JobsApi(broker.origin, false);
    const enough = known.size + 50 + random(100);
    const target = kills === 7 ? 1000 : enough;
    const hammering = side(16, async n => {
      while (known.size < target) await (n % 2 === 0 ? create(jobs) : work(jobs, 0));
    });
    // Those that the kill cuts off.
    const cut = hammering.catch(() => {});
    if (kills < 7) {
      await eventually(() => known.size >= enough - random(50), "the moment of the kill", 60_000);
      broker.signal("SIGKILL");
    }
    await until(cut, "the hammering ends", 60_000);
    await broker.kill();
    await check(processes, env, known);
  }
  expect(known.size).toBeGreaterThanOrEqual(1000);
  const broker = await processes.broker(env);
  const jobs = new JobsApi(broker.origin);
  // What was claimed by nobody who knows of it comes back when its lease has run out.
  await side(8, async () => {
    while (await work(jobs, 4)) {}
  });
  for (const id of known.keys()) expect((await jobs.get(id)).body.status).toBe("completed");
  expect(troubles(processes)).toEqual([]);
}, 240_000);

/** Starts the broker anew and looks at every job that it has acknowledged. */
async function check(
  processes: Processes,
  env: Record<string, string>,
  known: Map<string, Acknowledged>,
): Promise<void> {
  const broker = await processes.broker(env);
  const jobs = new JobsApi(broker.origin);
  const wrong: string[] = [];
  for (const [id, said] of known) {
    const { status, body } = await jobs.get(id);
    if (status !== 200 || !MAY_BE[said].includes(body.status)) wrong.push(`${id}: ${said} is ${status} ${body.status}`);
  }
  expect(wrong).toEqual([]);
  await broker.kill();
}

/** The system's clock, whose calendar can be turned on. */
class LeapClock {
  #leap = 0;

  readonly now = systemClock.now;
  readonly after = systemClock.after;

  wall(): number {
    return systemClock.wall() + this.#leap;
  }

  leap(ms: number): void {
    this.#leap += ms;
  }
}

/** Does a job, or does not; notes the end that was acknowledged. */
async function serve(jobs: JobsApi, claim: ClaimView, end: (id: string, status: string) => void): Promise<void> {
  const { job_id, claim_id } = claim;
  const dice = random(20);
  // Vanishes.
  if (dice === 0) return;
  const say = async (state: string): Promise<boolean> =>
    (await jobs.status(job_id, state, { claim_id })).status === 200;
  if (dice === 1) return void (await say("queued"));
  if (dice < 10 && !(await say("running"))) return;
  const last = dice === 2 ? "failed" : "completed";
  if (await say(last)) end(job_id, last);
}

const JOBS = 10_000;
const CLAIMERS = 64;
const TYPES = 8;
const GROUPS = 4;

test("10,000 jobs, 64 claimers of different types and groups, random cancels, workers that vanish", async () => {
  const clock = new LeapClock();
  await using world = new World({
    clock,
    broker: { jobsClientTtlMs: 0, jobsMaxEnded: 20_000, jobsMaxAttempts: 3 },
  });
  const jobs = new JobsApi(world.origin);
  const { service } = world.broker.jobs;
  /** Job → the ends that were acknowledged. */
  const ends = new Map<string, string[]>();
  const taken = new Map<number, number>();
  const over = new AbortController();
  const end = (id: string, status: string): void => void ends.get(id)?.push(status);

  const creating = side(16, async n => {
    for (let count = 0; count < JOBS / 16; count++) {
      const type = `t${random(TYPES)}`;
      const target = random(4) === 0 ? { worker_group: `g${random(GROUPS)}` } : {};
      const id = await jobs.created({ type, priority: random(3), metadata: { n, count }, ...target });
      ends.set(id, []);
      if (random(10) > 0) continue;
      const { body } = await jobs.cancel(id);
      if (body.status === "canceled") end(id, "canceled");
    }
  });

  const claiming = side(CLAIMERS, async n => {
    // Every type and every group has claimers; some take whatever comes.
    const types = n % 4 === 3 ? [] : [`t${n % TYPES}`, `t${(n + 1 + (n % 3)) % TYPES}`];
    const wanted = {
      types,
      worker_id: `w${n}`,
      worker_group: `g${n % GROUPS}`,
      max_wait_seconds: 600,
      lease_seconds: 1,
    };
    while (!over.signal.aborted) {
      const answer = await jobs.claim(wanted, { signal: over.signal }).catch(() => undefined);
      if (answer?.status !== 200) continue;
      taken.set(n, (taken.get(n) ?? 0) + 1);
      await serve(jobs, answer.body, end);
    }
  });

  await until(creating, "all jobs are created", 120_000);
  const { tally } = world.broker.jobs;
  const ended = (): number => tally.completed + tally.failed + tally.canceled;
  await eventually(
    () => ended() === JOBS,
    () => `${JOBS} jobs end, not ${ended()}`,
    120_000,
  );
  over.abort();
  await until(claiming, "the claimers end", 30_000);

  const outcomes = new Map<string, number>();
  await side(32, async n => {
    for (const id of [...ends.keys()].filter((_, at) => at % 32 === n)) {
      const { body } = await jobs.get(id);
      outcomes.set(body.status, (outcomes.get(body.status) ?? 0) + 1);
      const said = ends.get(id) ?? [];
      // Ended once, by whoever was told so; a job that no worker finished by nobody.
      if (body.error?.code === "worker_lost") expect(said).toEqual([]);
      else expect(said).toEqual([body.status]);
    }
  });
  expect([...outcomes.values()].reduce((sum, count) => sum + count, 0)).toBe(JOBS);
  expect(outcomes.get("completed")).toBeGreaterThan(JOBS / 2);
  expect(outcomes.get("canceled")).toBeGreaterThan(0);
  expect(taken.size).toBe(CLAIMERS);

  // A day later nothing of it is left.
  clock.leap(25 * 3_600_000);
  await jobs.cancel(await jobs.created());
  clock.leap(25 * 3_600_000);
  await eventually(() => service.events.bytes <= 4096, "what has ended is forgotten", 30_000);
  expect(service.claimers.size).toBe(0);
  expect(service.watched).toBe(0);
  expect(await world.leftovers()).toEqual({});
}, 300_000);

test("10,000 races of cancel, finish and claim: one end each, and every client hears of it once", async () => {
  await using world = new World({ broker: { jobsSseCloseDelayMs: 0, jobsMaxEnded: 1000, jobsLeaseMs: 60_000 } });
  const jobs = new JobsApi(world.origin);
  const wrong: string[] = [];
  const outcomes = new Map<string, number>();
  await side(32, async n => {
    for (let round = n; round < JOBS; round += 32) {
      const type = `race-${n}`;
      const id = await jobs.created({ type });
      const early = ends(jobs, id);
      const claiming = jobs.claim({ types: [type], max_wait_seconds: round % 2 === 0 ? 0 : 1 });
      const finish = async (state: string): Promise<boolean> => {
        const { body: claim } = await claiming;
        return claim !== undefined && (await jobs.status(id, state, { claim_id: claim.claim_id })).status === 200;
      };
      const racers = [
        (random(2) === 0 ? claiming : Promise.resolve()).then(async () => (await jobs.cancel(id)).body.status),
        ...(round % 3 === 0 ? ["failed", "completed"] : ["completed", "failed"]).map(async state =>
          (await finish(state)) ? state : "",
        ),
        finish("running").then(() => ""),
      ];
      const late = ends(jobs, id);
      const said = (await Promise.all(racers)).filter(status => status !== "");
      const heard = await Promise.all([early, late, ends(jobs, id)]);
      const { status } = (await jobs.get(id)).body;
      // The cancel is told how the job has ended, whoever ended it.
      const all = [...said, ...heard.flat()];
      if (heard.some(one => one.length !== 1) || all.some(one => one !== status))
        wrong.push(`${status}: ${said}; ${heard.join("|")}`);
      outcomes.set(status, (outcomes.get(status) ?? 0) + 1);
    }
  });
  expect(wrong).toEqual([]);
  expect([...outcomes.keys()].sort()).toEqual(["canceled", "completed", "failed"]);
  const { service } = world.broker.jobs;
  await eventually(() => service.events.listeners === 0, "nobody listens");
  expect([service.claimers.size, service.watched]).toEqual([0, 0]);
  expect(await world.leftovers()).toEqual({});
}, 300_000);

/** The last statuses that a client of a job hears of; now and then it is cut off and comes back. */
async function ends(jobs: JobsApi, id: string): Promise<string[]> {
  const heard: string[] = [];
  let last: string | undefined;
  for (;;) {
    const stream = await jobs.events(id, last);
    for (let event = await stream.next(); event !== undefined; event = await stream.next()) {
      last = event.id;
      const { status } = JSON.parse(event.data);
      if (["completed", "failed", "canceled"].includes(status)) heard.push(status);
      else if (random(8) === 0) break;
    }
    await stream.cancel();
    // Nothing more: it has ended, or there is no more to tell.
    if (heard.length > 0 || stream.status === 204) return heard;
  }
}

test("memory is where it was when the jobs of many rounds are forgotten", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({
    JOBS_STORE: "memory",
    JOBS_RETENTION: "1s",

    JOBS_CLIENT_TTL: "0",
  });
  const jobs = new JobsApi(broker.origin);
  const round = async (): Promise<number> => {
    const metadata = { text: "x".repeat(10_000) };
    await side(32, async () => {
      for (let count = 0; count < 50; count++) {
        await jobs.created({ metadata });
        const { job_id } = await jobs.claimed({ max_wait_seconds: 30 });
        await jobs.status(job_id, "completed");
      }
    });
    await forgotten(broker);
    return broker.rss;
  };
  for (let warm = 0; warm < 3; warm++) await round();
  const before = broker.rss;
  let after = before;
  for (let rounds = 0; rounds < 6; rounds++) after = await round();
  expect(after - before).toBeLessThan(32);
  expect(troubles(processes)).toEqual([]);
}, 240_000);

/** Resolves once the broker has no jobs. */
async function forgotten(broker: BrokerProgram): Promise<void> {
  const abort = new AbortController();
  const read = async (): Promise<void> => {
    const response = await fetch(`${broker.origin}/api/state/stream`, {
      headers: { authorization: `Bearer ${API_KEY}` },
      signal: abort.signal,
    });
    let text = "";
    for await (const chunk of response.body ?? []) {
      text += new TextDecoder().decode(chunk);
      if (text.includes('"total_jobs":0')) return;
      text = text.slice(text.lastIndexOf("\n\n"));
    }
  };
  try {
    await until(read(), "all jobs are forgotten", 30_000);
  } finally {
    abort.abort();
  }
}
