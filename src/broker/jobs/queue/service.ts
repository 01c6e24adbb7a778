// The jobs queue: the life of a job. ../http has the HTTP side.
import { NfrxError } from "../../../lib/errors.ts";
import type { Logger } from "../../../lib/log.ts";
import type { Clock } from "../../../lib/time.ts";
import type { JsonText } from "../../http/body/json-body.ts";
import { type Claimer, isTerminal, type Job, type JobError, type JobTransfer } from "../job.ts";
import { JOB_LISTENERS_MAX } from "../limits.ts";
import { type Proof, requireHolder } from "../machine.ts";
import type { Draft, JobQuery, JobStore } from "../store/store.ts";
import { JobChanges, jobNotFound } from "./changes.ts";
import type { Channels } from "./channels.ts";
import { ClaimWaiters } from "./claim-waiters.ts";
import { ClientLiveness } from "./client-liveness.ts";
import { eventsOf, JobEvents, type JobListener } from "./events.ts";
import type { JobMetrics } from "./metrics.ts";
import { Retention } from "./retention.ts";
import { WatchedClaims } from "./stream-claims.ts";
import { JobTransfers, type TransferRequest } from "./transfers.ts";

export interface JobSettings {
  /** Default lease of a claim. */
  readonly leaseMs: number;
  /** Claims of one job, after which it fails when the last one is lost, too. */
  readonly maxAttempts: number;
  /** Time after which a job without an active client is canceled; 0 disables it. */
  readonly clientTtlMs: number;
  /** How long ended jobs are kept, and how many of them. */
  readonly retentionMs: number;
  readonly maxEnded: number;
}

export interface JobServiceOptions {
  readonly store: JobStore;
  readonly channels: Channels;
  readonly settings: JobSettings;
  readonly metrics: JobMetrics;
  readonly clock: Clock;
  readonly log: Logger;
}

/** A request for a job. */
export type JobRequest = Pick<
  Draft,
  | "type"
  | "priority"
  | "metadata"
  | "workerId"
  | "workerGroup"
  | "owner"
  | "caller"
  | "cancelWhenUnwatched"
  | "idempotency"
>;

const INACTIVE: JobError = { code: "client_inactive", message: "the client neither followed nor polled the job" };

export class JobService {
  readonly events = new JobEvents();
  readonly claimWaiters: ClaimWaiters;
  /** The claims that streams have brought. */
  readonly streamed = new WatchedClaims();
  readonly #options: JobServiceOptions;
  readonly #liveness: ClientLiveness;
  readonly #retention: Retention;
  readonly #changes: JobChanges;
  readonly #transfers: JobTransfers;
  readonly #watching = new AbortController();
  #closed = false;

