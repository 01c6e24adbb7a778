import { describe, expect, test } from "bun:test";
import { type Claimer, type Job, matches } from "../../../../src/broker/jobs/job.ts";
import { CLAIM_WAITERS_MAX } from "../../../../src/broker/jobs/limits.ts";
import { ClaimWaiters } from "../../../../src/broker/jobs/queue/claim-waiters.ts";
import { ANYBODY, draftOf } from "../../../kit/jobs/store.ts";

interface Waiter {
  claimer: Claimer;
  got: Job | undefined | "waiting";
  leave: () => void;
  promise: Promise<unknown>;
}

/** A queue of jobs that answers when it is told to. */
class Line {
  readonly jobs: Job[] = [];
  asked = 0;
  /** Answers of the store that are held back; undefined lets them go at once. */
  held: (() => void)[] | undefined;
  readonly claimWaiters = new ClaimWaiters(claimer => this.#claim(claimer));

  /** Adds a job and offers it. */
  add(news: Partial<Job> = {}): Job {
    const job: Job = { ...draftOf(news), seq: this.jobs.length };
    this.jobs.push(job);
    this.claimWaiters.offer(job);
    return job;
  }

  /** Who waits, with what they get. */
  wait(wanted: Partial<Claimer> = {}): Waiter {
    const claimer = { ...ANYBODY, ...wanted };
    const left = new AbortController();
    const waiter: Waiter = { claimer, got: "waiting", leave: () => left.abort(), promise: Promise.resolve() };
    waiter.promise = this.claimWaiters.wait(claimer, left.signal).then(job => {
      waiter.got = job;
    });
    return waiter;
  }

  /** Lets the oldest answer go. */
  release(): void {
    this.held?.shift()?.();
  }

  /** The store takes the job when it is asked, and says so later. */
  async #claim(claimer: Claimer): Promise<Job | undefined> {
    this.asked++;
    const at = this.jobs.findIndex(job => matches(job, claimer));
    const [job] = at < 0 ? [] : this.jobs.splice(at, 1);
    await new Promise<void>(resolve => (this.held === undefined ? resolve() : this.held.push(resolve)));
    return job;
  }
}

const NEVER = new AbortController().signal;
const settled = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

