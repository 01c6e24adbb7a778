// The walk through the transfer and jobs APIs: every line is typed into a shell and runs curl.
import { expect } from "bun:test";
import { Shell, withCurl } from "../../kit/http/shell.ts";
import { JobEvents, statusesOf } from "../../kit/jobs/jobs.ts";
import { API_KEY, CLIENT_KEY, World } from "../../kit/world.ts";

withCurl("a transfer: one peer makes a channel, one reads, one writes", async () => {
  await using world = new World();
  await using sh = new Shell({ NFRX: world.origin, API_KEY, CLIENT_KEY });
  await Bun.write(sh.path("file.bin"), "the bytes of a file");

  // Create a channel.
  const channel = await sh.json(`curl -s -X POST $NFRX/api/transfer -H "Authorization: Bearer $API_KEY"`);
  expect(channel).toEqual({ channel_id: expect.any(String), expires_at: expect.any(String) });
  sh.set("CHANNEL", channel["channel_id"]);

  // One peer reads from it; either key will do.
  const read = sh.start(`curl -s $NFRX/api/transfer/$CHANNEL -H "Authorization: Bearer $CLIENT_KEY" -o received.bin`);
  // The other one writes to it.
  const write = `curl -s -X POST $NFRX/api/transfer/$CHANNEL -H "Authorization: Bearer $API_KEY" --data-binary @file.bin`;
  expect(await sh.json(write)).toEqual({ status: "ok" });

  await read.text();
  expect(await Bun.file(sh.path("received.bin")).text()).toBe("the bytes of a file");
  // It has served.
  expect(await sh.json(write)).toEqual({ error: "transfer_closed" });
});

withCurl("a job: its client creates it, listens, uploads and downloads; its worker does it", async () => {
  await using world = new World({ broker: { jobsSseCloseDelayMs: 0 } });
  await using sh = new Shell({ NFRX: world.origin, API_KEY, CLIENT_KEY });
  await Bun.write(sh.path("sample.wav"), "RIFF…WAVE");

  // Client: create a job.
  const created = await sh.json(`curl -s -X POST $NFRX/api/jobs -H "Authorization: Bearer $API_KEY" \
    -H "Content-Type: application/json" \
    -d '{"type":"asr.transcribe","metadata":{"filename":"sample.wav"},"worker_group":"asr-cache-a"}'`);
  expect(created).toEqual({ job_id: expect.any(String), status: "queued" });
  sh.set("JOB", created["job_id"]);

  // Client: listen for updates.
  const events = new JobEvents(sh.start(`curl -sN $NFRX/api/jobs/$JOB/events -H "Authorization: Bearer $API_KEY"`));
  expect(await events.view()).toEqual({
    id: String(created["job_id"]),
    type: "asr.transcribe",
    status: "queued",
    metadata: { filename: "sample.wav" },
    worker_group: "asr-cache-a",
    queue_position: 1,
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
    updated_at: expect.any(String),
  });

  // Worker: claim a job.
  const claim = await sh.json(`curl -s -X POST $NFRX/api/jobs/claim -H "Authorization: Bearer $CLIENT_KEY" \
    -H "Content-Type: application/json" \
    -d '{"types":["asr.transcribe"],"max_wait_seconds":30,"worker_id":"worker-17","worker_group":"asr-cache-a"}'`);
  expect(claim).toMatchObject({
    job_id: created["job_id"],
    type: "asr.transcribe",
    metadata: { filename: "sample.wav" },
    worker_id: "",
    worker_group: "asr-cache-a",
    claimed_worker_id: "worker-17",
    claimed_worker_group: "asr-cache-a",
  });
  expect((await events.view()).status).toBe("claimed");

  // Worker: ask for the payload's channel, and read from it.
  const properties = { protocol: "demo-v1", options: { mode: "header-body", note: "opaque to nfrx" } };
  const reader = await sh.json(`curl -s -X POST $NFRX/api/jobs/$JOB/payload -H "Authorization: Bearer $CLIENT_KEY" \
    -H "Content-Type: application/json" \
    -d '{"worker_id":"worker-17","properties":{"protocol":"demo-v1","options":{"mode":"header-body","note":"opaque to nfrx"}}}'`);
  expect(reader).toEqual({
    key: "payload",
    channel_id: expect.any(String),
    reader_url: `/api/transfer/${reader["channel_id"]}`,
    expires_at: expect.any(String),
    properties,
  });
  sh.set("READER_URL", reader["reader_url"]);
  const payload = sh.start(`curl -s $NFRX$READER_URL -H "Authorization: Bearer $CLIENT_KEY"`);

  // Client: when a payload event arrives, POST the payload to its URL.
  const wanted = await events.next();
  expect(wanted?.event).toBe("payload");
  const place = JSON.parse(wanted?.data ?? "");
  expect(place).toEqual({
    key: "payload",
    channel_id: reader["channel_id"],
    method: "POST",
    url: reader["reader_url"],
    expires_at: reader["expires_at"],
    properties,
  });
  sh.set("PAYLOAD_URL", place.url);
  expect(
    await sh.json(`curl -s -X POST $NFRX$PAYLOAD_URL -H "Authorization: Bearer $API_KEY" --data-binary @sample.wav`),
  ).toEqual({ status: "ok" });
  expect(await payload.text()).toBe("RIFF…WAVE");

  // Worker: update status and progress.
  const running = await sh.json(`curl -s -X POST $NFRX/api/jobs/$JOB/status -H "Authorization: Bearer $CLIENT_KEY" \
    -H "Content-Type: application/json" \
    -d '{"worker_id":"worker-17","state":"running","progress":{"percent":42}}'`);
  expect(running).toEqual({ status: "running" });

  // Worker: ask for the result's channel, and write to it.
  const writer = await sh.json(`curl -s -X POST $NFRX/api/jobs/$JOB/result -H "Authorization: Bearer $CLIENT_KEY" \
    -H "Content-Type: application/json" \
    -d '{"worker_id":"worker-17","properties":{"protocol":"demo-v1","options":{"mode":"header-body","note":"opaque to nfrx"}}}'`);
  expect(writer).toEqual({
    key: "result",
    channel_id: expect.any(String),
    writer_url: `/api/transfer/${writer["channel_id"]}`,
    expires_at: expect.any(String),
    properties,
  });
  sh.set("WRITER_URL", writer["writer_url"]);
  const written = sh.start(
    `curl -s -X POST $NFRX$WRITER_URL -H "Authorization: Bearer $CLIENT_KEY" --data-binary "hello world"`,
  );

  // Client: who does not listen, asks.
  const view = await sh.json(`curl -s $NFRX/api/jobs/$JOB -H "Authorization: Bearer $API_KEY"`);
  expect(view).toMatchObject({
    status: "awaiting_result",
    claimed_worker_id: "worker-17",
    claimed_worker_group: "asr-cache-a",
    progress: { percent: 42 },
    payloads: { payload: place },
    results: { result: { method: "GET", url: writer["writer_url"] } },
  });
  expect(view["queue_position"]).toBeUndefined();

  // Client: when a result event arrives, GET the result from its URL.
  let result = await events.next();
  for (; result?.event === "status"; result = await events.next());
  expect(result?.event).toBe("result");
  sh.set("RESULT_URL", JSON.parse(result?.data ?? "").url);
  expect(await sh.run(`curl -s $NFRX$RESULT_URL -H "Authorization: Bearer $API_KEY"`)).toBe("hello world");
  expect(await written.json()).toEqual({ status: "ok" });

  // Worker: mark it completed.
  const completed = await sh.json(`curl -s -X POST $NFRX/api/jobs/$JOB/status -H "Authorization: Bearer $CLIENT_KEY" \
    -H "Content-Type: application/json" \
    -d '{"worker_id":"worker-17","state":"completed"}'`);
  expect(completed).toEqual({ status: "completed" });
  // The client hears of it, and its stream ends.
  expect(statusesOf(await events.all())).toEqual(["awaiting_result", "completed"]);

  // An end is an end.
  expect(await sh.json(`curl -s -X POST $NFRX/api/jobs/$JOB/cancel -H "Authorization: Bearer $API_KEY"`)).toEqual({
    status: "completed",
  });
  const late = await sh.run(`curl -s -w " %{http_code}" -X POST $NFRX/api/jobs/$JOB/status \
    -H "Authorization: Bearer $CLIENT_KEY" -H "Content-Type: application/json" \
    -d '{"worker_id":"worker-17","state":"failed","error":{"code":"upstream_error","message":"timeout"}}'`);
  expect(late).toMatch(/^\{"error":"invalid_state",.*\} 409$/);
});

