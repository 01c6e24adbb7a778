// A worker's stream, and what must not happen on it.

import { expect, spyOn, test } from "bun:test";
import type { Call } from "../../../src/broker/jobs/border.ts";
import { access } from "../../kit/access.ts";
import { TestClock } from "../../kit/clock.ts";
import { JobsApi } from "../../kit/jobs.ts";
import { eventually } from "../../kit/until.ts";
import { API_KEY, CLIENT_KEY, World, type WorldOptions } from "../../kit/world.ts";

function start(options: WorldOptions = {}) {
  const world = new World(options);
  const { workers, service } = world.broker.jobs;
  return { world, jobs: new JobsApi(world.origin), workers, service };
}

/** A worker's stream without a socket: what is read of it is what was taken. */
async function open(workers: { stream(call: Call): Promise<Response> }) {
  const gone = new AbortController();
  const request = new Request("http://broker/api/jobs/stream", {
    headers: { authorization: `Bearer ${CLIENT_KEY}` },
    signal: gone.signal,
  });
  const response = await workers.stream({
    request,
    access: access(request),
    peer: () => "",
    patience: () => {},
    id: "",
  });
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
  expect([service.claimers.size, service.events.listeners]).toEqual([0, 0]);
});

test("a stream that has brought many jobs holds on to none of them", async () => {
  const { world, workers, service } = start();
  await using _ = world;
  const { next, gone } = await open(workers);
  const listens = spyOn(EventTarget.prototype, "addEventListener");
  try {
    for (let count = 0; count < 50; count++) {
      await service.create({ type: "t", priority: 0, metadata: "", workerId: "", workerGroup: "", owner: "-" });
      expect(await next()).toStartWith("event: job\n");
    }
    expect(listens.mock.calls.length).toBeLessThan(10);
  } finally {
    listens.mockRestore();
  }
  gone.abort();
  await eventually(() => service.claimers.size === 0, "the worker has left");
});

test("a job that the worker has taken stays with it when its stream ends, whatever lies behind it", async () => {
  const clock = new TestClock();
  const { world, jobs, workers, service } = start({ clock });
  await using _ = world;
  const { next, gone } = await open(workers);
  const id = await jobs.created();
  expect(await next()).toContain(id);
  await eventually(() => service.claimers.size === 1, "the worker waits for the next");
  // A comment that nobody reads.
  clock.advance(15_000);
  gone.abort();
  await eventually(() => service.claimers.size === 0, "the worker has left");
  expect((await jobs.claim()).status).toBe(204);
  expect((await jobs.get(id)).body.status).toBe("claimed");
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
