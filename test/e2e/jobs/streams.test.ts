// A worker's stream, and what must not happen on it.

import { expect, spyOn, test } from "bun:test";
import { CLAIM_WAITERS_MAX, JOB_LISTENERS_MAX } from "../../../src/broker/jobs/limits.ts";
import type { RouteCall } from "../../../src/modules/route.ts";
import { access } from "../../kit/broker/access.ts";
import { principal } from "../../kit/broker/principal.ts";
import { JobsApi } from "../../kit/jobs/jobs.ts";
import { eventually } from "../../kit/time/until.ts";
import { API_KEY, CLIENT_KEY, World, type WorldOptions } from "../../kit/world.ts";

function start(options: WorldOptions = {}) {
  const world = new World(options);
  const { workers, service } = world.broker.jobs;
  return { world, jobs: new JobsApi(world.origin), workers, service };
}

const server = { requestIP: () => null, timeout() {} };

/** A worker's stream without a socket: what is read of it is what was taken. */
async function open(workers: { stream(call: RouteCall): Response }, query = "") {
  const gone = new AbortController();
  const request = new Request(`http://broker/api/jobs/stream${query}`, { signal: gone.signal });
  const response = workers.stream({ request, params: {}, server, principal: principal(), access: access(request) });
  const reader = response.body?.getReader();
  if (reader === undefined) throw new Error("a stream without a body");
  const next = async (): Promise<string> => new TextDecoder().decode((await reader.read()).value);
  expect(await next()).toBe(": keep-alive\n\n");
  return { next, gone };
}

test("to look at a stream claims nothing and keeps nothing alive", async () => {
  const { world, jobs, service } = start();
  await using _ = world;
  const id = await jobs.created();
  for (const [key, path] of [
    [CLIENT_KEY, "/stream"],
    [API_KEY, `/${id}/events`],
  ] as const) {
    const answer = await jobs.fetch(key, "HEAD", path);
    expect([answer.status, await answer.text()]).toEqual([405, ""]);
  }
  expect((await jobs.fetch(API_KEY, "HEAD", `/${id}`)).status).toBe(200);
  expect((await jobs.get(id)).body.status).toBe("queued");
  expect([service.claimWaiters.size, service.events.listeners]).toEqual([0, 0]);
});

test("a stream that has brought many jobs holds on to none of them", async () => {
  const { world, workers, service } = start();
  await using _ = world;
  const { next, gone } = await open(workers, "?max=50");
  const listens = spyOn(EventTarget.prototype, "addEventListener");
  const unlistens = spyOn(EventTarget.prototype, "removeEventListener");
  try {
    for (let count = 0; count < 50; count++) {
      await service.create({
        type: "t",
        priority: 0,
        metadata: "",
        workerId: "",
        workerGroup: "",
        owner: "-",
        caller: "one",
        cancelWhenUnwatched: false,
      });
      expect(await next()).toStartWith("event: job\n");
    }
    expect(listens.mock.calls.length - unlistens.mock.calls.length).toBeLessThan(10);
  } finally {
    listens.mockRestore();
    unlistens.mockRestore();
  }
  gone.abort();
  await eventually(() => service.claimWaiters.size === 0, "the worker has left");
});

test("a job that the worker has called about stays with it when its stream ends, and one that it has not goes back", async () => {
  const { world, jobs, workers, service } = start();
  await using _ = world;
  const { next, gone } = await open(workers, "?max=4&worker_id=w");
  const untouched = await jobs.created();
  expect(await next()).toContain(untouched);
  const touched = [await jobs.created(), await jobs.created()] as const;
  for (const id of touched) expect(await next()).toContain(id);
  await jobs.heartbeat(touched[0], { worker_id: "w" });
  await jobs.status(touched[1], "running", { worker_id: "w" });
  await eventually(() => service.claimWaiters.size === 1, "the worker waits for the next");
  gone.abort();
  expect(await jobs.claimed({ max_wait_seconds: 30 })).toMatchObject({ job_id: untouched, attempt: 1 });
  expect((await jobs.claim()).status).toBe(204);
  expect((await jobs.get(touched[0])).body.status).toBe("claimed");
  expect((await jobs.get(touched[1])).body.status).toBe("running");
});

test("a stream holds as many jobs as it asks for, one by default, and the others are for others", async () => {
  const { world, jobs, workers, service } = start();
  await using _ = world;
  const ids: string[] = [];
  for (let n = 0; n < 5; n++) ids.push(await jobs.created());
  const [one, two] = [await open(workers, "?worker_id=one"), await open(workers, "?worker_id=two&max=2")];
  expect(await one.next()).toContain(String(ids[0]));
  for (const id of ids.slice(1, 3)) expect(await two.next()).toContain(String(id));
  expect((await jobs.list("?status=queued")).body.jobs.map(({ id }) => id)).toEqual(ids.slice(3).toReversed());
  expect(service.claimWaiters.size).toBe(0);
  await jobs.status(ids[0] ?? "", "completed", { worker_id: "one" });
  expect(await one.next()).toContain(String(ids[3]));
  await jobs.cancel(ids[1] ?? "");
  expect(await two.next()).toContain(String(ids[4]));
  await jobs.status(ids[3] ?? "", "queued", { worker_id: "one" });
  expect(await one.next()).toContain(String(ids[3]));
  for (const { gone } of [one, two]) gone.abort();
});

test("a stream that asks for no number of jobs, or for none, is refused", async () => {
  const { world, jobs } = start();
  await using _ = world;
  for (const max of ["0", "-1", "1.5", "many"]) {
    const answer = await jobs.send(CLIENT_KEY, "GET", `/stream?max=${max}`);
    expect([answer.status, answer.body]).toMatchObject([400, { error: "invalid_request" }]);
  }
});

test("a job that the worker has not taken goes back", async () => {
  const { world, jobs, workers } = start();
  await using _ = world;
  const { gone } = await open(workers);
  const id = await jobs.created();
  await eventually(() => world.logs.some(({ message }) => message === "job claimed"), "the stream has it");
  gone.abort();
  expect(await jobs.claimed({ max_wait_seconds: 30 })).toMatchObject({ job_id: id, attempt: 1 });
});

test("one caller has half of the streams of workers and of events, and another its own", async () => {
  const { world, jobs } = start();
  await using _ = world;
  const { workers, clients } = world.broker.jobs;
  const id = await jobs.created();
  const gone = new AbortController();
  const at = (caller: string): RouteCall => {
    const request = new Request("http://broker/", { signal: gone.signal });
    return { request, params: { id }, server, principal: principal({ caller }), access: access(request) };
  };
  const kinds: [most: number, open: (caller: string) => Promise<Response>][] = [
    [CLAIM_WAITERS_MAX, async caller => workers.stream(at(caller))],
    [JOB_LISTENERS_MAX, caller => clients.events(at(caller))],
  ];
  for (const [most, open] of kinds) {
    for (let n = 0; n < most / 2; n++) expect((await open("one")).status).toBe(200);
    await expect(open("one")).rejects.toMatchObject({ status: 429, code: "limit_exceeded" });
    expect((await open("two")).status).toBe(200);
  }
  gone.abort();
  await eventually(() => world.broker.jobs.service.claimWaiters.size === 0, "all have left");
});
