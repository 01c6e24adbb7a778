// What is said, logged and counted of requests to the jobs API.
import { expect, test } from "bun:test";
import { ACCESS_MESSAGE } from "../../../src/broker/http/access-log.ts";
import { Call } from "../../kit/http/call.ts";
import { JobsApi } from "../../kit/jobs/jobs.ts";
import { API_KEY, World } from "../../kit/world.ts";

async function metric(world: World, series: string): Promise<number> {
  const text = await (await fetch(`${world.origin}/metrics`)).text();
  const line = text.split("\n").find(one => one.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1) ?? Number.NaN);
}

test("each answer names its request, and each refusal is logged with that name and counted", async () => {
  await using world = new World();
  const jobs = new JobsApi(world.origin);
  const named = { headers: { "x-request-id": "mine-1" } };
  const created = await jobs.create({ type: "t" }, named);
  expect(created.headers.get("x-request-id")).toBe("mine-1");
  expect((await jobs.get(created.body.job_id)).headers.get("x-request-id")).toMatch(/^[\da-f-]{36}$/);
  const events = await jobs.events(created.body.job_id);
  expect(events.headers.get("x-request-id")).toMatch(/^[\da-f-]{36}$/);
  await events.cancel();
  const refused = await jobs.create({}, named);
  expect([refused.status, refused.headers.get("x-request-id")]).toEqual([400, "mine-1"]);
  const lines = world.logs.filter(({ message }) => message === ACCESS_MESSAGE);
  const refusals = lines.filter(({ level }) => level === "warn");
  expect(refusals).toMatchObject([{ fields: { request_id: "mine-1", outcome: "missing_type", status: 400 } }]);
  expect(await metric(world, 'nfrx_refused_total{reason="missing_type"}')).toBe(1);
});

test("a client that sends far too much, or has no key, reads why", async () => {
  await using world = new World();
  const body = Buffer.alloc(10_000_000, "x");
  for (const [key, status, error] of [
    [API_KEY, 413, "too_large"],
    ["wrong", 401, "unauthorized"],
  ] as const) {
    // Reads only when all of it is sent, as many clients do.
    const upload = new Call(`${world.origin}/api/jobs`, {
      headers: { Authorization: `Bearer ${key}` },
      body: Buffer.alloc(0),
      announced: body.length,
    });
    upload.pause();
    await upload.raw(body);
    upload.resume();
    const answer = await upload.answer();
    expect([answer.status, answer.complete]).toEqual([status, true]);
    expect(JSON.parse(answer.body.toString())).toMatchObject({ error });
  }
});

test("what nobody expected is one word for its caller, and the cause for the log", async () => {
  await using world = new World();
  const jobs = new JobsApi(world.origin);
  world.broker.jobs.service.get = () => Promise.reject(new Error("database disk image is malformed"));
  const answer = await jobs.send(API_KEY, "GET", "/some-id");
  expect([answer.status, answer.body]).toEqual([500, { error: "internal", message: "internal error" }]);
  const [line] = world.logs.filter(({ level }) => level === "error");
  expect(line).toMatchObject({ message: ACCESS_MESSAGE, fields: { cause: expect.stringContaining("malformed") } });
  expect(await metric(world, "nfrx_unhandled_errors_total")).toBe(1);
});
