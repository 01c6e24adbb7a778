// What the command lines have in common.
import type { parseArgs } from "node:util";
import type { Nfrx } from "./api.ts";
import { cancelJob, createJob, type Exchange, followJob, type NewJob } from "./client.ts";
import type { WorkerOptions } from "./worker.ts";

/** A mistake on the command line. */
export class UsageError extends Error {}

/** What payloads and results are unless told. */
export const BINARY = "application/octet-stream";

export const JOB_USAGE = `  --payload FILE       what to send (default: nothing, an empty payload)
  --content-type TYPE  what the payload is (default: application/octet-stream)
  --result FILE        where to write the result (default: stdout)
  --metadata JSON      an object for the worker; the broker can read it
  --worker-id ID       only for this worker
  --worker-group NAME  only for workers of this group
  --priority N         0 to 9; higher goes first`;

export const WORKER_USAGE = `Takes jobs and does each by running COMMAND: the payload is its stdin, its stdout is the result. It
finds the job in JOB_ID, JOB_TYPE and JOB_METADATA. A command that fails makes the job fail.

  --type TYPE          take only jobs of this type; may be repeated
  --worker-id ID       this worker's name, for jobs that ask for it (default: host name and process id)
  --worker-group NAME  this worker's group, for jobs that ask for it
  --concurrency N      jobs at the same time (default: 1)
  --stream             take jobs from an event stream, as many as come, instead of asking for each
  --lease SECONDS      after so long without a sign of life the job goes to another worker (default: 60)
  --once               end after one job
  --content-type TYPE  what the results are (default: application/octet-stream)`;

export const WORKER_OPTIONS = {
  type: { type: "string", multiple: true, default: [] as string[] },
  "worker-id": { type: "string" },
  "worker-group": { type: "string" },
  concurrency: { type: "string", default: "1" },
  stream: { type: "boolean", default: false },
  lease: { type: "string", default: "60" },
  once: { type: "boolean", default: false },
  "content-type": { type: "string", default: BINARY },
} as const;

export const JOB_OPTIONS = {
  payload: { type: "string" },
  "content-type": { type: "string", default: BINARY },
  result: { type: "string" },
  metadata: { type: "string" },
  "worker-id": { type: "string" },
  "worker-group": { type: "string" },
  priority: { type: "string" },
} as const;

export const SECURE_OPTIONS = {
  peer: { type: "string", multiple: true, default: [] as string[] },
  identity: { type: "string" },
} as const;

export const HELP_OPTION = { help: { type: "boolean", short: "h", default: false } } as const;

type WorkerValues = ReturnType<typeof parseArgs<{ options: typeof WORKER_OPTIONS }>>["values"];
type JobValues = ReturnType<typeof parseArgs<{ options: typeof JOB_OPTIONS }>>["values"];

export function newJob(type: string, values: JobValues): NewJob {
  return {
    type,
    metadata: jsonObject("metadata", values.metadata),
    worker_id: values["worker-id"],
    worker_group: values["worker-group"],
    priority: values.priority === undefined ? undefined : Number(values.priority),
  };
}

/** Creates a job, follows it and says how it goes; cancels it when `signal` aborts, or when something breaks on this side. */
export async function seeThrough(
  nfrx: Nfrx,
  job: NewJob,
  signal: AbortSignal,
  exchange: (jobId: string) => Omit<Exchange, "status" | "trouble">,
): Promise<number> {
  const id = await createJob(nfrx, job);
  note(`job ${id}`);
  try {
    const { status, error } = await followJob(
      nfrx,
      id,
      {
        ...exchange(id),
        status: ({ status, progress }) => note(progress ? `${status} ${JSON.stringify(progress)}` : status),
        trouble: ({ key }, error) => note(`${key}: ${error.message}`),
      },
      signal,
    );
    if (error) note(`${error.code}: ${error.message}`);
    return status === "completed" ? 0 : 1;
  } catch (error) {
    note(`canceling: now ${await cancelJob(nfrx, id).catch(late => late.message)}`);
    throw error;
  }
}

export function workerOptions(values: WorkerValues): WorkerOptions {
  return {
    types: values.type,
    workerId: values["worker-id"],
    workerGroup: values["worker-group"],
    concurrency: positive("concurrency", values.concurrency),
    lease: positive("lease", values.lease),
    stream: values.stream,
    once: values.once,
    log: note,
  };
}

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new UsageError(`--${name} wants a number from 1 on`);
  return value;
}

/** A JSON object from the command line. */
function jsonObject(name: string, text: string | undefined): Record<string, unknown> | undefined {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {}
  throw new UsageError(`--${name} wants a JSON object`);
}

/** For people; stdout is for results. */
export function note(message: string): void {
  process.stderr.write(`${message}\n`);
}

const ENDED_BY_SIGNAL = 130;

/** Runs a program to its exit code. `signal` aborts at Ctrl-C or SIGTERM; a second one ends the process at once. */
export async function main(run: (signal: AbortSignal) => Promise<number>): Promise<void> {
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stop.abort());
  try {
    const code = await run(stop.signal);
    process.exitCode = stop.signal.aborted ? ENDED_BY_SIGNAL : code;
  } catch (error) {
    if (stop.signal.aborted) {
      process.exitCode = ENDED_BY_SIGNAL;
      return;
    }
    note(`error: ${error instanceof Error ? error.message : error}`);
    const usage =
      error instanceof UsageError || (error as { code?: unknown })?.code?.toString().startsWith("ERR_PARSE");
    process.exitCode = usage ? 2 : 1;
  }
}
