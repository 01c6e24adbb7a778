// Validates requests and converts them to internal types.

import { z } from "zod";
import { sha256 } from "../../../lib/digest.ts";
import { NfrxError } from "../../../lib/errors.ts";
import type { BodyLimits, Sender } from "../../http/body/body.ts";
import { type CarriedLimits, checked, invalid, type JsonText, readJson } from "../../http/body/json-body.ts";
import { type Claimer, isStatus, type JobError, type JobStatus, STATUSES } from "../job.ts";
import {
  CLAIM_TYPES_MAX,
  CLAIM_WAIT_MAX_SECONDS,
  CLIENT_UNWATCHED_MS,
  IDEMPOTENCY_KEY_MAX,
  JOB_ERROR_MAX,
  JOB_JSON_BYTES,
  JOB_JSON_LEVELS,
  JOB_LIST_DEFAULT,
  JOB_LIST_MAX,
  JOB_NAME_MAX,
  JOB_STREAM_DEFAULT,
  JOB_STREAM_MAX,
  LEASE_MAX_SECONDS,
  LEASE_MIN_SECONDS,
} from "../limits.ts";

const name = z.string().trim().max(JOB_NAME_MAX, `is longer than ${JOB_NAME_MAX} characters`);
/** An optional name; null is equivalent, as some clients send it. */
const optionalName = (description: string) =>
  name
    .nullish()
    .transform(text => text ?? "")
    .meta({ description });
const object = (description: string) =>
  z
    .custom<Readonly<Record<string, unknown>>>(isObject, "must be an object")
    .meta({ type: "object" })
    .nullish()
    .meta({ description });
/** Fields with their own errors are optional in the schema and checked in the code. */
const needed = (description: string, more: { enum?: readonly string[] } = {}) =>
  z
    .string()
    .nullish()
    .meta({ anyOf: undefined, type: "string", minLength: 1, description, ...more });
export const leaseSeconds = z.number().min(LEASE_MIN_SECONDS).max(LEASE_MAX_SECONDS);

const proof = {
  claim_id: z.string().nullish().describe("Claim ID. It detects that another worker has claimed the job meanwhile."),
  worker_id: z.string().nullish().describe("Worker ID, as given in the claim."),
};

export const createBody = z
  .object({
    type: needed("Job type; workers claim by type."),
    metadata: object(`Passed to the worker unchanged; at most ${JOB_JSON_BYTES} bytes.`),
    worker_id: optionalName("ID of the only worker that can claim the job."),
    worker_group: optionalName("Group of the workers that can claim the job."),
    priority: z.int().min(0).max(9).nullish().describe("Jobs with a higher priority are claimed first; 0 by default."),
    cancel_when_unwatched: z
      .boolean()
      .nullish()
      .describe(
        `Cancel the job when its client neither follows its events nor polls it for ${CLIENT_UNWATCHED_MS / 1000} s. Otherwise it is canceled after \`JOBS_CLIENT_TTL\`.`,
      ),
  })
  .meta({ id: "JobRequest", description: "New job.", required: ["type"] });
export const claimBody = z
  .object({
    types: z.array(name).max(CLAIM_TYPES_MAX).nullish().describe("Accepted job types; all types by default."),
    max_wait_seconds: z
      .number()
      .nullish()
      .describe(`Time to wait for a job, in seconds: 0 by default, at most ${CLAIM_WAIT_MAX_SECONDS}.`),
    lease_seconds: leaseSeconds.nullish().describe("Lease of the job, in seconds; `JOBS_LEASE` by default."),
    worker_id: optionalName("Worker ID, chosen by the worker."),
    worker_group: optionalName("Worker group."),
  })
  .meta({ id: "ClaimRequest", description: "Claim request." });
export const transferBody = z
  .object({
    ...proof,
    key: name.nullish().describe("Name of the transfer; `payload` or `result` by default."),
    properties: object("Passed to the client unchanged."),
  })
  .meta({ id: "JobTransferRequest", description: "Request for a payload, or offer of a result." });
export const reportBody = z
  .object({
    ...proof,
    state: needed("New state; `queued` returns the job to the queue.", { enum: STATUSES }),
    progress: object("Passed to the client unchanged."),
    error: z
      .object({ code: z.string().nullish(), message: z.string().nullish() })
      .nullish()
      .describe("Reason of the failure."),
  })
  .meta({ id: "JobReport", description: "Status report.", required: ["state"] });
export const heartbeatBody = z.object(proof).meta({ id: "JobHeartbeat", description: "Heartbeat." });

const CARRIED: CarriedLimits = { bytes: JOB_JSON_BYTES, levels: JOB_JSON_LEVELS };

export interface CreateRequest {
  type: string;
  metadata: JsonText;
  workerId: string;
  workerGroup: string;
  priority: number;
  cancelWhenUnwatched: boolean;
}

