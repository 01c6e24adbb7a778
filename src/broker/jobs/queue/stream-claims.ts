// Claims sent over job streams, and the remaining capacity of each stream.
import { isHeld, type Job } from "../job.ts";

/** Watched claims: whether their workers have called about them, and when they end. */
export class WatchedClaims {
  readonly #claims = new Map<string, { touched: boolean; readonly onOver: () => void }>();

  watch(claimId: string, onOver: () => void): void {
    this.#claims.set(claimId, { touched: false, onOver });
  }

  /** The worker of a claim has called about it. */
  touch(claimId: string | undefined): void {
    const claim = claimId === undefined ? undefined : this.#claims.get(claimId);
    if (claim !== undefined) claim.touched = true;
  }

  /** A job has changed: its claim has been touched, or is over. */
  changed(before: Job, after: Job): void {
    const id = before.claim?.id;
    if (id === undefined) return;
    if (isHeld(after) && after.claim?.id === id) return this.touch(id);
    const claim = this.#claims.get(id);
    this.#claims.delete(id);
    claim?.onOver();
  }

  /** Watches a claim no longer; true when its worker has never called about it. */
  forget(claimId: string): boolean {
    const claim = this.#claims.get(claimId);
    this.#claims.delete(claimId);
    return claim?.touched === false;
  }
}

/** The jobs that one stream has brought and that have not ended: `max` of them at most. */
export class StreamClaims {
  readonly #held = new Map<string, Job>();
  #freed: PromiseWithResolvers<void> | undefined;

  constructor(
    private readonly claims: WatchedClaims,
    private readonly max: number,
    ended: AbortSignal,
  ) {
    ended.addEventListener("abort", () => this.#freed?.resolve(), { once: true });
  }

  add(job: Job): void {
    const { claim } = job;
    if (claim === undefined) return;
    this.#held.set(claim.id, job);
    this.claims.watch(claim.id, () => this.#over(claim.id));
  }

  /** Resolves when the stream can send another job, or has ended. */
  async room(): Promise<void> {
    if (this.#held.size < this.max) return;
    this.#freed = Promise.withResolvers();
    await this.#freed.promise;
  }

  /** The jobs that no call has been about; none is watched any more. */
  close(): Job[] {
    const untouched = [...this.#held].filter(([id]) => this.claims.forget(id)).map(([, job]) => job);
    this.#held.clear();
    return untouched;
  }

  #over(claimId: string): void {
    this.#held.delete(claimId);
    this.#freed?.resolve();
  }
}