  constructor(options: JobServiceOptions) {
    const { store, clock, log } = options;
    this.#options = options;
    this.claimWaiters = new ClaimWaiters(claimer => this.#claim(claimer));
    this.#retention = new Retention({ ...options, onForgotten: id => this.events.forget(id) });
    this.#changes = new JobChanges({ ...options, onEnded: () => this.#retention.plan() });
    this.#transfers = new JobTransfers({
      ...options,
      changes: this.#changes,
      onProgress: id => this.#liveness.seenIfKnown(id),
    });
    this.#liveness = new ClientLiveness(clock, options.settings.clientTtlMs, id => {
      this.#changes.apply(id, { does: "cancel", error: INACTIVE }).then(
        // It may have ended before.
        () => this.#liveness.ended(id),
        (error: unknown) => (isGone(error) ? this.#liveness.ended(id) : this.#liveness.again(id)),
      );
    });
    store.watch(
      {
        // The store reports it again when this does not succeed.
        lapsed: (id, claimId) => void this.#lapse(id, claimId).catch(() => {}),
        queued: job => this.claimWaiters.offer(job),
        changed: (before, after) => this.#onChanged(before, after),
      },
      this.#watching.signal,
    );
    this.#resume().catch((cause: unknown) => log.error({ cause: String(cause) }, "cannot read the jobs"));
  }

  /** Number of jobs that require an active client. */
  get watched(): number {
    return this.#liveness.size;
  }

  /** Adds a job, or finds the one that was created with the same idempotency key. */
  async create(wanted: JobRequest): Promise<{ job: Job; added: boolean }> {
    const { store, clock, metrics, log } = this.#options;
    const at = clock.wall();
    const draft: Draft = {
      ...wanted,
      id: crypto.randomUUID(),
      rev: 1,
      status: "queued",
      attempts: 0,
      transfers: [],
      createdAt: at,
      updatedAt: at,
    };
    const { job, added } = await store.add(draft);
    if (added) {
      metrics.created();
      log.debug({ job_id: job.id, type: job.type }, "job created");
      this.#liveness.seen(job);
    } else if (job.idempotency?.digest !== wanted.idempotency?.digest)
      throw new NfrxError("idempotency_conflict", "the Idempotency-Key was used for a different request");
    else this.#touch(job);
    return { job, added };
  }

  /** The job and its position, for its client; counts as activity of the client. Throws `not_found`. */
  async get(id: string): Promise<{ job: Job; position: number | undefined }> {
    const { store } = this.#options;
    const job = await store.get(id);
    if (job === undefined) throw jobNotFound();
    this.#touch(job);
    return { job, position: job.status === "queued" ? await store.position(job) : undefined };
  }

  list(query: JobQuery): Promise<Job[]> {
    return this.#options.store.list(query);
  }

  /** The job when it is canceled, or had ended before. */
  cancel(id: string): Promise<Job> {
    return this.#changes.apply(id, { does: "cancel" });
  }

  /** Claims a job for `claimer`, waiting until `hold`'s function is called. */
  claim(claimer: Claimer, signal: AbortSignal): Promise<Job | undefined> {
    return this.claimWaiters.wait(claimer, signal);
  }

  /** Takes back a claim that never reached its worker; or, with `untouched`, one that its worker has left without a call. */
  async giveBack({ id, claim }: Job, untouched = false): Promise<void> {
    if (claim === undefined) return;
    const job = await this.#changes.apply(id, { does: "give back", claimId: claim.id, untouched });
    if (job.status === "queued") this.#options.metrics.requeued("undelivered");
  }

  /** Opens a channel for a job's worker and notifies its client. */
  transfer(id: string, by: Proof, request: TransferRequest): Promise<JobTransfer> {
    return this.#transfers.open(id, by, request);
  }

  /** Status report of a worker. */
  report(
    id: string,
    by: Proof,
    news: { state: string; progress?: JsonText | undefined; error?: JobError | undefined },
  ) {
    return this.#changes.apply(id, { does: "report", by, ...news });
  }

  /** Renews a claim's lease; the job as it is. Throws `invalid_state` when the claim has ended. */
  async heartbeat(id: string, by: Proof): Promise<Job> {
    const job = await this.#options.store.get(id);
    if (job === undefined) throw jobNotFound();
    requireHolder(job, by);
    this.streamed.touch(job.claim?.id);
    await this.#options.store.renew(id, job.claim?.id ?? "");
    return job;
  }

  /**
   * Calls `listener` with the events of an existing job; an open listener counts as an active client. Throws
   * `overloaded` if there are too many listeners.
   */
  listen(id: string, listener: JobListener): () => void {
    if (this.events.listeners >= JOB_LISTENERS_MAX)
      throw new NfrxError("overloaded", "too many open job event streams", { retryAfterSeconds: 5 });
    const end = this.events.listen(id, listener);
    this.#liveness.listens(id);
    return () => {
      if (end() === 0) this.#liveness.gone(id);
    };
  }

  /** Sends every waiting worker away, and ends when the store has closed. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#liveness.close();
    this.#retention.close();
    await this.claimWaiters.close();
    await this.#options.store.close();
    this.#watching.abort();
  }

  async #claim(claimer: Claimer): Promise<Job | undefined> {
    const { store, clock, settings, metrics, log } = this.#options;
    const { workerId, workerGroup, leaseMs = settings.leaseMs } = claimer;
    const claim = { id: crypto.randomUUID(), workerId, workerGroup, leaseMs, at: clock.wall() };
    const job = await store.claim(claimer, claim);
    if (job === undefined) return undefined;
    metrics.claimed(job);
    log.info(
      { job_id: job.id, type: job.type, worker_id: workerId, worker_group: workerGroup, attempt: job.attempts },
      "job claimed",
    );
    return job;
  }

  /** A job has changed, by this process or by another one that has the same store: informs all that it concerns here. */
  #onChanged(before: Job | undefined, after: Job): void {
    const { channels } = this.#options;
    this.events.tell(eventsOf(before, after));
    if (before !== undefined) this.streamed.changed(before, after);
    const kept = new Set(after.transfers.map(({ channelId }) => channelId));
    const dropped =
      after.status === "canceled"
        ? before?.transfers
        : before?.transfers.filter(({ channelId }) => !kept.has(channelId));
    for (const { channelId } of dropped ?? []) channels.close(channelId);
    if (isTerminal(after.status)) this.#liveness.ended(after.id);
  }

  /** Records activity of the job's client. */
  #touch(job: Job): void {
    if (isTerminal(job.status)) this.#liveness.ended(job.id);
    else this.#liveness.seen(job);
  }

  async #lapse(id: string, claimId: string): Promise<void> {
    const { settings, metrics, log, store } = this.#options;
    const lost = await store.get(id);
    const job = await this.#changes.apply(id, { does: "lapse", claimId, maxAttempts: settings.maxAttempts });
    if (job.rev === lost?.rev) return;
    const { status } = job;
    log.warn({ job_id: id, worker_id: lost?.claim?.workerId ?? "", attempt: lost?.attempts, status }, "worker lost");
    if (status === "queued") metrics.requeued("lapsed");
  }

  /** Resumes the jobs of an earlier process. */
  async #resume(): Promise<void> {
    for (const job of await this.#options.store.live()) this.#liveness.seen(job);
    this.#retention.plan(1);
  }
}

function isGone(error: unknown): boolean {
  return error instanceof NfrxError && error.code === "not_found";
}
