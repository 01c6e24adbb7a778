// Brokers that are killed at their work: nothing that was acknowledged is lost.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { JobsApi } from "../kit/jobs/jobs.ts";
import { random, side } from "../kit/load/side.ts";
import { Processes, troubles } from "../kit/processes.ts";
import { eventually, until } from "../kit/time/until.ts";

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
