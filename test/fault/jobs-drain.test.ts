// SIGTERM while workers have jobs: what they have goes on here, and what is left is there after the next start.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { JobsApi, statusesOf } from "../kit/jobs/jobs.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import type { Env } from "../kit/process/program.ts";
import { Processes, troubles } from "../kit/processes.ts";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";

/** A broker, and its jobs. Connections are not used again: they would not outlive it. */
async function start(processes: Processes, env: Env = {}): Promise<{ broker: BrokerProgram; jobs: JobsApi }> {
  const broker = await processes.broker({ JOBS_STORE: join(processes.folder, "jobs.db"), ...env });
  return { broker, jobs: new JobsApi(broker.origin, false) };
}

/** Tells the broker to end, and waits until it has begun to. */
async function terminate(broker: BrokerProgram): Promise<void> {
  broker.signal("SIGTERM");
  await broker.line(({ msg }) => msg === "draining", "drains");
}

const ended = { code: 0, signal: null };

test("a job that a worker has goes on to its end: channels, reports and events; nothing new begins", async () => {
  await using processes = new Processes();
  const { broker, jobs } = await start(processes);
  const transfer = async (key: string, method: string, path = "", body?: string): Promise<[number, string]> => {
    const response = await fetch(`${broker.origin}${path}`, {
      method,
      keepalive: false,
      headers: { authorization: `Bearer ${key}` },
      ...(body !== undefined && { body }),
    });
    return [response.status, await response.text()];
  };
  const id = await jobs.created();
  const later = await jobs.created({ type: "later" });
  const events = await jobs.events(id);
  const { claim_id } = await jobs.claimed({ types: ["test"] });
  // Nobody has come to this channel yet.
  const payload = await jobs.payload(id, { claim_id });
  await terminate(broker);

  for (const answer of [await jobs.create({ type: "new" }), await jobs.claim({ types: ["later"] })]) {
    expect(answer).toMatchObject({ status: 503, body: { error: "draining" } });
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  }
  const stream = await jobs.stream();
  expect(stream.status).toBe(503);
  const [opened] = await transfer(API_KEY, "POST", "/api/transfer");
  expect(opened).toBe(503);

  const read = transfer(CLIENT_KEY, "GET", payload.body.reader_url);
  expect(await transfer(API_KEY, "POST", payload.body.reader_url, "the payload")).toEqual([200, '{"status":"ok"}']);
  expect(await read).toEqual([200, "the payload"]);
  expect((await jobs.status(id, "running", { claim_id, progress: { percent: 50 } })).status).toBe(200);
  expect((await jobs.heartbeat(id, { claim_id })).status).toBe(200);
  const result = await jobs.result(id, { claim_id });
  const written = transfer(CLIENT_KEY, "POST", result.body.writer_url, "the result");
  expect(await transfer(API_KEY, "GET", result.body.writer_url)).toEqual([200, "the result"]);
  expect(await written).toEqual([200, '{"status":"ok"}']);
  expect((await jobs.get(id)).body.status).toBe("awaiting_result");
  expect(broker.running).toBe(true);

  // The last word is answered, and told, before the broker ends.
  const last = await jobs.status(id, "completed", { claim_id });
  expect(last).toMatchObject({ status: 200, body: { status: "completed" } });
  const heard = ["queued", "claimed", "payload", "awaiting_payload", "running", "result", "awaiting_result"];
  expect(statusesOf(await events.all())).toEqual([...heard, "completed"]);
  expect(await broker.ending()).toEqual(ended);
  expect(broker.lines.some(({ msg, jobs: left }) => msg.includes("continue at the next start") && left === 1)).toBe(
    true,
  );

  const next = await start(processes);
  expect((await next.jobs.get(id)).body.status).toBe("completed");
  expect((await next.jobs.get(later)).body.status).toBe("queued");
  expect(troubles(processes)).toEqual([]);
});

test("the answers of many last words leave before the broker ends", async () => {
  await using processes = new Processes();
  for (let round = 0; round < 5; round++) {
    const { broker, jobs } = await start(processes);
    const claims = [];
    for (let count = 0; count < 20; count++) {
      await jobs.created({ type: "many" });
      claims.push(await jobs.claimed());
    }
    await terminate(broker);
    const answers = await Promise.all(
      claims.map(({ job_id, claim_id }) => jobs.status(job_id, "completed", { claim_id })),
    );
    expect(answers.map(({ status }) => status)).toEqual(claims.map(() => 200));
    expect(await broker.ending()).toEqual(ended);
  }
  expect(troubles(processes)).toEqual([]);
});

test("what is not done in time is there after the next start, and its worker goes on", async () => {
  await using processes = new Processes();
  const { broker, jobs } = await start(processes, { DRAIN_TIMEOUT: "100ms" });
  const id = await jobs.created();
  const { claim_id } = await jobs.claimed();
  await terminate(broker);
  expect(await broker.ending()).toEqual(ended);
  expect(broker.lines.map(({ msg }) => msg)).toContain("not all work finished before the drain timed out");
  const next = await start(processes);
  expect((await next.jobs.get(id)).body.status).toBe("claimed");
  expect((await next.jobs.status(id, "completed", { claim_id })).status).toBe(200);
});

test("a worker that is gone keeps it no longer than its lease; the job is queued again for the next start", async () => {
  await using processes = new Processes();
  const { broker, jobs } = await start(processes, { DRAIN_TIMEOUT: "-1" });
  const id = await jobs.created();
  await jobs.claimed({ lease_seconds: 1 });
  await terminate(broker);
  expect(await broker.ending()).toEqual(ended);
  const next = await start(processes);
  expect((await next.jobs.get(id)).body.status).toBe("queued");
});

test("in memory they are lost, and that is said with their number", async () => {
  await using processes = new Processes();
  const { broker, jobs } = await start(processes, { JOBS_STORE: "memory", DRAIN_TIMEOUT: "0" });
  for (let count = 0; count < 3; count++) await jobs.created();
  await jobs.claimed();
  await jobs.cancel(await jobs.created());
  await terminate(broker);
  expect(await broker.ending()).toEqual(ended);
  const lost = broker.lines.filter(({ msg }) => msg === "unfinished jobs are lost: they were stored in memory");
  expect(lost).toMatchObject([{ level: "warn", jobs: 3 }]);
});
