// The walk through the jobs and transfer APIs, request by request as one would type it with curl.
import { expect, test } from "bun:test";
import { JobEvents, statusesOf } from "../../kit/jobs.ts";
import { API_KEY, CLIENT_KEY, World } from "../../kit/world.ts";

test("a transfer: one peer makes a channel, one reads, one writes", async () => {
  await using world = new World();
  const curl = curlAt(world.origin);

  // curl -s -X POST http://localhost:8080/api/transfer
  const channel = await curl("POST", "/api/transfer", API_KEY);
  expect(channel.json).toEqual({ channel_id: expect.any(String), expires_at: expect.any(String) });

  // curl -v http://localhost:8080/api/transfer/<channel_id> -o /tmp/received.bin
  const received = curl("GET", `/api/transfer/${channel.json["channel_id"]}`, CLIENT_KEY);
  // curl -v -X POST http://localhost:8080/api/transfer/<channel_id> --data-binary @/path/to/file
  const sent = await curl("POST", `/api/transfer/${channel.json["channel_id"]}`, API_KEY, "the bytes of a file");

  expect(sent.json).toEqual({ status: "ok" });
  expect((await received).text).toBe("the bytes of a file");
});

test("a job: its client creates it, hears of it, uploads and downloads; its worker does it", async () => {
  await using world = new World({ broker: { jobsSseCloseDelayMs: 0 } });
  const curl = curlAt(world.origin);

  // The client creates a job:
  // curl -s -X POST …/api/jobs -d '{"type":"asr.transcribe","metadata":{"filename":"sample.wav"}}'
  const created = await curl("POST", "/api/jobs", API_KEY, {
    type: "asr.transcribe",
    metadata: { filename: "sample.wav" },
    worker_group: "asr-cache-a",
  });
  expect(created.status).toBe(200);
  expect(created.json).toEqual({ job_id: expect.any(String), status: "queued" });
  const id = created.json["job_id"];

  // … and listens: curl -N …/api/jobs/<job_id>/events
  const events = new JobEvents(
    await fetch(`${world.origin}/api/jobs/${id}/events`, { headers: { authorization: `Bearer ${API_KEY}` } }),
  );
  expect(events.headers.get("content-type")).toBe("text/event-stream");
  expect(await events.view()).toEqual({
    id: String(id),
    type: "asr.transcribe",
    status: "queued",
    metadata: { filename: "sample.wav" },
    worker_group: "asr-cache-a",
    queue_position: 1,
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    updated_at: expect.any(String),
  });

  // A worker claims it:
  // curl -s -X POST …/api/jobs/claim -d '{"types":["asr.transcribe"],"max_wait_seconds":30,"worker_id":"worker-17","worker_group":"asr-cache-a"}'
  const claimed = await curl("POST", "/api/jobs/claim", CLIENT_KEY, {
    types: ["asr.transcribe"],
    max_wait_seconds: 30,
    worker_id: "worker-17",
    worker_group: "asr-cache-a",
  });
  expect(claimed.json).toMatchObject({
    job_id: id,
    type: "asr.transcribe",
    metadata: { filename: "sample.wav" },
    worker_id: "",
    worker_group: "asr-cache-a",
    claimed_worker_id: "worker-17",
    claimed_worker_group: "asr-cache-a",
  });

  // … asks for the payload:
  // curl -s -X POST …/api/jobs/<job_id>/payload -d '{"properties":{"protocol":"demo-v1","options":{…}}}'
  const properties = { protocol: "demo-v1", options: { mode: "header-body", note: "opaque to nfrx" } };
  const payload = await curl("POST", `/api/jobs/${id}/payload`, CLIENT_KEY, { properties });
  expect(payload.json).toEqual({
    key: "payload",
    channel_id: expect.any(String),
    reader_url: `/api/transfer/${payload.json["channel_id"]}`,
    expires_at: expect.any(String),
    properties,
  });

  // … and reads it. The client hears where to send it, and sends it.
  const read = curl("GET", String(payload.json["reader_url"]), CLIENT_KEY);
  expect((await events.view()).status).toBe("claimed");
  const wanted = await events.next();
  expect(wanted?.event).toBe("payload");
  const place = JSON.parse(wanted?.data ?? "");
  expect(place).toEqual({
    key: "payload",
    channel_id: payload.json["channel_id"],
    method: "POST",
    url: `/api/transfer/${payload.json["channel_id"]}`,
    expires_at: payload.json["expires_at"],
    properties,
  });
  expect((await curl(place.method, place.url, API_KEY, "RIFF…WAVE")).json).toEqual({ status: "ok" });
  expect((await read).text).toBe("RIFF…WAVE");

  // curl -X POST …/api/jobs/<job_id>/status -d '{"state":"running","progress":{"percent":42}}'
  const running = { state: "running", progress: { percent: 42 } };
  expect((await curl("POST", `/api/jobs/${id}/status`, CLIENT_KEY, running)).json).toEqual({ status: "running" });

  // curl -s -X POST …/api/jobs/<job_id>/result -d '{"properties":{…}}'
  const result = await curl("POST", `/api/jobs/${id}/result`, CLIENT_KEY, { properties });
  expect(result.json).toEqual({
    key: "result",
    channel_id: expect.any(String),
    writer_url: `/api/transfer/${result.json["channel_id"]}`,
    expires_at: expect.any(String),
    properties,
  });
  const written = curl("POST", String(result.json["writer_url"]), CLIENT_KEY, "hello world");

  // Who does not listen asks: curl …/api/jobs/<job_id>
  const view = await curl("GET", `/api/jobs/${id}`, API_KEY);
  expect(view.json).toMatchObject({
    status: "awaiting_result",
    claimed_worker_id: "worker-17",
    claimed_worker_group: "asr-cache-a",
    progress: { percent: 42 },
    payloads: { payload: place },
    results: { result: { method: "GET", url: `/api/transfer/${result.json["channel_id"]}` } },
  });
  expect(view.json["queue_position"]).toBeUndefined();
  expect((await curl("GET", `/api/transfer/${result.json["channel_id"]}`, API_KEY)).text).toBe("hello world");
  expect((await written).json).toEqual({ status: "ok" });

  // curl -X POST …/api/jobs/<job_id>/status -d '{"state":"completed"}'
  const completed = await curl("POST", `/api/jobs/${id}/status`, CLIENT_KEY, { state: "completed" });
  expect(completed.json).toEqual({ status: "completed" });

  // An end is an end: curl -X POST …/api/jobs/<job_id>/cancel
  expect((await curl("POST", `/api/jobs/${id}/cancel`, API_KEY)).json).toEqual({ status: "completed" });
  const failed = { state: "failed", error: { code: "upstream_error", message: "timeout" } };
  const refused = await curl("POST", `/api/jobs/${id}/status`, CLIENT_KEY, failed);
  expect([refused.status, refused.json["error"]]).toEqual([409, "invalid_state"]);

  // The client has heard of all of it, and its stream ends.
  const rest = await events.all();
  expect(statusesOf(rest)).toEqual(["awaiting_payload", "running", "result", "awaiting_result", "completed"]);
});

