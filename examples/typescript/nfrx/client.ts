// A job from its client's side: created, then followed until it has ended.
import { randomUUID } from "node:crypto";
import { type Incoming, type Nfrx, NfrxError } from "./api.ts";

export interface NewJob {
  type: string;
  metadata?: Record<string, unknown> | undefined;
  worker_id?: string | undefined;
  worker_group?: string | undefined;
  priority?: number | undefined;
}

/** A transfer channel that a worker asked for. */
export interface Channel {
  key: string;
  channel_id: string;
  url: string;
  properties?: Record<string, unknown>;
}

export interface Job {
  id: string;
  type: string;
  status: string;
  progress?: { percent?: number; message?: string };
  error?: { code: string; message: string };
  payloads?: Record<string, Channel>;
  results?: Record<string, Channel>;
}

/** What a client does when the worker is ready to take a payload, and to give a result. */
export interface Exchange {
  payload(channel: Channel): Promise<{ body: Blob | Uint8Array; contentType: string }>;
  result(channel: Channel, incoming: Incoming): Promise<void>;
  status?(job: Job): void;
  /** A transfer failed. The worker may ask for it again, so the job goes on. */
  trouble?(channel: Channel, error: NfrxError): void;
}

const ENDED = new Set(["completed", "failed", "canceled"]);

/** Resolves to the job's id. The key makes sure that a call that is tried again creates no second job. */
export async function createJob(nfrx: Nfrx, job: NewJob): Promise<string> {
  const headers = { "idempotency-key": randomUUID() };
  return (await nfrx.call<{ job_id: string }>("POST", "/api/jobs", { body: job, headers }))!.job_id;
}

export async function getJob(nfrx: Nfrx, id: string): Promise<Job> {
  return (await nfrx.call<Job>("GET", jobPath(id)))!;
}

/** Resolves to the status that the job has now: another one than `canceled` when it had ended before. */
export async function cancelJob(nfrx: Nfrx, id: string): Promise<string> {
  return (await nfrx.call<{ status: string }>("POST", `${jobPath(id)}/cancel`))!.status;
}

/**
 * Follows a job to its end, sending and receiving what the worker asks for.
 * Rejects when a completed job's result did not come, and with whatever `exchange` throws; then the job still runs.
 */
export async function followJob(nfrx: Nfrx, id: string, exchange: Exchange, signal?: AbortSignal): Promise<Job> {
  const stop = new AbortController();
  const signals = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
  const seen = new Set<string>();
  const transfers = new Set<Promise<void>>();
  const missing = new Map<string, NfrxError>();

  const send = async (channel: Channel): Promise<void> => {
    const { body, contentType } = await exchange.payload(channel);
    await nfrx.send(channel.url, body, contentType, signals);
  };
  const receive = async (channel: Channel): Promise<void> => {
    await exchange.result(channel, await nfrx.receive(channel.url, signals));
    missing.delete(channel.key);
  };
  // Transfers run beside the events, so that a cancellation is seen while bytes flow.
  const start = (channel: Channel, isResult: boolean): void => {
    if (seen.has(channel.channel_id)) return;
    seen.add(channel.channel_id);
    const transfer = (isResult ? receive(channel) : send(channel))
      .catch(error => {
        if (!(error instanceof NfrxError)) return stop.abort(error);
        if (isResult) missing.set(channel.key, error);
        exchange.trouble?.(channel, error);
      })
      .finally(() => transfers.delete(transfer));
    transfers.add(transfer);
  };

  try {
    for await (const { event, data } of nfrx.events(`${jobPath(id)}/events`, signals)) {
      if (event === "payload" || event === "result") start(data as Channel, event === "result");
      if (event !== "status") continue;
      const job = data as Job;
      exchange.status?.(job);
      // The status names every channel too: what was missed while the connection was down is found here.
      for (const channel of Object.values(job.payloads ?? {})) start(channel, false);
      for (const channel of Object.values(job.results ?? {})) start(channel, true);
      if (!ENDED.has(job.status)) continue;
      if (job.status === "completed") await Promise.all(transfers);
      signals.throwIfAborted();
      for (const error of missing.values()) throw error;
      return job;
    }
    throw new Error("the broker ended the events before the job has ended");
  } finally {
    stop.abort();
    await Promise.all(transfers);
  }
}

function jobPath(id: string): string {
  return `/api/jobs/${encodeURIComponent(id)}`;
}
