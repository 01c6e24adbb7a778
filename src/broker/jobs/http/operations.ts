// The operations of the jobs queue.
import { z } from "zod";
import type { Content, Operation, Parameter } from "../../../modules/route.ts";
import { TICKET } from "../../http/access/ticket-routes.ts";
import { STATUSES } from "../job.ts";
import { IDEMPOTENCY_KEY_MAX, JOB_LIST_DEFAULT, JOB_LIST_MAX, JOB_STREAM_DEFAULT, JOB_STREAM_MAX } from "../limits.ts";
import * as requests from "./request-schemas.ts";
import * as shapes from "./shapes.ts";

const STATE = `(?:${STATUSES.join("|")})`;
const JOB_ID = "8d0f6a1e-93c0-4a27-a6f5-6f0b8f5d2c11";
const CHANNEL_ID = "5b0c7a52-4f0e-4c55-8d8e-2f6f4f1c9a10";
const CLAIM_ID = "0f4b1c2d-7a69-4f3c-8f55-1f9f0a4f7b33";
const NOW = "2026-01-01T12:00:00.000Z";
const VIEW = {
  id: JOB_ID,
  type: "asr.transcribe",
  status: "queued",
  queue_position: 1,
  created_at: NOW,
  updated_at: NOW,
};
const TRANSFER = { channel_id: CHANNEL_ID, expires_at: "2026-01-01T12:01:00.000Z" };
const CLAIMED = {
  job_id: JOB_ID,
  type: "asr.transcribe",
  worker_id: "",
  worker_group: "",
  claimed_worker_id: "worker-1",
  claimed_worker_group: "",
  claim_id: CLAIM_ID,
  lease_seconds: 900,
  attempt: 1,
  metadata: { filename: "sample.wav" },
};

const json = (schema: z.ZodType, example: unknown): Content[] => [{ type: "application/json", schema, example }];
const events = (example: string): Content[] => [{ type: "text/event-stream", schema: z.string(), example }];
const id: Parameter = { name: "id", in: "path", description: "Job ID.", example: JOB_ID };

const BODY = ["invalid_request", "too_large", "overloaded"] as const;
const BUSY = ["not_found", "invalid_state"] as const;

export const CREATE: Operation = {
  summary: "Create a job",
  parameters: [
    {
      name: "Idempotency-Key",
      in: "header",
      description: "Requests with the same key create one job.",
      schema: z.string().min(1).max(IDEMPOTENCY_KEY_MAX),
      example: "order-4711",
    },
  ],
  request: { content: json(requests.createBody, { type: "asr.transcribe", metadata: { filename: "sample.wav" } }) },
  responses: {
    200: {
      description: "The job.",
      headers: { "Idempotent-Replayed": "`true` if the key was used before and the job already existed." },
      content: json(shapes.created, { job_id: JOB_ID, status: "queued" }),
    },
  },
  failures: ["missing_type", ...BODY, "limit_exceeded", "idempotency_conflict", "draining"],
};

export const LIST: Operation = {
  summary: "List your jobs",
  description: "The jobs that were created with the caller's key, newest first.",
  parameters: [
    {
      name: "status",
      in: "query",
      description: `One status, or several, comma-separated: ${STATUSES.join(", ")}.`,
      schema: z.string().regex(new RegExp(`^(?:${STATE}(?:,${STATE})*)?$`)),
      example: "queued,running",
    },
    { name: "type", in: "query", description: "Job type." },
    {
      name: "limit",
      in: "query",
      description: `Maximum number of jobs to return: ${JOB_LIST_DEFAULT} by default, at most ${JOB_LIST_MAX}.`,
      schema: z.int().min(1),
      example: 10,
    },
  ],
  responses: { 200: { description: "The jobs.", content: json(shapes.jobList, { jobs: [VIEW] }) } },
  failures: ["invalid_request"],
};

export const GET: Operation = {
  summary: "Get a job",
  parameters: [id],
  responses: { 200: { description: "The job.", content: json(shapes.jobView, VIEW) } },
  failures: ["not_found"],
};

