// Which workers ask for jobs, for the state.
import { BoundedMap } from "../../../lib/bounded-map.ts";
import type { Clock } from "../../../lib/time.ts";
import type { Claimer, Job } from "../job.ts";
import { JOB_WORKER_ACTIVE_MS, JOB_WORKER_RECENT_MS, JOB_WORKERS_MAX } from "../limits.ts";
import { shortId } from "./view.ts";

/** Maximum number of a worker's types in the state. */
const SHOWN_TYPES = 32;

type Mode = "poll" | "stream";

interface Seen {
  workerId: string;
  workerGroup: string;
  types: readonly string[];
  lastSeenAt: number;
  lastClaimAt: number | undefined;
  lastClaimMode: Mode | undefined;
  lastJobId: string | undefined;
  streams: number;
}

export class WorkerActivity {
  readonly #seen = new BoundedMap<Seen>(JOB_WORKERS_MAX);

  constructor(private readonly clock: Clock) {}

  /** Records that a worker requested or got a job. */
  saw(claimer: Claimer, mode: Mode, job?: Job): void {
    const seen = this.#touch(claimer);
    if (job === undefined) return;
    seen.lastClaimAt = seen.lastSeenAt;
    seen.lastClaimMode = mode;
    seen.lastJobId = job.id;
  }

  /** Records an open stream; the returned function records its end. */
  streams(claimer: Claimer): () => void {
    const seen = this.#touch(claimer);
    seen.streams++;
    return () => {
      seen.streams--;
      seen.lastSeenAt = this.clock.wall();
    };
  }

  /** The workers in the state, last seen first. */
  view(): { workers: object[]; active: number; recent: number; streaming: number } {
    const now = this.clock.wall();
    for (const [key, seen] of this.#seen.entries()) {
      if (seen.streams <= 0 && now - seen.lastSeenAt > JOB_WORKER_RECENT_MS) this.#seen.delete(key);
    }
    const all = this.#seen.entries().reverse();
    const isActive = (seen: Seen): boolean => seen.streams > 0 || now - seen.lastSeenAt <= JOB_WORKER_ACTIVE_MS;
    return {
      workers: all.map(([key, seen]) => ({
        key,
        worker_id: seen.workerId,
        worker_group: seen.workerGroup,
        last_seen_at: iso(seen.lastSeenAt),
        ...(seen.lastClaimAt !== undefined && { last_claim_at: iso(seen.lastClaimAt) }),
        ...(seen.lastClaimMode && { last_claim_mode: seen.lastClaimMode }),
        ...(seen.lastJobId && { last_job_id: shortId(seen.lastJobId) }),
        types: seen.types.slice(0, SHOWN_TYPES),
        stream_count: seen.streams,
        active: isActive(seen),
      })),
      active: all.filter(([, seen]) => isActive(seen)).length,
      recent: all.length,
      streaming: all.filter(([, seen]) => seen.streams > 0).length,
    };
  }

  #touch({ workerId, workerGroup, types }: Claimer): Seen {
    const key = `${workerId}::${workerGroup}`;
    const seen = this.#seen.get(key) ?? {
      workerId,
      workerGroup,
      types,
      lastSeenAt: 0,
      lastClaimAt: undefined,
      lastClaimMode: undefined,
      lastJobId: undefined,
      streams: 0,
    };
    seen.types = types;
    seen.lastSeenAt = this.clock.wall();
    this.#seen.set(key, seen);
    return seen;
  }
}

function iso(wall: number): string {
  return new Date(wall).toISOString();
}