describe("who waits for jobs", () => {
  test("a job that is there is had at once", async () => {
    const line = new Line();
    const job = line.add();
    const waiter = line.wait();
    await waiter.promise;
    expect(waiter.got).toEqual(job);
    expect(line.claimWaiters.size).toBe(0);
  });

  test("a job wakes the first who may have it, and nobody else", async () => {
    const line = new Line();
    const waiters = ["x", "y", "y", "z"].map(type => line.wait({ types: [type] }));
    await settled();
    expect(line.asked).toBe(4);
    const job = line.add({ type: "y" });
    await settled();
    expect(waiters.map(({ got }) => got)).toEqual(["waiting", job, "waiting", "waiting"]);
    expect(line.asked).toBe(5);
    line.add({ type: "nobody's" });
    await settled();
    expect(line.asked).toBe(5);
  });

  test("they are served in the order of their arrival", async () => {
    const line = new Line();
    const waiters = Array.from({ length: 5 }, () => line.wait());
    await settled();
    const jobs = Array.from({ length: 5 }, () => line.add());
    await settled();
    expect(waiters.map(({ got }) => got)).toEqual(jobs);
  });

  test("a job that comes while the store is being asked is not lost", async () => {
    const line = new Line();
    line.held = [];
    const waiter = line.wait();
    const job = line.add();
    line.release();
    await settled();
    line.release();
    await waiter.promise;
    expect(waiter.got).toEqual(job);
  });

  test("who gets another job than the one it was woken for hands the wakeup on", async () => {
    const line = new Line();
    const [first, second] = [line.wait({ types: ["a", "b"] }), line.wait({ types: ["b"] })];
    await settled();
    // Put before the offered one without a word, as another broker might.
    const quiet: Job = { ...draftOf({ type: "a" }), seq: 0 };
    line.jobs.push(quiet);
    const offered = line.add({ type: "b" });
    await settled();
    expect(first.got).toEqual(quiet);
    expect(second.got).toEqual(offered);
  });

  test("who leaves gets nothing, or the answer that is under way", async () => {
    const line = new Line();
    const idle = line.wait();
    await settled();
    idle.leave();
    idle.leave();
    await idle.promise;
    expect(idle.got).toBeUndefined();
    line.held = [];
    const job: Job = line.add();
    const asking = line.wait();
    asking.leave();
    line.release();
    await asking.promise;
    expect(asking.got).toEqual(job);
    expect(line.claimWaiters.size).toBe(0);
  });

  test("an offer to who is leaving with nothing goes to the next", async () => {
    const line = new Line();
    line.held = [];
    const [leaving, staying] = [line.wait(), line.wait()];
    const job = line.add();
    leaving.leave();
    line.release();
    line.release();
    await settled();
    line.release();
    await staying.promise;
    expect([leaving.got, staying.got]).toEqual([undefined, job]);
  });

  test("a store that fails is told to who asked, and the job to the next", async () => {
    let fail = true;
    const job: Job = { ...draftOf(), seq: 1 };
    let there: Job | undefined;
    const claimWaiters: ClaimWaiters = new ClaimWaiters(async () => {
      if (there === undefined) return undefined;
      if (fail) {
        fail = false;
        throw new Error("disk");
      }
      return there;
    });
    const first = claimWaiters.wait(ANYBODY, NEVER);
    const second = claimWaiters.wait(ANYBODY, NEVER);
    await settled();
    there = job;
    claimWaiters.offer(job);
    await expect(first).rejects.toThrow("disk");
    expect(await second).toEqual(job);
  });

  test("more than may wait are refused, and closing sends all away", async () => {
    const line = new Line();
    const waiters = Array.from({ length: CLAIM_WAITERS_MAX }, () => line.wait());
    expect(() => line.wait()).toThrow("too many");
    await line.claimWaiters.close();
    await Promise.all(waiters.map(({ promise }) => promise));
    expect(waiters.every(({ got }) => got === undefined)).toBe(true);
    expect(() => line.wait()).toThrow("is shutting down");
  });

  test("10,000 jobs and waiters that come, go and wait in any order: nothing is lost, nobody waits beside a job", async () => {
    const line = new Line();
    line.held = [];
    let seed = 7;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed % below;
    };
    const waiters: Waiter[] = [];
    const held = line.held;
    let added = 0;
    const steps = [
      () => {
        const types = [`t${random(4)}`, `t${random(4)}`];
        if (line.claimWaiters.size < 500) waiters.push(line.wait(random(3) === 0 ? {} : { types }));
      },
      () => {
        line.add({ type: `t${random(4)}` });
        added++;
      },
      () => waiters[random(waiters.length + 1)]?.leave(),
      () => held.splice(random(held.length), 1)[0]?.(),
      () => held.splice(random(held.length), 1)[0]?.(),
    ];
    while (added < 10_000) {
      steps[random(steps.length)]?.();
      if (random(5) === 0) await Promise.resolve();
    }
    for (let n = 0; n < 100 || line.held.length > 0; n++) {
      line.release();
      if (line.held.length === 0) await settled();
    }
    const got = waiters.flatMap(waiter => (typeof waiter.got === "object" ? [waiter.got.id] : []));
    expect(new Set(got).size).toBe(got.length);
    expect(got.length + line.jobs.length).toBe(added);
    expect(line.claimWaiters.size).toBe(waiters.filter(waiter => waiter.got === "waiting").length);
    // What is left on either side does not fit together.
    const waiting = waiters.filter(waiter => waiter.got === "waiting");
    for (const { claimer } of waiting) expect(line.jobs.filter(job => matches(job, claimer))).toEqual([]);
    expect(waiting.length + line.jobs.length).toBeGreaterThan(0);
  });
});
