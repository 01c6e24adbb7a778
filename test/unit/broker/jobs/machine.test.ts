import { describe, expect, test } from "bun:test";
import { isHeld, isTerminal, type Job, type JobStatus, STATUSES } from "../../../../src/broker/jobs/job.ts";
import { JOB_TRANSFERS_MAX } from "../../../../src/broker/jobs/limits.ts";
import { type Change, type Proof, transition } from "../../../../src/broker/jobs/machine.ts";
import { NfrxError } from "../../../../src/lib/errors.ts";

const CLAIM = { id: "claim-1", workerId: "w", workerGroup: "g", leaseMs: 1000, at: 5 };
const HELD: readonly JobStatus[] = ["claimed", "awaiting_payload", "running", "awaiting_result"];
const ENDED: readonly JobStatus[] = ["completed", "failed", "canceled"];

function jobOf(status: JobStatus, news: Partial<Job> = {}): Job {
  return {
    id: "job",
    seq: 1,
    rev: 7,
    type: "t",
    status,
    priority: 0,
    metadata: "",
    workerId: "",
    workerGroup: "",
    owner: "-",
    caller: "one",
    cancelWhenUnwatched: false,
    attempts: status === "queued" ? 0 : 1,
    claim: status === "queued" ? undefined : CLAIM,
    transfers: [],
    createdAt: 1,
    updatedAt: 1,
    endedAt: ENDED.includes(status) ? 6 : undefined,
    ...news,
  };
}

const claim: Change = { does: "claim", claim: { ...CLAIM, id: "claim-2" } };
const cancel: Change = { does: "cancel" };
const giveBack: Change = { does: "give back", claimId: CLAIM.id };
const lapse: Change = { does: "lapse", claimId: CLAIM.id, maxAttempts: 3 };
const BY = { claimId: CLAIM.id };
const report = (state: string, by: Proof = BY): Change => ({ does: "report", by, state });
const transfer = (key = "payload", role: "payload" | "result" = "payload"): Change => ({
  does: "transfer",
  by: BY,
  transfer: { role, key, channelId: "c", expiresAt: 60 },
});

/** The status after a change, "same" when there is none, or the word of the refusal. */
function verdict(job: Job, change: Change): string {
  try {
    return transition(job, change, 10)?.status ?? "same";
  } catch (error) {
    if (error instanceof NfrxError) return error.code;
    throw error;
  }
}

