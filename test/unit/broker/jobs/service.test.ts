import { afterEach, describe, expect, test } from "bun:test";
import type { Job } from "../../../../src/broker/jobs/job.ts";
import { JOB_LOG_BYTES, JOB_LOG_EVENTS } from "../../../../src/broker/jobs/limits.ts";
import type { ChannelOptions, Channels } from "../../../../src/broker/jobs/queue/channels.ts";
import { eventText, type JobEvent } from "../../../../src/broker/jobs/queue/events.ts";
import { JobMetrics } from "../../../../src/broker/jobs/queue/metrics.ts";
import { type JobRequest, JobService, type JobSettings } from "../../../../src/broker/jobs/queue/service.ts";
import type { JobStore } from "../../../../src/broker/jobs/store/store.ts";
import { Meters } from "../../../../src/lib/series.ts";
import { ANYBODY, distant, memoryStore } from "../../../kit/jobs/store.ts";
import { TestClock } from "../../../kit/time/clock.ts";
import { eventually, until } from "../../../kit/time/until.ts";

const SETTINGS: JobSettings = {
  leaseMs: 60_000,
  maxAttempts: 3,
  clientTtlMs: 30_000,
  retentionMs: 3_600_000,
  maxEnded: 100,
};
const WANTED: JobRequest = {
  type: "t",
  priority: 0,
  metadata: "",
  workerId: "",
  workerGroup: "",
  owner: "-",
  caller: "one",
  cancelWhenUnwatched: false,
};

/** Channels that only know that they are open. */
class FakeChannels implements Channels {
  readonly open = new Map<string, ChannelOptions>();
  #count = 0;

  create(options: ChannelOptions) {
    const id = `channel-${++this.#count}`;
    this.open.set(id, options);
    return { id, expiresAt: 1_700_000_100_000 };
  }

  close(id: string): void {
    this.open.delete(id);
  }

  /** Bytes pass through all of them. */
  progress(): void {
    for (const { onProgress } of this.open.values()) onProgress();
  }

  awaitsClient(id: string): boolean {
    return this.open.has(id);
  }
}

const running: Bench[] = [];

class Bench {
  readonly clock = new TestClock();
  readonly channels = new FakeChannels();
  readonly store: JobStore;
  readonly service: JobService;
  readonly logs: string[] = [];

  constructor(settings: Partial<JobSettings> = {}, wrap: (store: JobStore) => JobStore = store => store) {
    const log = (_fields: object, message: string): number => this.logs.push(message);
    this.store = wrap(memoryStore(this.clock));
    this.service = new JobService({
      store: this.store,
      channels: this.channels,
      settings: { ...SETTINGS, ...settings },
      metrics: new JobMetrics(new Meters()),
      clock: this.clock,
      log: { debug: log, info: log, warn: log, error: log, fatal: log },
    });
    running.push(this);
  }

  /** A service of another process on the same store. */
  another(): JobService {
    return new JobService({
      store: this.store,
      channels: this.channels,
      settings: SETTINGS,
      metrics: new JobMetrics(new Meters()),
      clock: this.clock,
      log: { debug() {}, info() {}, warn() {}, error() {}, fatal() {} },
    });
  }

  async create(news: Partial<JobRequest> = {}): Promise<Job> {
    return (await this.service.create({ ...WANTED, ...news })).job;
  }

  /** A claim that waits for nothing. */
  claim(news: Partial<typeof ANYBODY> & { leaseMs?: number } = {}): Promise<Job | undefined> {
    return this.service.claim({ ...ANYBODY, ...news }, AbortSignal.abort());
  }

  /** Lets time pass, and what that begins come to its end. */
  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    for (let turns = 0; turns < 20; turns++) await new Promise<void>(resolve => setImmediate(resolve));
  }

  async status(job: Job): Promise<string | undefined> {
    return (await this.store.get(job.id))?.status;
  }
}

afterEach(async () => {
  for (const bench of running.splice(0)) await bench.service.close();
});

