import { describe, expect, test } from "bun:test";
import { CLAIM_WAITERS_MAX } from "../../../src/broker/jobs/limits.ts";
import { RawClient } from "../../kit/http/raw-client.ts";
import { JobsApi } from "../../kit/jobs/jobs.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { eventually, until } from "../../kit/time/until.ts";
import { API_KEY, CLIENT_KEY, World, type WorldOptions } from "../../kit/world.ts";

function start(options: WorldOptions = {}) {
  const world = new World(options);
  const jobs = new JobsApi(world.origin);
  const { claimWaiters } = world.broker.jobs.service;
  const waiting = (count: number): Promise<void> =>
    eventually(
      () => claimWaiters.size === count,
      () => `${count} wait for jobs, not ${claimWaiters.size}`,
    );
  return { world, jobs, claimWaiters, waiting };
}

const CLAIM = "/api/jobs/claim";
const AGENT = { authorization: `Bearer ${CLIENT_KEY}` };

describe("a claim that waits", () => {
  test("gets the job that comes, at once; another type's waiter sleeps on", async () => {
    const { world, jobs, waiting } = start();
    await using _ = world;
    const [x, y] = [
      jobs.claimed({ types: ["x"], max_wait_seconds: 30 }),
      jobs.claimed({ types: ["y"], max_wait_seconds: 30 }),
    ];
    await waiting(2);
    const second = await jobs.created({ type: "y" });
    expect((await y).job_id).toBe(second);
    await waiting(1);
    const first = await jobs.created({ type: "x" });
    expect((await x).job_id).toBe(first);
  });

  test("ends with 204 when its time is over", async () => {
    const clock = new TestClock();
    const { world, jobs, waiting } = start({ clock });
    await using _ = world;
    const claim = jobs.claim({ max_wait_seconds: 5 });
    await waiting(1);
    clock.advance(4999);
    await waiting(1);
    clock.advance(1);
    expect((await claim).status).toBe(204);
    await waiting(0);
  });

  test("is given up with its connection, and the job goes to who is there", async () => {
    const { world, jobs, waiting } = start();
    await using _ = world;
    for (let round = 0; round < 30; round++) {
      const gone = await RawClient.connect(world.broker.port);
      await gone.post(CLAIM, '{"max_wait_seconds":60}', AGENT);
      await waiting(1);
      // The end of the connection and the job come in any order.
      const ending = round % 3 === 0 ? undefined : jobs.created();
      gone.destroy(round % 2 === 0 ? "rst" : "fin");
      const id = await (ending ?? jobs.created());
      const claimed = await jobs.claimed({ max_wait_seconds: 30 });
      expect([claimed.job_id, claimed.attempt]).toEqual([id, 1]);
      await jobs.status(id, "completed");
      await waiting(0);
    }
  });

  test("of a worker that has sent nothing but its end gets nothing", async () => {
    const { world, jobs, waiting } = start();
    await using _ = world;
    const id = await jobs.created();
    const gone = await RawClient.connect(world.broker.port);
    void gone.post(CLAIM, "{}", AGENT);
    gone.destroy("fin");
    await eventually(() => gone.closed, "the connection is over");
    const claimed = await jobs.claimed({ max_wait_seconds: 30 });
    expect([claimed.job_id, claimed.attempt]).toEqual([id, 1]);
    await waiting(0);
  });

  test("at a draining broker ends, and no other begins", async () => {
    const { world, jobs, waiting } = start();
    await using _ = world;
    const id = await jobs.created();
    const held = await jobs.claimed();
    const claim = jobs.claim({ max_wait_seconds: 60 });
    const stream = await jobs.stream("?types=x");
    await waiting(2);
    const finished = world.broker.finish(60_000);
    expect((await claim).status).toBe(204);
    expect(await stream.next()).toBeUndefined();
    for (const answer of [await jobs.claim(), await jobs.create({ type: "t" })]) {
      expect(answer).toMatchObject({ status: 503, body: { error: "draining" } });
      expect(answer.headers.get("retry-after")).not.toBeNull();
    }
    expect((await jobs.send(CLIENT_KEY, "GET", "/stream")).status).toBe(503);
    // What a worker has goes on, and is waited for.
    expect(world.broker.drain.inflight).toBe(1);
    expect((await jobs.payload(id, { claim_id: held.claim_id })).status).toBe(200);
    expect((await jobs.status(id, "completed", { claim_id: held.claim_id })).status).toBe(200);
    expect(await finished).toBe(true);
    expect((await jobs.get(id)).body.status).toBe("completed");
  });

  test("is one of so many; more are told to come back", async () => {
    const { world, jobs, claimWaiters } = start();
    await using _ = world;
    const leaving = new AbortController();
    for (let n = 0; n < CLAIM_WAITERS_MAX; n++) {
      claimWaiters.wait({ types: ["none"], workerId: "", workerGroup: "" }, leaving.signal).catch(() => {});
    }
    expect(await jobs.claim({ types: ["none"] })).toMatchObject({ status: 503, body: { error: "overloaded" } });
    leaving.abort();
    await eventually(() => claimWaiters.size === 0, "all have left");
    expect((await jobs.claim({ types: ["none"] })).status).toBe(204);
  });
});

