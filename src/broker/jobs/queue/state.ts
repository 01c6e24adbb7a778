// Jobs in the state.
import type { Clock } from "../../../lib/time.ts";
import { JOB_STATE_VIEWS } from "../limits.ts";
import type { JobStore } from "../store/store.ts";
import type { WorkerActivity } from "./activity.ts";
import type { JobTally } from "./metrics.ts";
import { objectText, operatorText, stateText } from "./view.ts";

export async function jobsState(
  store: JobStore,
  activity: WorkerActivity,
  tally: JobTally,
  clock: Clock,
  operator: boolean,
): Promise<string> {
  const { counts, oldestQueuedAt, oldestClaimedAt, recent } = await store.overview(JOB_STATE_VIEWS);
  const workers = activity.view();
  const seconds = (since: number | undefined): number =>
    since === undefined ? 0 : Math.max(0, Math.floor((clock.wall() - since) / 1000));
  const time = (name: string, wall: number | undefined): object =>
    wall === undefined ? {} : { [name]: new Date(wall).toISOString() };
  const shown = {
    summary: {
      total_jobs: Object.values(counts).reduce((sum, count) => sum + count, 0),
      queued_jobs: counts.queued,
      claimed_jobs: counts.claimed,
      running_jobs: counts.running,
      awaiting_transfers: counts.awaiting_payload + counts.awaiting_result,
      terminal_jobs: counts.completed + counts.failed + counts.canceled,
      active_workers: workers.active,
      recent_workers: workers.recent,
      streaming_workers: workers.streaming,
      completed_jobs: tally.completed,
      failed_jobs: tally.failed,
      canceled_jobs: tally.canceled,
      oldest_queued_seconds: seconds(oldestQueuedAt),
      oldest_inflight_seconds: seconds(oldestClaimedAt),
      avg_queue_wait_ms: tally.waits.value,
      avg_service_ms: tally.services.value,
      avg_end_to_end_ms: tally.wholes.value,
      ...time("last_completed_at", tally.lastCompletedAt),
      ...time("last_failed_at", tally.lastFailedAt),
      ...time("last_canceled_at", tally.lastCanceledAt),
    },
    workers: workers.workers,
  };
  return objectText(shown, [["jobs", `[${recent.map(operator ? operatorText : stateText).join()}]`]]);
}