describe("what may become of a job", () => {
  test.each(STATUSES.map(status => [status] as const))("from %s", status => {
    const job = jobOf(status);
    const held = HELD.includes(status);
    const ended = ENDED.includes(status);
    expect(verdict(job, claim)).toBe(status === "queued" ? "claimed" : "same");
    expect(verdict(job, cancel)).toBe(ended ? "same" : "canceled");
    expect(verdict(job, giveBack)).toBe(held ? "queued" : "same");
    expect(verdict(job, lapse)).toBe(held ? "queued" : "same");
    expect(verdict(job, transfer())).toBe(held ? "awaiting_payload" : "invalid_state");
    expect(verdict(job, transfer("r", "result"))).toBe(held ? "awaiting_result" : "invalid_state");
    for (const state of STATUSES) expect(verdict(job, report(state))).toBe(held ? state : "invalid_state");
  });

  test.each([
    ["", "missing_state"],
    ["bogus", "unknown_state"],
    ["Running", "unknown_state"],
    ["constructor", "unknown_state"],
  ])("a report of %p is %s, whatever the job", (state, word) => {
    for (const status of STATUSES) expect(verdict(jobOf(status), report(state))).toBe(word);
  });

  test("only the holder's word counts, where it says who it is", () => {
    const job = jobOf("running");
    expect(verdict(job, report("completed", { claimId: "claim-1" }))).toBe("completed");
    expect(verdict(job, report("completed", { workerId: "w" }))).toBe("completed");
    expect(verdict(job, report("completed", { claimId: "claim-0" }))).toBe("invalid_state");
    expect(verdict(job, report("completed", { workerId: "v" }))).toBe("invalid_state");
    expect(verdict(job, report("completed", { claimId: "claim-1", workerId: "v" }))).toBe("invalid_state");
    expect(verdict(job, report("completed", {}))).toBe("invalid_state");
    const nameless = jobOf("running", { claim: { ...CLAIM, workerId: "" } });
    expect(verdict(nameless, report("completed", { workerId: "v" }))).toBe("completed");
    expect(verdict(nameless, report("completed", {}))).toBe("completed");
    expect(verdict(job, { ...giveBack, claimId: "claim-0" })).toBe("same");
    expect(verdict(job, { ...lapse, claimId: "claim-0" })).toBe("same");
  });

  test("a lost job is handed out again until its claims are used up", () => {
    expect(transition(jobOf("running", { attempts: 2 }), lapse, 10)).toMatchObject({
      status: "queued",
      attempts: 2,
      claim: undefined,
      transfers: [],
    });
    expect(transition(jobOf("running", { attempts: 3 }), lapse, 10)).toMatchObject({
      status: "failed",
      error: { code: "worker_lost" },
      endedAt: 10,
      claim: CLAIM,
    });
  });

  test("a claim that is given back does not count", () => {
    expect(transition(jobOf("claimed"), giveBack, 10)?.attempts).toBe(0);
    expect(transition(jobOf("claimed"), report("queued"), 10)?.attempts).toBe(0);
  });

  test("a claim that a call has been about is not given back as untouched", () => {
    const untouched: Change = { ...giveBack, untouched: true };
    for (const status of HELD) expect(verdict(jobOf(status), untouched)).toBe(status === "claimed" ? "queued" : "same");
  });

  test("a report keeps what it does not say", () => {
    const job = jobOf("running", { progress: '{"percent":1}' });
    expect(transition(job, report("running"), 10)?.progress).toEqual('{"percent":1}');
    const told: Change = { does: "report", by: BY, state: "failed", error: { code: "c", message: "m" } };
    expect(transition(job, told, 10)).toMatchObject({ progress: '{"percent":1}', error: { code: "c", message: "m" } });
  });

  test("a key that is asked for again has a new channel, and there is an end to keys", () => {
    let job = transition(jobOf("claimed"), transfer("a"), 10);
    job = job && transition(job, transfer("a"), 11);
    expect(job?.transfers).toHaveLength(1);
    job = job && transition(job, transfer("a", "result"), 11);
    expect(job?.transfers).toHaveLength(2);
    for (let n = 2; n < JOB_TRANSFERS_MAX; n++) job = job && transition(job, transfer(`k${n}`), 11);
    if (job === undefined) throw new Error("no job");
    expect(verdict(job, transfer("one more"))).toBe("invalid_request");
    expect(verdict(job, transfer("a"))).toBe("awaiting_payload");
  });

  test("a random walk: numbers only rise, an end is an end, a claim is there exactly while it is held", () => {
    const random = randomOf(1);
    for (let walk = 0; walk < 500; walk++) {
      let job = jobOf("queued");
      for (let step = 0; step < 30; step++) {
        const change = anyChange(job, step, random);
        const after = tryJudge(job, change, step);
        if (after !== undefined) checkStep(job, change, after);
        job = after ?? job;
      }
    }
  });
});

type Random = (below: number) => number;

function randomOf(start: number): Random {
  let seed = start;
  return below => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    return seed % below;
  };
}

function anyChange(job: Job, step: number, random: Random): Change {
  const id = job.claim?.id ?? "none";
  const changes: Change[] = [
    { does: "claim", claim: { ...CLAIM, id: `claim-${step}` } },
    { does: "give back", claimId: id },
    { does: "lapse", claimId: id, maxAttempts: 3 },
    transfer(`k${random(3)}`, random(2) === 0 ? "payload" : "result"),
    report(STATUSES[random(STATUSES.length)] ?? "running"),
    ...(random(10) === 0 ? [cancel] : []),
  ];
  return changes[random(changes.length)] ?? cancel;
}

/** Undefined also for what is refused. */
function tryJudge(job: Job, change: Change, at: number): Job | undefined {
  try {
    return transition(job, change, at);
  } catch (error) {
    expect(error).toBeInstanceOf(NfrxError);
    return undefined;
  }
}

function checkStep(job: Job, change: Change, after: Job): void {
  expect(isTerminal(job.status)).toBe(false);
  expect(after.rev).toBe(job.rev + (change.does === "transfer" ? 2 : 1));
  expect(after.attempts).toBeLessThanOrEqual(3);
  expect(after.attempts).toBeGreaterThanOrEqual(0);
  expect(after.endedAt !== undefined).toBe(isTerminal(after.status));
  if (isHeld(after)) expect(after.claim).toBeDefined();
  if (after.status === "queued") expect(after.claim).toBeUndefined();
}