test("a worker with a stream, a job that fails and one that is canceled", async () => {
  await using world = new World();
  const curl = curlAt(world.origin);

  // curl -N "…/api/jobs/stream?types=asr.transcribe&worker_id=worker-17&worker_group=asr-cache-a"
  const query = "types=asr.transcribe&worker_id=worker-17&worker_group=asr-cache-a";
  const stream = new JobEvents(
    await fetch(`${world.origin}/api/jobs/stream?${query}`, { headers: { authorization: `Bearer ${CLIENT_KEY}` } }),
  );
  const first = await curl("POST", "/api/jobs", API_KEY, { type: "asr.transcribe" });
  expect(await stream.job()).toMatchObject({
    job_id: first.json["job_id"],
    type: "asr.transcribe",
    metadata: null,
    claimed_worker_id: "worker-17",
    claimed_worker_group: "asr-cache-a",
  });
  await curl("POST", `/api/jobs/${first.json["job_id"]}/status`, CLIENT_KEY, {
    state: "failed",
    error: { code: "upstream_error", message: "timeout" },
  });
  expect((await curl("GET", `/api/jobs/${first.json["job_id"]}`, API_KEY)).json).toMatchObject({
    status: "failed",
    error: { code: "upstream_error", message: "timeout" },
  });

  const second = await curl("POST", "/api/jobs", API_KEY, { type: "asr.transcribe", worker_id: "worker-18" });
  const canceled = await curl("POST", `/api/jobs/${second.json["job_id"]}/cancel`, API_KEY);
  expect(canceled.json).toEqual({ status: "canceled" });
  await stream.cancel();
});

interface Answered {
  status: number;
  text: string;
  json: Record<string, unknown>;
}

/** Says to the broker what curl would. */
function curlAt(origin: string) {
  return async (method: string, path: string, key: string, body?: string | object): Promise<Answered> => {
    const response = await fetch(`${origin}${path}`, {
      method,
      headers: { authorization: `Bearer ${key}` },
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.startsWith("application/json");
    return { status: response.status, text, json: isJson ? JSON.parse(text) : {} };
  };
}
