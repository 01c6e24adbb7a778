// The tables of the jobs queue.
import { badge, list, longText, text, twoLines } from "./cells.ts";
import { make, setText, wrap } from "./element.ts";
import { age, count, duration } from "./format.ts";
import type { JobState, JobsSummary, JobWorkerState } from "./state.ts";
import { Table } from "./table.ts";

export type JobRow = JobState & { now: number };
export type JobWorkerRow = JobWorkerState & { now: number };

const FIGURES: readonly [title: string, read: (summary: JobsSummary) => string][] = [
  ["Queued", summary => count(summary.queued_jobs)],
  ["Claimed", summary => count(summary.claimed_jobs + summary.running_jobs + summary.awaiting_transfers)],
  ["Completed", summary => count(summary.completed_jobs)],
  ["Failed", summary => count(summary.failed_jobs)],
  ["Canceled", summary => count(summary.canceled_jobs)],
  ["Oldest queued", summary => (summary.queued_jobs > 0 ? duration(summary.oldest_queued_seconds * 1000) : "–")],
  ["Average wait", summary => duration(summary.avg_queue_wait_ms)],
  ["Average run time", summary => duration(summary.avg_service_ms)],
];

/** The summary as figures; the function fills in new ones. */
export function jobsFigures(): { element: HTMLElement; update: (summary: JobsSummary) => void } {
  const values = FIGURES.map(([title]) => ({ title, value: make("dd") }));
  const element = wrap(
    "dl",
    "figures",
    ...values.map(({ title, value }) => wrap("div", "", make("dt", "", title), value)),
  );
  return {
    element,
    update: summary => {
      for (const [at, [, read]] of FIGURES.entries()) {
        const value = values[at]?.value;
        if (value !== undefined) setText(value, read(summary));
      }
    },
  };
}

/** A worker's progress, which can be any JSON, as one line. */
function progressOf({ progress = {} }: JobState): string {
  return Object.entries(progress)
    .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : String(value)}`)
    .join(", ");
}

const workerOf = (job: JobState): string => job.claimed_worker_id ?? job.claimed_worker_group ?? "";

export function jobsTable(empty: Node): Table<JobRow> {
  return new Table<JobRow>({
    title: "Recent jobs",
    key: ({ id }) => id,
    empty,
    cardsBelow: 860,
    columns: [
      { title: "Job", value: ({ id }) => id, cell: text(({ id }) => id, "id") },
      { title: "Type", value: ({ type }) => type, cell: text(({ type }) => type) },
      {
        title: "Status",
        kind: "state",
        value: ({ status }) => status,
        cell: badge(
          ({ status }) => status,
          () => "",
        ),
      },
      { title: "Worker", value: job => workerOf(job) || undefined, cell: text(workerOf) },
      { title: "Progress", kind: "long", value: job => progressOf(job) || undefined, cell: longText(progressOf) },
      {
        title: "Error",
        kind: "long",
        value: ({ error }) => error?.message,
        words: ({ error }) => [error?.code ?? ""],
        cell: longText(({ error }) => error?.message || error?.code || "", "error"),
      },
      {
        title: "Created",
        number: true,
        value: job => Date.parse(job.created_at) || undefined,
        cell: text(job => age(job.created_at, job.now)),
      },
      {
        title: "Changed",
        number: true,
        value: job => Date.parse(job.updated_at) || undefined,
        cell: text(job => age(job.updated_at, job.now)),
      },
    ],
  });
}

export function jobWorkersTable(empty: Node): Table<JobWorkerRow> {
  return new Table<JobWorkerRow>({
    title: "Job workers",
    key: ({ key }) => key,
    empty,
    cardsBelow: 560,
    columns: [
      {
        title: "Worker",
        value: worker => worker.worker_id || worker.worker_group,
        words: worker => [worker.worker_group],
        cell: twoLines(
          worker => worker.worker_id || "unnamed",
          worker => worker.worker_group,
        ),
      },
      {
        title: "Status",
        kind: "state",
        value: ({ active }) => (active ? "active" : "quiet"),
        cell: badge(
          ({ active }) => (active ? "active" : "quiet"),
          worker => (worker.stream_count > 0 ? "streaming" : (worker.last_claim_mode ?? "")),
        ),
      },
      {
        title: "Types",
        kind: "long",
        value: ({ types }) => types.join(" "),
        cell: list(({ types }) => types, "types"),
      },
      {
        title: "Seen",
        number: true,
        value: worker => Date.parse(worker.last_seen_at) || undefined,
        cell: text(worker => age(worker.last_seen_at, worker.now)),
      },
      {
        title: "Last job",
        kind: "long",
        value: worker => worker.last_job_id,
        cell: twoLines(
          worker => worker.last_job_id ?? "",
          worker => (worker.last_claim_at === undefined ? "" : age(worker.last_claim_at, worker.now)),
        ),
      },
    ],
  });
}
