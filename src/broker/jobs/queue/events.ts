// The events of jobs: sent to open streams, and stored for a while for clients that resume.
import { sseEvent } from "../../../lib/sse.ts";
import type { Job, JobTransfer } from "../job.ts";
import { JOB_LOG_BYTES, JOB_LOG_EVENTS } from "../limits.ts";
import { transferText, viewText } from "./view.ts";

/** One event of a job. */
export interface JobEvent {
  /** Its number; the job's `rev` for a status. */
  readonly id: number;
  readonly kind: "status" | "payload" | "result";
  readonly job: Job;
  readonly transfer?: JobTransfer;
}

/** The events of a change from `before` to `after`. */
export function eventsOf(before: Job | undefined, after: Job): JobEvent[] {
  const known = before?.rev ?? 0;
  return [...transferEvents(after, known), { id: after.rev, kind: "status", job: after }];
}

/** The transfers that a job has, as events, after the one with this number. */
export function transferEvents(job: Job, after: number): JobEvent[] {
  return job.transfers
    .filter(({ event }) => event > after)
    .map(transfer => ({ id: transfer.event, kind: transfer.role, job, transfer }));
}

/** An event as it is written. */
export function eventText(event: JobEvent, id: number | string = event.id, position?: number): string {
  const { kind, job, transfer } = event;
  const data = transfer === undefined ? viewText(job, position) : transferText(transfer);
  return sseEvent(data, { event: kind, id });
}

export type JobListener = (event: JobEvent) => void;

/** Approximate memory for a job's state, without metadata and progress, in bytes. */
const STATE_BYTES = 1024;

interface Log {
  events: { readonly event: JobEvent; readonly bytes: number }[];
  bytes: number;
}

/** Publishes events, and stores the latest. */
export class JobEvents {
  readonly #listeners = new Map<string, Set<JobListener>>();
  /** The jobs that were silent longest come first. Not a BoundedMap: the bound is in bytes. */
  readonly #logs = new Map<string, Log>();
  #bytes = 0;
  #count = 0;

  /** Number of open streams over all jobs. */
  get listeners(): number {
    return this.#count;
  }

  /** Bytes of kept events. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Publishes newer events only: a store may respond out of order, and a final state is final. */
  tell(events: readonly JobEvent[]): void {
    for (const event of events) {
      if (event.id <= (this.#logs.get(event.job.id)?.events.at(-1)?.event.id ?? 0)) continue;
      this.#keep(event);
      for (const listener of this.#listeners.get(event.job.id) ?? []) listener(event);
    }
  }

  /**
   * Calls `listener` with every event from now on; the returned function ends that and returns the number of remaining
   * listeners.
   */
  listen(id: string, listener: JobListener): () => number {
    const listeners = this.#listeners.get(id) ?? new Set();
    this.#listeners.set(id, listeners.add(listener));
    this.#count++;
    return () => {
      if (listeners.delete(listener)) this.#count--;
      if (listeners.size === 0 && this.#listeners.get(id) === listeners) this.#listeners.delete(id);
      return listeners.size;
    };
  }

  /** The events after the one with this number, when all of them are still known. */
  since(id: string, last: number): JobEvent[] | undefined {
    const events = (this.#logs.get(id)?.events ?? []).map(({ event }) => event);
    const [first] = events;
    return first !== undefined && first.id <= last + 1 ? events.filter(event => event.id > last) : undefined;
  }

  forget(id: string): void {
    const log = this.#logs.get(id);
    if (log === undefined) return;
    this.#bytes -= log.bytes;
    this.#logs.delete(id);
  }

  #keep(event: JobEvent): void {
    const { id } = event.job;
    const log = this.#logs.get(id) ?? { events: [], bytes: 0 };
    const bytes = cost(event);
    log.events.push({ event, bytes });
    const shifted = log.events.length > JOB_LOG_EVENTS ? log.events.shift() : undefined;
    const grown = bytes - (shifted?.bytes ?? 0);
    log.bytes += grown;
    this.#bytes += grown;
    // Put at the end again.
    this.#logs.delete(id);
    this.#logs.set(id, log);
    for (const [oldest] of this.#logs) {
      if (this.#bytes <= JOB_LOG_BYTES) break;
      this.forget(oldest);
    }
  }
}

function cost({ job }: JobEvent): number {
  const { metadata, progress, error, transfers } = job;
  const carried = transfers.reduce((sum, { properties = "" }) => sum + STATE_BYTES + properties.length, 0);
  return STATE_BYTES + metadata.length + (progress ?? "").length + (error?.message ?? "").length + carried;
}