export const EVENTS: Operation = {
  summary: "Stream a job's events",
  description:
    "The first event is a `status` with the current job; further ones follow for each change. A `payload` (to send) or `result` (to fetch) event with its channel precedes the status.",
  parameters: [
    id,
    TICKET,
    {
      name: "Last-Event-ID",
      in: "header",
      description: "ID of the last event received; the broker sends the events since then.",
    },
  ],
  responses: {
    200: {
      description: "The job's events.",
      content: events(`event: status\nid: 1\ndata: ${JSON.stringify(VIEW)}\n\n`),
    },
    204: { description: "No further events." },
  },
  failures: ["not_found", "limit_exceeded", "overloaded"],
};

export const CANCEL: Operation = {
  summary: "Cancel a job",
  parameters: [id],
  responses: {
    200: {
      description: "The job is canceled, or had already ended.",
      content: json(shapes.answered, { status: "canceled" }),
    },
  },
  failures: ["not_found", "overloaded"],
};

export const CLAIM: Operation = {
  summary: "Claim a job",
  description: "Returns the matching queued job with the highest priority; among equals, the oldest.",
  request: {
    optional: true,
    content: json(requests.claimBody, { types: ["asr.transcribe"], worker_id: "worker-1", max_wait_seconds: 30 }),
  },
  responses: {
    200: { description: "A job.", content: json(shapes.claim, CLAIMED) },
    204: { description: "No job arrived within the wait time." },
  },
  failures: [...BODY, "limit_exceeded", "draining"],
};

export const STREAM: Operation = {
  summary: "Stream job claims",
  description:
    "Sends claims one at a time, each after the previous one was taken and while the worker has fewer than `max` jobs. When the stream ends, a job for which the worker has made no call returns to the queue.",
  parameters: [
    { name: "types", in: "query", description: "Accepted job types, comma-separated; all types by default." },
    { name: "worker_id", in: "query", description: "Worker ID, chosen by the worker.", example: "worker-1" },
    { name: "worker_group", in: "query", description: "Worker group." },
    {
      name: "max",
      in: "query",
      description: `Maximum number of unfinished jobs of the worker: ${JOB_STREAM_DEFAULT} by default, at most ${JOB_STREAM_MAX}.`,
      schema: z.int().min(1),
      example: JOB_STREAM_DEFAULT,
    },
    {
      name: "lease_seconds",
      in: "query",
      description: "Lease of a claimed job, in seconds.",
      schema: requests.leaseSeconds,
      example: 900,
    },
  ],
  responses: {
    200: { description: "Claims as events.", content: events(`event: job\ndata: ${JSON.stringify(CLAIMED)}\n\n`) },
  },
  failures: ["invalid_request", "limit_exceeded", "draining", "overloaded"],
};

/** A channel for a payload, or for a result. */
const channel = (summary: string, schema: z.ZodType, example: object): Operation => ({
  summary,
  parameters: [id],
  request: { optional: true, content: json(requests.transferBody, { claim_id: CLAIM_ID }) },
  responses: { 200: { description: "The channel; the client gets it in an event.", content: json(schema, example) } },
  failures: [...BODY, ...BUSY, "limit_exceeded", "draining"],
});

const url = `/api/transfer/${CHANNEL_ID}`;
export const PAYLOAD = channel("Request a payload", shapes.payloadChannel, {
  key: "payload",
  reader_url: url,
  ...TRANSFER,
});
export const RESULT = channel("Offer a result", shapes.resultChannel, { key: "result", writer_url: url, ...TRANSFER });

export const STATUS: Operation = {
  summary: "Report on a job",
  description: "An unknown state gets 400 `invalid_state`.",
  parameters: [id],
  request: {
    content: json(requests.reportBody, { claim_id: CLAIM_ID, state: "running", progress: { percent: 40 } }),
  },
  responses: {
    200: { description: "The report was recorded.", content: json(shapes.answered, { status: "running" }) },
  },
  failures: ["missing_state", ...BODY, ...BUSY],
};

export const HEARTBEAT: Operation = {
  summary: "Renew a job's lease",
  description: "Restarts the lease.",
  parameters: [id],
  request: { optional: true, content: json(requests.heartbeatBody, { claim_id: CLAIM_ID }) },
  responses: {
    200: {
      description: "The lease was renewed.",
      content: json(shapes.kept, { status: "running", lease_seconds: 900 }),
    },
  },
  failures: [...BODY, ...BUSY],
};