describe("the order", () => {
  test("is by priority, then first come, first served; a view knows its place", async () => {
    const { world, jobs } = start();
    await using _ = world;
    const [low, high, middle, next] = [
      await jobs.created(),
      await jobs.created({ priority: 9 }),
      await jobs.created({ priority: 5 }),
      await jobs.created(),
    ];
    const places = await Promise.all(
      [high, middle, low, next].map(async id => (await jobs.get(id)).body.queue_position),
    );
    expect(places).toEqual([1, 2, 3, 4]);
    const order: string[] = [];
    for (let n = 0; n < 4; n++) order.push((await jobs.claimed()).job_id);
    expect(order).toEqual([high, middle, low, next]);
    expect((await jobs.get(low)).body.queue_position).toBeUndefined();
  });

  test("is not changed by a worker that gives a job back", async () => {
    const { world, jobs } = start();
    await using _ = world;
    const [first] = [await jobs.created(), await jobs.created()];
    const { job_id, claim_id } = await jobs.claimed();
    expect(job_id).toBe(first);
    expect((await jobs.status(first, "queued", { claim_id })).body.status).toBe("queued");
    expect((await jobs.get(first)).body.claimed_worker_id).toBeUndefined();
    expect(await jobs.claimed()).toMatchObject({ job_id: first, attempt: 1 });
  });

  test("waiting workers have jobs in turn", async () => {
    const { world, jobs, waiting } = start();
    await using _ = world;
    const got: string[] = [];
    const workers = ["a", "b", "c"];
    const claims: Promise<void>[] = [];
    for (const [at, worker_id] of workers.entries()) {
      claims.push(
        jobs.claimed({ worker_id, max_wait_seconds: 30 }).then(job => void got.push(`${worker_id} ${job.job_id}`)),
      );
      await waiting(at + 1);
    }
    const ids: string[] = [];
    for (const [at] of workers.entries()) {
      ids.push(await jobs.created());
      await waiting(workers.length - at - 1);
    }
    await Promise.all(claims);
    expect(got.sort()).toEqual(workers.map((worker, at) => `${worker} ${ids[at]}`));
  });
});

describe("affinity", () => {
  test("a job goes to whom it names, by id, by group, by both", async () => {
    const { world, jobs } = start();
    await using _ = world;
    const ids = {
      worker: await jobs.created({ worker_id: "w" }),
      group: await jobs.created({ worker_group: "g" }),
      both: await jobs.created({ worker_id: "w", worker_group: "g" }),
    };
    expect((await jobs.claim()).status).toBe(204);
    expect((await jobs.claim({ worker_id: "v", worker_group: "h" })).status).toBe(204);
    expect((await jobs.claimed({ worker_id: "v", worker_group: "g" })).job_id).toBe(ids.group);
    expect((await jobs.claimed({ worker_id: "w" })).job_id).toBe(ids.worker);
    expect((await jobs.claim({ worker_id: "w" })).status).toBe(204);
    expect((await jobs.claimed({ worker_id: " w ", worker_group: "g" })).job_id).toBe(ids.both);
  });
});

