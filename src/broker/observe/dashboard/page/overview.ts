// The overview: the broker in one line, figures, charts.
import { Chart } from "./chart.ts";
import { byId, setAttribute, setText } from "./element.ts";
import { count, duration, rate } from "./format.ts";
import { together } from "./series.ts";
import { modulesOf, nowOf, type State } from "./state.ts";

const STATUS = { ready: "Ready", not_ready: "No worker ready", draining: "Draining" } as const;

export class Overview {
  readonly #requests = new Chart({ id: "chart-requests", bars: true, least: 1, says: count });
  readonly #tokens = new Chart({ id: "chart-tokens", bars: false, least: 1, says: rate });
  readonly #firstByte = new Chart({ id: "chart-first-byte", bars: false, least: 1, says: duration });

  update(state: State): void {
    const { server, mcp, jobs } = state.plugins;
    const modules = modulesOf(state).map(([, module]) => module);
    const sum = <T>(all: readonly T[], read: (one: T) => number): number =>
      all.reduce((total, one) => total + read(one), 0);
    if (server !== undefined) {
      const badge = byId("status");
      setText(badge, STATUS[server.status]);
      setAttribute(badge, "data-state", server.status);
      setText(byId("version"), server.version);
      setText(byId("uptime"), duration(server.uptime_s * 1000));
      setText(byId("inflight"), count(server.drainable_inflight));
    }
    const connected = sum(modules, module => module.workers_summary.connected) + (mcp?.clients.length ?? 0);
    setText(byId("connected"), count(connected));
    setText(byId("waiting"), count(sum(modules, module => module.server.scheduler_queue_len)));
    setText(
      byId("jobs-open"),
      count(
        jobs === undefined
          ? 0
          : jobs.summary.queued_jobs +
              jobs.summary.claimed_jobs +
              jobs.summary.running_jobs +
              jobs.summary.awaiting_transfers,
      ),
    );
    this.#draw(state);
  }

  #draw(state: State): void {
    const recents = [...modulesOf(state).map(([, module]) => module.recent), state.plugins.mcp?.recent];
    const series = together(recents, nowOf(state));
    for (const id of ["chart-requests", "chart-tokens", "chart-first-byte"]) byId(id).hidden = series === undefined;
    if (series === undefined) return;
    const { intervalMs, until } = series;
    this.#requests.update({
      intervalMs,
      until,
      traces: [
        { name: "ended", tone: "main", points: series.requests },
        { name: "failed", tone: "bad", points: series.failed },
      ],
    });
    this.#tokens.update({
      intervalMs,
      until,
      traces: [
        { name: "out", tone: "main", points: series.tokensOut },
        { name: "in", tone: "second", points: series.tokensIn },
      ],
    });
    this.#firstByte.update({
      intervalMs,
      until,
      traces: [{ name: "median", tone: "main", points: series.firstByte }],
    });
  }
}
