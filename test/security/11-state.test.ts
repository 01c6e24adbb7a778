// The state shows a caller nothing of other callers' jobs that it could use or read; an operator sees metadata.
import { expect, test } from "bun:test";
import { JobsApi } from "../kit/jobs/jobs.ts";
import { Processes } from "../kit/processes.ts";
import { API_KEY } from "../kit/world.ts";

const ADMIN_KEY = "the-admin-key";
const SECRETS = ["of-the-metadata", "of-the-progress", "of-the-payload", "of-the-result", "of-the-error"];

test("no channel, whole id, metadata, progress or properties in the state and its stream", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({ JOBS_STORE: "memory", ADMIN_KEY });
  const jobs = new JobsApi(broker.origin);
  const failed = await jobs.created({ type: "f" });
  await jobs.claimed({ types: ["f"] });
  await jobs.status(failed, "failed", { error: { code: "broken", message: "of-the-error" } });
  const text = '{"type":"t","metadata":{"secret":"of-the-metadata","price":1.50}}';
  const { body } = await jobs.send<{ job_id: string }>(API_KEY, "POST", "", text);
  await jobs.claimed();
  await jobs.status(body.job_id, "running", { progress: { secret: "of-the-progress" } });
  const payload = await jobs.payload(body.job_id, { properties: { secret: "of-the-payload" } });
  const result = await jobs.result(body.job_id, { properties: { secret: "of-the-result" } });
  const channels = [payload.body.channel_id, result.body.channel_id];

  const get = (path: string, key: string) =>
    fetch(`${broker.origin}${path}`, { headers: { authorization: `Bearer ${key}` } });
  const first = async (response: Response): Promise<string> => {
    const reader = response.body?.getReader();
    const read = await reader?.read();
    await reader?.cancel();
    return Buffer.from(read?.value ?? []).toString();
  };
  const shown = async (key: string) => [
    await (await get("/api/state", key)).text(),
    await first(await get("/api/state/stream", key)),
  ];
  for (const state of await shown(API_KEY)) {
    for (const secret of [...SECRETS, ...channels, body.job_id, failed]) expect(state).not.toContain(secret);
    expect(state).toContain(`"id":"${body.job_id.slice(0, 8)}"`);
    expect(state).toContain('"code":"broken"');
  }
  for (const state of await shown(ADMIN_KEY)) {
    expect(state).toContain('"metadata":{"secret":"of-the-metadata","price":1.50}');
    expect(state).toContain(`"id":"${body.job_id}"`);
    for (const channel of channels) expect(state).not.toContain(channel);
  }
  expect((await get("/api/state", "wrong")).status).toBe(401);
  // Nor does the log name a channel.
  for (const channel of channels) expect(JSON.stringify(broker.lines)).not.toContain(channel);
});