describe("a worker's stream", () => {
  test("brings every job that suits, and comments while there is none", async () => {
    const clock = new TestClock();
    const { world, jobs } = start({ clock });
    await using _ = world;
    const stream = await jobs.stream("?types=x,y&types=z&worker_id=w&worker_group=g&lease_seconds=60&max=2");
    expect(stream.headers.get("content-type")).toBe("text/event-stream");
    expect(await stream.comment()).toBe("keep-alive");
    clock.advance(15_000);
    expect(await stream.comment()).toBe("keep-alive");
    await jobs.created({ type: "other" });
    const ids = [await jobs.created({ type: "x" }), await jobs.created({ type: "z" })];
    for (const job_id of ids) {
      expect(await stream.job()).toMatchObject({
        job_id,
        claimed_worker_id: "w",
        claimed_worker_group: "g",
        lease_seconds: 60,
      });
    }
    await stream.cancel();
  });

  test("that has ended gets no more, and what it could not be told goes to another", async () => {
    const { world, jobs, waiting } = start();
    await using _ = world;
    for (let round = 0; round < 20; round++) {
      const gone = await RawClient.connect(world.broker.port);
      await gone.write(`GET /api/jobs/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${CLIENT_KEY}\r\n\r\n`);
      await waiting(1);
      gone.destroy(round % 2 === 0 ? "rst" : "fin");
      const id = await jobs.created();
      const claimed = await jobs.claimed({ max_wait_seconds: 30 });
      expect([claimed.job_id, claimed.attempt]).toEqual([id, 1]);
      await waiting(0);
    }
  });

  test("shares with others: each has its turn", async () => {
    const { world, jobs, waiting } = start();
    await using _ = world;
    const streams = [await jobs.stream("?worker_id=a&max=4"), await jobs.stream("?worker_id=b&max=4")];
    const got: string[] = [];
    for (let n = 0; n < 6; n++) {
      await waiting(2);
      await jobs.created();
      const job = await streams[n % 2]?.job();
      got.push(job?.claimed_worker_id ?? "");
    }
    expect(got).toEqual(["a", "b", "a", "b", "a", "b"]);
    for (const stream of streams) await stream.cancel();
  });
});

test("the state tells of jobs and of who does them", async () => {
  const clock = new TestClock();
  const { world, jobs, waiting } = start({ clock });
  await using _ = world;
  const stream = await jobs.stream("?types=x&worker_id=s");
  await waiting(1);
  const ids = [await jobs.created({ type: "a" }), await jobs.created({ type: "b" }), await jobs.created({ type: "c" })];
  const [a, b] = ids;
  await jobs.claimed({ types: ["a"], worker_id: "w", worker_group: "g" });
  clock.advance(2000);
  await jobs.status(a ?? "", "completed", { worker_id: "w" });
  await jobs.cancel(b ?? "");
  const response = await fetch(`${world.origin}/api/state`, { headers: { authorization: `Bearer ${API_KEY}` } });
  const { plugins }: { plugins: { jobs: { summary: object; workers: object[]; jobs: { id: string }[] } } } = JSON.parse(
    await response.text(),
  );
  expect(plugins.jobs.summary).toEqual({
    total_jobs: 3,
    queued_jobs: 1,
    claimed_jobs: 0,
    running_jobs: 0,
    awaiting_transfers: 0,
    terminal_jobs: 2,
    active_workers: 2,
    recent_workers: 2,
    streaming_workers: 1,
    completed_jobs: 1,
    failed_jobs: 0,
    canceled_jobs: 1,
    oldest_queued_seconds: 2,
    oldest_inflight_seconds: 0,
    avg_queue_wait_ms: 0,
    avg_service_ms: 2000,
    avg_end_to_end_ms: 2000,
    last_completed_at: expect.any(String),
    last_canceled_at: expect.any(String),
  });
  expect(plugins.jobs.workers).toEqual([
    {
      key: "w::g",
      worker_id: "w",
      worker_group: "g",
      last_seen_at: expect.any(String),
      last_claim_at: expect.any(String),
      last_claim_mode: "poll",
      last_job_id: String(a).slice(0, 8),
      types: ["a"],
      stream_count: 0,
      active: true,
    },
    {
      key: "s::",
      worker_id: "s",
      worker_group: "",
      last_seen_at: expect.any(String),
      types: ["x"],
      stream_count: 1,
      active: true,
    },
  ]);
  expect(plugins.jobs.jobs.map(({ id }) => id)).toEqual(ids.toReversed().map(id => id.slice(0, 8)));
  const metrics = await (await fetch(`${world.origin}/metrics`)).text();
  expect(metrics).toContain("nfrx_jobs_created_total 3\n");
  expect(metrics).toContain('nfrx_jobs_ended_total{status="completed",error_code=""} 1\n');
  await until(stream.cancel(), "the stream ends");
});