withCurl("a worker with a stream, a job that fails and one that is canceled", async () => {
  await using world = new World();
  await using sh = new Shell({ NFRX: world.origin, API_KEY, CLIENT_KEY });

  // Worker: keep a stream open, and receive claimed jobs as they become available.
  const stream = new JobEvents(
    sh.start(`curl -sN "$NFRX/api/jobs/stream?types=asr.transcribe&worker_id=worker-17&worker_group=asr-cache-a" \
      -H "Authorization: Bearer $CLIENT_KEY"`),
  );
  const first = await sh.json(`curl -s -X POST $NFRX/api/jobs -H "Authorization: Bearer $API_KEY" \
    -H "Content-Type: application/json" \
    -d '{"type":"asr.transcribe","metadata":{"filename":"sample.wav"}}'`);
  sh.set("JOB", first["job_id"]);
  expect(await stream.job()).toMatchObject({
    job_id: first["job_id"],
    type: "asr.transcribe",
    metadata: { filename: "sample.wav" },
    claimed_worker_id: "worker-17",
    claimed_worker_group: "asr-cache-a",
  });

  // Worker: mark it failed.
  const failed = await sh.json(`curl -s -X POST $NFRX/api/jobs/$JOB/status -H "Authorization: Bearer $CLIENT_KEY" \
    -H "Content-Type: application/json" \
    -d '{"worker_id":"worker-17","state":"failed","error":{"code":"upstream_error","message":"timeout"}}'`);
  expect(failed).toEqual({ status: "failed" });
  expect(await sh.json(`curl -s $NFRX/api/jobs/$JOB -H "Authorization: Bearer $API_KEY"`)).toMatchObject({
    status: "failed",
    error: { code: "upstream_error", message: "timeout" },
  });

  // Client: cancel a job, which waits for a worker that is not there.
  const second = await sh.json(`curl -s -X POST $NFRX/api/jobs -H "Authorization: Bearer $API_KEY" \
    -H "Content-Type: application/json" \
    -d '{"type":"asr.transcribe","worker_id":"worker-18"}'`);
  sh.set("JOB", second["job_id"]);
  expect(await sh.json(`curl -s -X POST $NFRX/api/jobs/$JOB/cancel -H "Authorization: Bearer $API_KEY"`)).toEqual({
    status: "canceled",
  });
});