describe("leases", () => {
  test("a silent worker's job goes to the next, and the third loss is the end of it", async () => {
    const bench = new Bench({ clientTtlMs: 0 });
    const job = await bench.create();
    for (let attempt = 1; attempt <= 3; attempt++) {
      expect(await bench.claim()).toMatchObject({ id: job.id, attempts: attempt });
      await bench.pass(59_999);
      expect(await bench.status(job)).toBe("claimed");
      await bench.pass(1);
      expect(await bench.status(job)).toBe(attempt < 3 ? "queued" : "failed");
    }
    expect(await bench.store.get(job.id)).toMatchObject({ error: { code: "worker_lost" } });
    expect(await bench.claim()).toBeUndefined();
  });

  test("any word of the worker renews its lease: a report, a channel, a heartbeat, a running transfer", async () => {
    const bench = new Bench({ clientTtlMs: 0 });
    const job = await bench.create();
    await bench.claim();
    const words = [
      () => bench.service.report(job.id, {}, { state: "running" }),
      () => bench.service.transfer(job.id, {}, { role: "payload", key: "k", caller: "w" }),
      () => bench.service.heartbeat(job.id, {}),
      async () => bench.channels.progress(),
    ];
    for (const word of words) {
      await bench.pass(50_000);
      await word();
    }
    await bench.pass(59_999);
    expect(await bench.status(job)).toBe("awaiting_payload");
    await bench.pass(1);
    expect(await bench.status(job)).toBe("queued");
  });

  test("a claim may ask for a lease of its own", async () => {
    const bench = new Bench({ clientTtlMs: 0 });
    const job = await bench.create();
    await bench.claim({ leaseMs: 5000 });
    await bench.pass(5000);
    expect(await bench.status(job)).toBe("queued");
  });

  test("a worker that comes back late is told so, before and after the job is somebody else's", async () => {
    const bench = new Bench({ clientTtlMs: 0 });
    const job = await bench.create();
    const late = await bench.claim({ workerId: "late" });
    const { channelId } = await bench.service.transfer(
      job.id,
      { workerId: "late" },
      { role: "payload", key: "k", caller: "w" },
    );
    await bench.pass(60_000);
    expect(bench.channels.open.has(channelId)).toBe(false);
    const by = { claimId: late?.claim?.id };
    const refusal = { code: "invalid_state", status: 409 };
    await expect(bench.service.report(job.id, {}, { state: "completed" })).rejects.toMatchObject(refusal);
    const next = await bench.claim({ workerId: "next" });
    await expect(bench.service.report(job.id, by, { state: "completed" })).rejects.toMatchObject(refusal);
    await expect(bench.service.heartbeat(job.id, { workerId: "late" })).rejects.toMatchObject(refusal);
    await expect(bench.service.transfer(job.id, by, { role: "result", key: "r", caller: "w" })).rejects.toMatchObject(
      refusal,
    );
    expect(bench.channels.open.size).toBe(0);
    await bench.service.report(job.id, { claimId: next?.claim?.id }, { state: "completed" });
    expect(await bench.status(job)).toBe("completed");
  });

  test("a job that comes back wakes who waits for it", async () => {
    const bench = new Bench({ clientTtlMs: 0 });
    const job = await bench.create();
    const first = await bench.claim();
    const waiting = bench.service.claim(ANYBODY, new AbortController().signal);
    if (first === undefined) throw new Error("nothing was claimed");
    await bench.service.giveBack(first);
    expect(await waiting).toMatchObject({ id: job.id, attempts: 1 });
  });
});

describe("clients", () => {
  test("who neither listens nor asks loses the job, in whatever state", async () => {
    const bench = new Bench();
    const [queued, claimed] = [await bench.create(), await bench.create({ type: "u" })];
    await bench.claim({ types: ["u"] });
    await bench.pass(29_999);
    expect([await bench.status(queued), await bench.status(claimed)]).toEqual(["queued", "claimed"]);
    await bench.pass(1);
    for (const job of [queued, claimed]) {
      expect(await bench.store.get(job.id)).toMatchObject({ status: "canceled", error: { code: "client_inactive" } });
    }
  });

  test("asking, listening and a running transfer keep it", async () => {
    const bench = new Bench({ leaseMs: 1_000_000 });
    const job = await bench.create();
    await bench.claim();
    await bench.pass(29_000);
    await bench.service.get(job.id);
    await bench.pass(29_000);
    const ends = [bench.service.listen(job.id, () => {}), bench.service.listen(job.id, () => {})];
    await bench.pass(100_000);
    for (const end of ends) end();
    await bench.pass(29_000);
    await bench.service.transfer(job.id, {}, { role: "payload", key: "k", caller: "w" });
    bench.channels.progress();
    await bench.pass(29_999);
    expect(await bench.status(job)).toBe("awaiting_payload");
    await bench.pass(1);
    expect(await bench.status(job)).toBe("canceled");
    expect(bench.channels.open.size).toBe(0);
  });

  test("those of jobs from an earlier process have their time again", async () => {
    const bench = new Bench();
    const job = await bench.create();
    await bench.pass(20_000);
    const restarted = bench.another();
    await bench.pass(29_999);
    await restarted.get(job.id);
    await restarted.close();
  });
});

