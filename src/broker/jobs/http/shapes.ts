// Response schemas of the jobs API; view.ts creates the responses.
import { z } from "zod";
import { STATUSES } from "../job.ts";

const time = (description: string) => z.string().meta({ format: "date-time", description });
const status = z
  .enum(STATUSES)
  .meta({ id: "JobStatus", description: "`completed`, `failed` and `canceled` are final." });
const properties = z.looseObject({}).optional().describe("Error message of the worker.");

const clientTransfer = z
  .object({
    key: z.string(),
    channel_id: z.string(),
    method: z.enum(["GET", "POST"]).describe("Send a payload with POST, fetch a result with GET."),
    url: z.string().describe("Path of the channel."),
    expires_at: time("Time by which both ends must connect."),
    properties,
  })
  .meta({ id: "JobTransfer", description: "Transfer channel of a job, as the client sees it." });

export const jobView = z
  .object({
    id: z.string(),
    type: z.string(),
    status,
    metadata: z.looseObject({}).optional(),
    priority: z.int().optional(),
    worker_id: z.string().optional(),
    worker_group: z.string().optional(),
    claimed_worker_id: z.string().optional(),
    claimed_worker_group: z.string().optional(),
    progress: z.looseObject({}).optional().describe("Last progress report of the worker."),
    error: z.object({ code: z.string(), message: z.string() }).optional(),
    payloads: z.record(z.string(), clientTransfer).optional(),
    results: z.record(z.string(), clientTransfer).optional(),
    queue_position: z.int().optional().describe("Position in the queue, from 1, while queued."),
    created_at: time("Creation time."),
    updated_at: time("Time of the last change."),
  })
  .meta({ id: "Job", description: "Job, as its client sees it." });

export const jobList = z.object({ jobs: z.array(jobView) });
export const created = z.object({ job_id: z.string(), status });
export const answered = z.object({ status });
export const kept = z.object({ status, lease_seconds: z.number().describe("Current lease, in seconds.") });

export const claim = z
  .object({
    job_id: z.string(),
    type: z.string(),
    metadata: z.looseObject({}).nullable(),
    worker_id: z.string(),
    worker_group: z.string(),
    claimed_worker_id: z.string(),
    claimed_worker_group: z.string(),
    claim_id: z.string().describe("Claim ID, to send with every call about the job."),
    lease_seconds: z.number(),
    attempt: z.int().describe("Number of claims so far, this one included."),
  })
  .meta({ id: "Claim", description: "Claimed job." });

const workerTransfer = z.object({
  key: z.string(),
  channel_id: z.string(),
  expires_at: time("Time by which both ends must connect."),
  properties,
});
export const payloadChannel = workerTransfer.extend({ reader_url: z.string().describe("Path to read from.") });
export const resultChannel = workerTransfer.extend({ writer_url: z.string().describe("Path to write to.") });
