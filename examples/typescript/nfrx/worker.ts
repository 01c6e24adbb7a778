// A worker: claims jobs, keeps their leases, takes their payloads, gives their results.
import { hostname } from "node:os";
import { type Incoming, type Nfrx, NfrxError } from "./api.ts";

export interface Claim {
  job_id: string;
  type: string;
  metadata?: Record<string, unknown>;
  /** Says in every call which claim it belongs to. The 0.9 series gives none. */
  claim_id?: string;
}

export interface WorkerOptions {
  /** Types of jobs to take; all when empty. */
  types: string[];
  workerId?: string | undefined;
  workerGroup?: string | undefined;
  /** Seconds without a sign of life after which the broker gives the job to somebody else. */
  lease: number;
  /** Jobs at the same time, when polling. */
  concurrency: number;
  /** Take jobs from a stream of events, one after the other, instead of asking for each. */
  stream: boolean;
  /** End after one job. */
  once: boolean;
  log(message: string): void;
}

/** Thrown by a handler to end a job as failed, with a word for programs and a sentence for people. */
export class JobFailed extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

type Properties = Record<string, unknown>;

/** How often a transfer that broke is begun anew, on a channel of its own. */
const TRANSFER_TRIES = 3;
const POLL_SECONDS = 30;

/** One claimed job. */
export class Task {
  readonly claim: Claim;
  /** Aborts when the job was canceled, or is no longer this worker's. */
  readonly signal: AbortSignal;
  readonly #nfrx: Nfrx;

  constructor(nfrx: Nfrx, claim: Claim, signal: AbortSignal) {
    this.#nfrx = nfrx;
    this.claim = claim;
    this.signal = signal;
  }

  /** Asks the client for the payload and hands it to `use`; again when the transfer breaks. */
  async takePayload<T>(use: (payload: Incoming) => Promise<T>, properties?: Properties): Promise<T> {
    return this.#onChannel("payload", properties, async ({ reader_url }) =>
      use(await this.#nfrx.receive(reader_url!, this.signal)),
    );
  }

  /** Gives the client the result; again when the transfer breaks. */
  async giveResult(body: Blob | Uint8Array, contentType: string, properties?: Properties): Promise<void> {
    await this.#onChannel("result", properties, ({ writer_url }) =>
      this.#nfrx.send(writer_url!, body, contentType, this.signal),
    );
  }

  /** Says what the job is doing, or how it ended. */
  async report(state: string, more: { progress?: object; error?: { code: string; message: string } } = {}) {
    await this.#post("status", { state, ...more });
  }

  async heartbeat(): Promise<void> {
    await this.#post("heartbeat", {});
  }

  async #onChannel<T>(
    end: "payload" | "result",
    properties: Properties | undefined,
    transfer: (channel: { reader_url?: string; writer_url?: string }) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const channel = (await this.#post(end, properties ? { properties } : {})) ?? {};
      try {
        return await transfer(channel);
      } catch (error) {
        if (!(error instanceof NfrxError) || attempt === TRANSFER_TRIES) throw error;
      }
    }
  }

  #post(what: string, body: object): Promise<Record<string, string> | undefined> {
    const { job_id, claim_id } = this.claim;
    const path = `/api/jobs/${encodeURIComponent(job_id)}/${what}`;
    return this.#nfrx.call("POST", path, { body: { claim_id, ...body }, signal: this.signal });
  }
}

/** Claims jobs and hands them to `handle`, until `stop` aborts; jobs under way are finished first. */
export async function work(
  nfrx: Nfrx,
  options: WorkerOptions,
  handle: (task: Task) => Promise<void>,
  stop: AbortSignal,
): Promise<void> {
  const claimer = {
    worker_id: options.workerId ?? `${hostname()}-${process.pid}`,
    ...(options.workerGroup && { worker_group: options.workerGroup }),
  };
  const run = (claim: Claim): Promise<void> => runTask(nfrx, claim, handle, options);

  const poll = async (): Promise<void> => {
    const body = { types: options.types, max_wait_seconds: POLL_SECONDS, lease_seconds: options.lease, ...claimer };
    while (!stop.aborted) {
      // A worker outlives its broker's absence, however long that is.
      const forever = { body, signal: stop, tries: Number.POSITIVE_INFINITY };
      const claim = await nfrx.call<Claim>("POST", "/api/jobs/claim", forever);
      if (claim === undefined) continue;
      await run(claim);
      if (options.once) return;
    }
  };

  const listen = async (): Promise<void> => {
    const query = new URLSearchParams({ ...claimer, lease_seconds: String(options.lease) });
    if (options.types.length > 0) query.set("types", options.types.join(","));
    const running = new Set<Promise<void>>();
    try {
      for await (const { event, data } of nfrx.events(`/api/jobs/stream?${query}`, stop)) {
        if (event !== "job") continue;
        const task: Promise<void> = run(data as Claim).finally(() => running.delete(task));
        running.add(task);
        if (!options.once) continue;
        // A stream that ends before its worker has called about a job gives the job back.
        await task;
        return;
      }
    } finally {
      await Promise.all(running);
    }
  };

  try {
    if (options.stream) await listen();
    else await Promise.all(Array.from({ length: options.once ? 1 : options.concurrency }, poll));
  } catch (error) {
    if (!stop.aborted) throw error;
  }
}

/** One job from its claim to its end. Never rejects. */
async function runTask(
  nfrx: Nfrx,
  claim: Claim,
  handle: (task: Task) => Promise<void>,
  { lease, log }: WorkerOptions,
): Promise<void> {
  const lost = new AbortController();
  const task = new Task(nfrx, claim, lost.signal);
  const heart = setInterval(
    () => {
      task.heartbeat().catch(error => {
        if (isLost(error)) lost.abort(error);
        // A broker that has no heartbeats (the 0.9 series) has no leases either.
        else if (error instanceof NfrxError && error.status === 404) clearInterval(heart);
      });
    },
    (lease * 1000) / 3,
  );
  log(`${claim.job_id}: claimed (${claim.type})`);
  try {
    await handle(task);
    await task.report("completed");
    log(`${claim.job_id}: completed`);
  } catch (error) {
    const reason = lost.signal.aborted ? lost.signal.reason : error;
    if (isLost(reason)) return log(`${claim.job_id}: given up: ${reason.message}`);
    const { code, message } = failureOf(reason);
    log(`${claim.job_id}: failed: ${message}`);
    await task.report("failed", { error: { code, message } }).catch(late => log(`${claim.job_id}: ${late.message}`));
  } finally {
    clearInterval(heart);
  }
}

/** True when the job was canceled or belongs to somebody else by now. */
function isLost(error: unknown): error is NfrxError {
  return error instanceof NfrxError && (error.code === "invalid_state" || error.code === "not_found");
}

function failureOf(error: unknown): { code: string; message: string } {
  if (error instanceof JobFailed) return error;
  if (error instanceof NfrxError) return { code: "transfer_failed", message: error.message };
  return { code: "worker_error", message: error instanceof Error ? error.message : String(error) };
}