describe("events", () => {
  test("every change is told once, in order, with a number that rises", async () => {
    const bench = new Bench({ clientTtlMs: 0 }, distant);
    const job = await bench.create();
    await eventually(() => bench.service.events.bytes > 0, "the first event");
    const heard: JobEvent[] = [];
    bench.service.listen(job.id, event => heard.push(event));
    await bench.claim();
    await bench.service.transfer(job.id, {}, { role: "payload", key: "payload", caller: "w" });
    await bench.service.report(job.id, {}, { state: "running", progress: '{"percent":1}' });
    await bench.service.transfer(job.id, {}, { role: "result", key: "result", caller: "w" });
    await bench.service.report(job.id, {}, { state: "completed" });
    await bench.service.cancel(job.id);
    await eventually(() => heard.at(-1)?.id === 8, "the last event");
    expect(heard.map(({ id, kind, job: { status } }) => [id, kind === "status" ? status : kind])).toEqual([
      [2, "claimed"],
      [3, "payload"],
      [4, "awaiting_payload"],
      [5, "running"],
      [6, "result"],
      [7, "awaiting_result"],
      [8, "completed"],
    ]);
    expect(eventText(heard[1] ?? heard[0]!)).toStartWith('event: payload\nid: 3\ndata: {"key":"payload"');
    expect(bench.service.events.since(job.id, 5)?.map(({ id }) => id)).toEqual([6, 7, 8]);
    expect(bench.service.events.since(job.id, 8)).toEqual([]);
    expect(bench.service.events.since(job.id, 0)?.[0]).toMatchObject({ id: 1, job: { status: "queued" } });
  });

  test("what is kept of them is bounded, for each job and for all", async () => {
    const bench = new Bench({ clientTtlMs: 0 });
    const job = await bench.create();
    await bench.claim();
    for (let n = 0; n < JOB_LOG_EVENTS + 10; n++) await bench.service.report(job.id, {}, { state: "running" });
    expect(bench.service.events.since(job.id, 2)).toBeUndefined();
    expect(bench.service.events.since(job.id, 40)?.length).toBe(JOB_LOG_EVENTS + 12 - 40);
    const metadata = JSON.stringify({ text: "x".repeat(60_000) });
    for (let n = 0; n < 400; n++) await bench.create({ metadata });
    expect(bench.service.events.bytes).toBeLessThanOrEqual(JOB_LOG_BYTES);
    expect(bench.service.events.bytes).toBeGreaterThan(JOB_LOG_BYTES / 2);
    expect(bench.service.events.since(job.id, 70)).toBeUndefined();
  });

  test("what workers say of a job counts, too", async () => {
    const bench = new Bench({ clientTtlMs: 0 });
    const job = await bench.create();
    await bench.claim();
    const progress = JSON.stringify({ text: "x".repeat(60_000) });
    await bench.service.report(job.id, {}, { state: "running", progress });
    const { bytes } = bench.service.events;
    expect(bytes).toBeGreaterThan(60_000);
    await bench.service.report(job.id, {}, { state: "running", progress: "{}" });
    expect(bench.service.events.bytes - bytes).toBeLessThan(10_000);
  });

  test("cancel, finish, lapse and claim at once: one wins, and it is told once", async () => {
    const bench = new Bench({ clientTtlMs: 0, leaseMs: 1000, maxAttempts: 1 }, distant);
    for (let round = 0; round < 200; round++) {
      const job = await bench.create();
      const heard: JobEvent[] = [];
      const end = bench.service.listen(job.id, event => heard.push(event));
      const claiming = bench.claim();
      if (round % 2 === 0) await claiming;
      const finish = (state: string) => bench.service.report(job.id, {}, { state }).catch(() => {});
      bench.clock.advance(1000);
      await Promise.all([
        claiming,
        bench.service.cancel(job.id),
        finish("completed"),
        finish("failed"),
        finish("running"),
      ]);
      // A lapse that has won may have to hear so yet.
      await bench.pass(0);
      const last = await bench.store.get(job.id);
      await eventually(() => heard.at(-1)?.id === last?.rev, "the last event");
      const terminal = heard.filter(({ job: { endedAt } }) => endedAt !== undefined);
      expect(terminal.map(event => [event.id, event.job.status])).toEqual([[last?.rev ?? 0, last?.status ?? "queued"]]);
      expect(heard.at(-1)).toBe(terminal[0]!);
      end();
    }
  });
});

