// A job that a named worker has claimed is finished by nobody who cannot say whose claim it is.
import { expect, test } from "bun:test";
import { JobsApi } from "../kit/jobs/jobs.ts";
import { Processes } from "../kit/processes.ts";

test("a call with neither claim_id nor worker_id is for claims without a worker's id", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({ JOBS_STORE: "memory" });
  const jobs = new JobsApi(broker.origin);
  const named = await jobs.created();
  const { claim_id } = await jobs.claimed({ worker_id: "w" });
  const calls = (proof: object) =>
    [
      () => jobs.payload(named, { ...proof }),
      () => jobs.result(named, { ...proof }),
      () => jobs.heartbeat(named, { ...proof }),
      () => jobs.status(named, "completed", { ...proof }),
    ] as const;
  for (const call of calls({})) expect(await call()).toMatchObject({ status: 409, body: { error: "invalid_state" } });
  expect((await jobs.get(named)).body.status).toBe("claimed");
  expect((await jobs.heartbeat(named, { worker_id: "w" })).status).toBe(200);
  for (const call of calls({ claim_id })) expect((await call()).status).toBe(200);

  const nameless = await jobs.created();
  await jobs.claimed();
  expect((await jobs.status(nameless, "completed")).status).toBe(200);
});
