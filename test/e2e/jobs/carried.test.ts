// JSON that the broker only carries arrives as it was sent.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { JobsApi } from "../../kit/jobs/jobs.ts";
import { API_KEY, CLIENT_KEY, World } from "../../kit/world.ts";

let world: World;
let jobs: JobsApi;

beforeAll(() => {
  world = new World();
  jobs = new JobsApi(world.origin);
});

afterAll(() => world.stop());

const TEXT = '{"order": 1970670598291982290, "price":1.50,"z":1e400,"10":-0, "2":"\\u00e9\\ud800", "a":1,"a":2}';
const BROKEN = '{\r\n  "n": 1.0\n}';
const UNBROKEN = '{    "n": 1.0 }';

const text = async (key: string, method: string, path: string, body?: string): Promise<string> =>
  (await jobs.fetch(key, method, path, body)).text();

test("metadata, progress and properties keep their digits, their order and their spaces, for client and worker", async () => {
  const id = await jobs.created();
  await jobs.claim();
  const metadata = await text(API_KEY, "POST", "", `{"metadata":{"last":"counts"},"type":"t","metadata" : ${TEXT} }`);
  const { job_id } = JSON.parse(metadata);
  expect(await text(CLIENT_KEY, "POST", "/claim", '{"types":["t"]}')).toContain(`"metadata":${TEXT}`);
  await text(CLIENT_KEY, "POST", `/${job_id}/status`, `{"state":"running","progress":${TEXT}}`);
  for (const role of ["payload", "result"])
    expect(await text(CLIENT_KEY, "POST", `/${job_id}/${role}`, `{"properties":${TEXT}}`)).toContain(
      `"properties":${TEXT}`,
    );
  const view = await text(API_KEY, "GET", `/${job_id}`);
  expect(view).toContain(`"metadata":${TEXT}`);
  expect(view).toContain(`"progress":${TEXT}`);
  expect(view.split(`"properties":${TEXT}`)).toHaveLength(3);
  expect(JSON.parse(view).id).toBe(job_id);
  await jobs.cancel(id);
  await jobs.cancel(job_id);
  const events = await text(API_KEY, "GET", `/${job_id}/events`);
  expect(events).toContain(`"metadata":${TEXT}`);
});

test("a line's end between the values does not end an event", async () => {
  const { job_id } = JSON.parse(await text(API_KEY, "POST", "", `{"type":"lines","metadata":${BROKEN}}`));
  await jobs.cancel(job_id);
  const stream = await jobs.events(job_id);
  const event = await stream.next();
  expect(event?.data).toContain(`"metadata":${UNBROKEN}`);
  await stream.cancel();
});

test("with one Idempotency-Key two orders that differ in a digit are two requests", async () => {
  const create = (metadata: string) =>
    jobs.send<{ job_id: string; error: string }>(API_KEY, "POST", "", `{"type":"t","metadata":${metadata}}`, {
      headers: { "idempotency-key": "order" },
    });
  const first = await create('{"order":1970670598291982290}');
  expect((await create('{"order":1970670598291982290}')).body.job_id).toBe(first.body.job_id);
  for (const other of ['{"order":1970670598291982291}', '{"order":1970670598291982290.0}']) {
    const { status, body } = await create(other);
    expect([status, body.error]).toEqual([409, "idempotency_conflict"]);
  }
});