describe("two services of one store", () => {
  test("what one does wakes the workers, the listeners and the claims of the other", async () => {
    const bench = new Bench({}, distant);
    const other = bench.another();
    const claiming = other.claim(ANYBODY, new AbortController().signal);
    await bench.pass(0);
    const { id } = await bench.create();
    const claimed = await until(claiming, "a claim at the other service");
    expect(claimed).toMatchObject({ id, status: "claimed" });
    let over = false;
    other.streamed.watch(claimed?.claim?.id ?? "", () => {
      over = true;
    });
    const heard: string[] = [];
    bench.service.listen(id, event => void heard.push(event.job.status));
    await other.report(id, {}, { state: "running" });
    await eventually(() => heard.includes("running"), "a report at the other service");
    await bench.service.cancel(id);
    await eventually(() => over, "the end of the claim");
    expect(heard.at(-1)).toBe("canceled");
    expect(other.watched).toBe(0);
    await other.close();
  });
});

describe("what is kept", () => {
  test("ended jobs go when their time is over, and the oldest beyond a number at once", async () => {
    const bench = new Bench({ clientTtlMs: 0, maxEnded: 3, retentionMs: 60_000 });
    const jobs: Job[] = [];
    for (let n = 0; n < 5; n++) {
      const job = await bench.create();
      await bench.service.cancel(job.id);
      jobs.push(job);
      bench.clock.advance(10);
    }
    await bench.pass(1000);
    const there = async (): Promise<boolean[]> =>
      Promise.all(jobs.map(async ({ id }) => (await bench.store.get(id)) !== undefined));
    expect(await there()).toEqual([false, false, true, true, true]);
    await bench.pass(58_000);
    expect(await there()).toEqual([false, false, true, true, true]);
    for (let n = 0; n < 3; n++) await bench.pass(1001);
    expect(await there()).toEqual([false, false, false, false, false]);
    expect(bench.service.events.bytes).toBe(0);
    expect(bench.clock.armed).toBe(0);
  });

  test("an idempotency key brings the same job, and refuses another request", async () => {
    const bench = new Bench();
    const idempotency = { key: "k", digest: "d" };
    const first = await bench.service.create({ ...WANTED, idempotency });
    const again = await bench.service.create({ ...WANTED, idempotency });
    expect([first.added, again.added]).toEqual([true, false]);
    expect(again.job.id).toBe(first.job.id);
    const other = bench.service.create({ ...WANTED, idempotency: { key: "k", digest: "e" } });
    await expect(other).rejects.toMatchObject({ code: "idempotency_conflict", status: 409 });
  });
});

describe("an end", () => {
  test("sends waiting workers away, and loses nothing that is under way", async () => {
    const bench = new Bench({}, distant);
    const waiting = bench.service.claim(ANYBODY, new AbortController().signal);
    await eventually(() => bench.service.claimWaiters.size === 1, "somebody waits");
    const creating = bench.create({ type: "nobody's" }).catch(() => undefined);
    await bench.service.close();
    expect((await waiting)?.type).not.toBe("t");
    await creating;
    expect(() => bench.service.claim(ANYBODY, new AbortController().signal)).toThrow("is shutting down");
  });
});
