// One caller cannot take all of what callers share; jobs keep channels of their own.
import { expect, test } from "bun:test";
import { JobsApi } from "../kit/jobs/jobs.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { API_KEY } from "../kit/world.ts";

const ONE = "192.0.2.1";
const TWO = "192.0.2.2";

/** Requests of a caller at an address, which a proxy names. */
function from(broker: BrokerProgram, address: string, path: string, init: RequestInit = {}) {
  const headers = { authorization: `Bearer ${API_KEY}`, "x-forwarded-for": address };
  return fetch(`${broker.origin}${path}`, { ...init, headers });
}

test("transfer channels and jobs: a caller has half at most, and payloads pass when callers have all that they may", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({
    JOBS_STORE: "memory",
    TRUSTED_PROXIES: "127.0.0.1",
    TRANSFER_MAX_CHANNELS: "8",
    JOBS_MAX: "8",
    JOBS_MAX_ENDED: "4",
  });
  const post = async (address: string, path: string, body?: string): Promise<number> =>
    (await from(broker, address, path, { method: "POST", ...(body !== undefined && { body }) })).status;

  const opened: number[] = [];
  for (let n = 0; n < 6; n++) opened.push(await post(ONE, "/api/transfer"));
  expect(opened).toEqual([200, 200, 200, 200, 429, 429]);
  expect(await post(TWO, "/api/transfer")).toBe(200);
  expect(await post(TWO, "/api/transfer")).toBe(200);
  // The last two are kept for jobs.
  expect(await post(TWO, "/api/transfer")).toBe(503);

  const created: number[] = [];
  for (let n = 0; n < 6; n++) created.push(await post(ONE, "/api/jobs", '{"type":"t"}'));
  expect(created).toEqual([200, 200, 200, 200, 429, 429]);
  expect(await post(TWO, "/api/jobs", '{"type":"t"}')).toBe(200);

  const jobs = new JobsApi(broker.origin);
  const { job_id } = await jobs.claimed();
  expect((await jobs.payload(job_id)).status).toBe(200);
  // What has ended makes room for its own caller.
  expect((await jobs.status(job_id, "completed")).status).toBe(200);
  expect(await post(ONE, "/api/jobs", '{"type":"t"}')).toBe(200);
});
