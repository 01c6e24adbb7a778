// Jobs under load and in races: everything ends once, and nothing of it stays.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { type ClaimView, JobsApi } from "../kit/jobs/jobs.ts";
import { random, side } from "../kit/load/side.ts";
import { Processes, troubles } from "../kit/processes.ts";
import { until } from "../kit/time/until.ts";

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
  await using processes = new Processes();
  const env = { JOBS_STORE: join(processes.folder, "jobs.db"), JOBS_CLIENT_TTL: "0", JOBS_MAX_ENDED: "20000" };
  const broker = await processes.broker(env);
  const jobs = new JobsApi(broker.origin);
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
  await broker.state(state => state.jobs.terminal_jobs === JOBS, `${JOBS} jobs end`, 120_000);
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

  await broker.quiet();
  for (const gauge of ["waiting_workers", "listeners", "watched"])
    expect(await broker.metric(`nfrx_jobs_${gauge}`)).toBe(0);
  broker.signal("SIGTERM");
  await broker.ending();

  // When their time is over nothing of it is left.
  const later = await processes.broker({ ...env, JOBS_RETENTION: "1s" });
  await later.state(state => state.jobs.total_jobs === 0, "all jobs are forgotten", 60_000);
  expect(await later.metric("nfrx_jobs_event_bytes")).toBe(0);
  expect(troubles(processes)).toEqual([]);
}, 300_000);

test("10,000 races of cancel, finish and claim: one end each, and every client hears of it once", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({ JOBS_SSE_CLOSE_DELAY: "0", JOBS_MAX_ENDED: "1000", JOBS_LEASE: "60s" });
  const jobs = new JobsApi(broker.origin);
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
  await broker.quiet();
  for (const gauge of ["waiting_workers", "listeners", "watched"])
    expect(await broker.metric(`nfrx_jobs_${gauge}`)).toBe(0);
  expect(troubles(processes)).toEqual([]);
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
    await broker.state(state => state.jobs.total_jobs === 0, "all jobs are forgotten");
    return broker.rss;
  };
  const sizes: number[] = [];
  while (sizes.length < 3) sizes.push(await round());
  const before = Math.min(...sizes);
  // What one round brings is 16 MiB: what stayed of it would add up.
  for (let rounds = 0; rounds < 6; rounds++) await round();
  // When the collector comes is its own affair.
  let after = await round();
  for (let rounds = 0; rounds < 12 && after - before >= 32; rounds++) after = await round();
  expect(after - before).toBeLessThan(32);
  expect(troubles(processes)).toEqual([]);
}, 240_000);
