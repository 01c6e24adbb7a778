// What the jobs API answers, as its document has it; view.ts makes it.
import { z } from "zod";
import { STATUSES } from "../job.ts";

const time = (description: string) => z.string().meta({ format: "date-time", description });
const status = z
  .enum(STATUSES)
  .meta({ id: "JobStatus", description: "`completed`, `failed` and `canceled` are ends." });
const properties = z.looseObject({}).optional().describe("What the worker said of it.");

const clientTransfer = z
  .object({
    key: z.string(),
    channel_id: z.string(),
    method: z.enum(["GET", "POST"]).describe("A payload is sent with POST, a result fetched with GET."),
    url: z.string().describe("The channel, from the root of the broker."),
    expires_at: time("By when both ends must be there."),
    properties,
  })
  .meta({ id: "JobTransfer", description: "A channel of a job, for its client." });

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
    progress: z.looseObject({}).optional().describe("What its worker last said."),
    error: z.object({ code: z.string(), message: z.string() }).optional(),
    payloads: z.record(z.string(), clientTransfer).optional(),
    results: z.record(z.string(), clientTransfer).optional(),
    queue_position: z.int().optional().describe("Its place in the queue, from 1, while it waits."),
    created_at: time("When it was created."),
    updated_at: time("When it last changed."),
  })
  .meta({ id: "Job", description: "A job as its client sees it." });

export const jobList = z.object({ jobs: z.array(jobView) });
export const created = z.object({ job_id: z.string(), status });
export const answered = z.object({ status });
export const kept = z.object({ status, lease_seconds: z.number().describe("How long the worker may be silent now.") });

export const claim = z
  .object({
    job_id: z.string(),
    type: z.string(),
    metadata: z.looseObject({}).nullable(),
    worker_id: z.string(),
    worker_group: z.string(),
    claimed_worker_id: z.string(),
    claimed_worker_group: z.string(),
    claim_id: z.string().describe("To be sent with every call about the job."),
    lease_seconds: z.number(),
    attempt: z.int().describe("How many workers have had it, this one included."),
  })
  .meta({ id: "Claim", description: "A job that is a worker's now." });

const workerTransfer = z.object({
  key: z.string(),
  channel_id: z.string(),
  expires_at: time("By when both ends must be there."),
  properties,
});
export const payloadChannel = workerTransfer.extend({ reader_url: z.string().describe("Where to read it.") });
export const resultChannel = workerTransfer.extend({ writer_url: z.string().describe("Where to write it.") });