export async function readCreate(sender: Sender, limits: BodyLimits): Promise<CreateRequest> {
  const { fields: body, carried } = await readJson(sender, limits, createBody, false);
  const type = (body.type ?? "").trim();
  if (type === "") throw new NfrxError("missing_type", "type is required", { param: "type" });
  if (type.length > JOB_NAME_MAX) throw invalid("type", `is longer than ${JOB_NAME_MAX} characters`);
  return {
    type,
    metadata: carried("metadata", CARRIED) ?? "",
    workerId: body.worker_id,
    workerGroup: body.worker_group,
    priority: body.priority ?? 0,
    cancelWhenUnwatched: body.cancel_when_unwatched ?? false,
  };
}

export async function readClaim(sender: Sender, limits: BodyLimits): Promise<{ claimer: Claimer; waitMs: number }> {
  const { fields: body } = await readJson(sender, limits, claimBody);
  return {
    claimer: {
      types: [...new Set(body.types ?? [])],
      workerId: body.worker_id,
      workerGroup: body.worker_group,
      leaseMs: body.lease_seconds ? body.lease_seconds * 1000 : undefined,
    },
    waitMs: Math.min(Math.max(0, body.max_wait_seconds ?? 0), CLAIM_WAIT_MAX_SECONDS) * 1000,
  };
}

/** The claimer of a stream, and how many jobs it may hold at once, from the query of its URL. */
export function streamOf(query: URLSearchParams): { claimer: Claimer; max: number } {
  const max = Number(query.get("max") || JOB_STREAM_DEFAULT);
  if (!Number.isInteger(max) || max < 1) throw invalid("max", "must be a whole number of at least 1");
  return { claimer: claimerOf(query), max: Math.min(max, JOB_STREAM_MAX) };
}

function claimerOf(query: URLSearchParams): Claimer {
  const one = (key: string): string => checked(key, name, query.get(key) ?? "");
  const types = query.getAll("types").flatMap(text => text.split(","));
  const named = types.map(type => checked("types", name, type)).filter(type => type !== "");
  if (named.length > CLAIM_TYPES_MAX) throw invalid("types", `must have at most ${CLAIM_TYPES_MAX} entries`);
  const lease = query.get("lease_seconds");
  return {
    types: [...new Set(named)],
    workerId: one("worker_id"),
    workerGroup: one("worker_group"),
    leaseMs: lease === null ? undefined : 1000 * checked("lease_seconds", leaseSeconds, Number(lease)),
  };
}

export async function readTransfer(sender: Sender, limits: BodyLimits, role: "payload" | "result") {
  const { fields, carried } = await readJson(sender, limits, transferBody);
  return { by: proofOf(fields), wanted: { role, key: fields.key ?? role, properties: carried("properties", CARRIED) } };
}

export async function readReport(sender: Sender, limits: BodyLimits) {
  const { fields: body, carried } = await readJson(sender, limits, reportBody, false);
  const error: JobError | undefined = body.error
    ? {
        code: (body.error.code ?? "").slice(0, JOB_NAME_MAX),
        message: (body.error.message ?? "").slice(0, JOB_ERROR_MAX),
      }
    : undefined;
  return {
    by: proofOf(body),
    news: { state: (body.state ?? "").trim(), progress: carried("progress", CARRIED), error },
  };
}

export async function readHeartbeat(sender: Sender, limits: BodyLimits) {
  return proofOf((await readJson(sender, limits, heartbeatBody)).fields);
}

/** The query of a list. */
export function listOf(query: URLSearchParams): { statuses: JobStatus[]; type: string | undefined; limit: number } {
  const words = query
    .getAll("status")
    .flatMap(text => text.split(","))
    .map(word => word.trim())
    .filter(word => word !== "");
  const statuses = words.filter(isStatus);
  if (statuses.length < words.length) throw invalid("status", "is not a job status");
  const type = query.get("type") || undefined;
  const limit = Number(query.get("limit") || JOB_LIST_DEFAULT);
  if (!Number.isInteger(limit) || limit < 1) throw invalid("limit", "must be a whole number from 1");
  return { statuses: [...new Set(statuses)], type, limit: Math.min(limit, JOB_LIST_MAX) };
}

/** The idempotency key with a digest of the request, to detect a different request with the same key. */
export function idempotencyOf(headers: Headers, wanted: CreateRequest): { key: string; digest: string } | undefined {
  const key = headers.get("idempotency-key");
  if (key === null) return undefined;
  if (key === "" || key.length > IDEMPOTENCY_KEY_MAX)
    throw invalid("Idempotency-Key", `must have 1 to ${IDEMPOTENCY_KEY_MAX} characters`);
  const { type, metadata, workerId, workerGroup, priority, cancelWhenUnwatched } = wanted;
  // Omitted fields are not included, so that digests of earlier versions still match.
  const more = cancelWhenUnwatched ? [cancelWhenUnwatched] : [];
  const text = JSON.stringify([type, metadata, workerId, workerGroup, priority, ...more]);
  return { key, digest: sha256(text).toString("base64url") };
}

/** The last event that a client has seen, if stated. */
export function lastEventOf(headers: Headers): number | undefined {
  const text = headers.get("last-event-id");
  return text !== null && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function proofOf(body: { claim_id?: string | null | undefined; worker_id?: string | null | undefined }) {
  return { claimId: body.claim_id || undefined, workerId: body.worker_id?.trim() || undefined };
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
