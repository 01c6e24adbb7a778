// Gauges that are read when somebody scrapes.
import type { Drain } from "../../lib/drain.ts";
import type { Pool } from "../pool/pool.ts";
import type { Budget } from "../proxy/budget.ts";
import type { BrokerMetrics } from "./metrics.ts";

/** Registers what the pools, their connections and the process know of themselves. */
export function watchPools(
  metrics: BrokerMetrics,
  pools: readonly Pool[],
  others: { memory: Budget; disk: Budget; drain: Drain; droppedLogs?: () => number },
): void {
  const gauge = (name: string, help: string, read: (pool: Pool) => number): void =>
    metrics.observe(name, help, ["ext"], set => {
      for (const pool of pools) set({ ext: pool.moduleId }, read(pool));
    });
  gauge("nfrx_queue_length", "Requests that wait for a worker.", pool => pool.waiting);
  gauge("nfrx_workers_connected", "Workers that are connected.", pool => pool.registry.size);
  gauge("nfrx_seats_taken", "Seats that requests hold at workers.", pool => pool.inflight);
  gauge("nfrx_tunnel_streams", "Exchanges open on the connections of agents.", pool => pool.streams);
  const link = (name: string, help: string, read: (stats: Pool["linkStats"]) => number): void =>
    gauge(name, help, pool => read(pool.linkStats));
  link("nfrx_tunnel_bytes_in", "Bytes that arrived from agents connected now or before.", stats => stats.bytesIn);
  link("nfrx_tunnel_bytes_out", "Bytes sent to agents connected now or before.", stats => stats.bytesOut);
  link("nfrx_tunnel_window_stalls", "Times a stream had bytes to send and no credit.", stats => stats.windowStalls);
  link(
    "nfrx_tunnel_socket_stalls",
    "Times a whole connection had to wait for its socket.",
    stats => stats.socketStalls,
  );
  link("nfrx_tunnel_resets", "Streams that the broker gave up.", stats => stats.resets);
  metrics.observe("nfrx_drainable_inflight", "Work that a shutdown waits for.", [], set =>
    set({}, others.drain.inflight),
  );
  metrics.observe("nfrx_buffered_body_bytes", "Bytes of request bodies held in memory.", [], set =>
    set({}, others.memory.used),
  );
  metrics.observe("nfrx_spooled_body_bytes", "Bytes of request bodies held on disk.", [], set =>
    set({}, others.disk.used),
  );
  metrics.observe("nfrx_log_lines_dropped", "Log lines that could not be written.", [], set =>
    set({}, others.droppedLogs?.() ?? 0),
  );
}
