// Metrics of the pools and shared resources, read at each scrape.
import type { Drain } from "../../lib/drain.ts";
import type { Meters } from "../../lib/series.ts";
import type { Budget } from "../http/body/budget.ts";
import type { WorkerRecord } from "../pool/directory.ts";
import type { Pool } from "../pool/pool.ts";

const STATES: readonly WorkerRecord["state"][] = ["idle", "working", "not_ready", "draining"];

/** Declares the metrics of the pools and their connections. */
export function declarePools(meters: Meters, pools: readonly Pool[]): void {
  const declare =
    (kind: "gauge" | "counter") =>
    (name: string, help: string, read: (pool: Pool) => number): void =>
      meters[kind](name, help, ["ext"]).read(set => {
        for (const pool of pools) set({ ext: pool.moduleId }, read(pool));
      });
  const [gauge, counter] = [declare("gauge"), declare("counter")];
  gauge("nfrx_queue_length", "Requests in the queue.", pool => pool.waiting);
  gauge("nfrx_queue_capacity", "Capacity of the queue.", pool => pool.settings.queueSize);
  gauge("nfrx_workers_connected", "Connected workers.", pool => pool.directory.size);
  meters.gauge("nfrx_workers", "Connected workers, by state.", ["ext", "state"]).read(set => {
    for (const pool of pools)
      for (const state of STATES) {
        const workers = pool.directory.records().filter(worker => worker.state === state);
        set({ ext: pool.moduleId, state }, workers.length);
      }
  });
  gauge(
    "nfrx_workers_resting",
    "Connected workers with recent failures, which get requests only after the others.",
    pool => {
      let resting = 0;
      for (const worker of pool.directory.records()) if (worker.resting) resting++;
      return resting;
    },
  );
  counter("nfrx_workers_joined_total", "Worker connections.", pool => pool.totals.joined);
  counter("nfrx_workers_left_total", "Worker disconnections.", pool => pool.totals.left);
  gauge("nfrx_seats", "Slots of all workers that currently accept requests.", pool => {
    let slots = 0;
    for (const { state, maxConcurrency } of pool.directory.records())
      if (state === "idle" || state === "working") slots += maxConcurrency;
    return slots;
  });
  gauge("nfrx_seats_taken", "Slots in use.", pool => pool.inflight);
  meters.gauge("nfrx_agent_jobs_inflight", "Slots in use, over all modules.").read(set =>
    set(
      {},
      pools.reduce((sum, pool) => sum + pool.inflight, 0),
    ),
  );
  gauge("nfrx_tunnel_streams", "Open streams on the agents' connections.", pool => pool.streams);
  const link = (name: string, help: string, read: (stats: Pool["linkStats"]) => number): void =>
    counter(name, help, pool => read(pool.linkStats));
  link("nfrx_tunnel_received_bytes_total", "Bytes received from agents.", stats => stats.bytesIn);
  link("nfrx_tunnel_sent_bytes_total", "Bytes sent to agents.", stats => stats.bytesOut);
  link("nfrx_tunnel_received_messages_total", "Messages received from agents.", stats => stats.messagesIn);
  link("nfrx_tunnel_sent_messages_total", "Messages sent to agents.", stats => stats.messagesOut);
  link(
    "nfrx_tunnel_window_stalls_total",
    "Times a stream waited for flow control credit because its reader was slow.",
    stats => stats.windowStalls,
  );
  link(
    "nfrx_tunnel_socket_stalls_total",
    "Times a whole connection waited for its socket or its window.",
    stats => stats.socketStalls,
  );
  link("nfrx_tunnel_resets_total", "Streams that the broker reset.", stats => stats.resets);
}

/** The shared parts of a broker. */
export interface SharedSources {
  memory: Budget;
  disk: Budget;
  drain: Drain;
  /** Sessions of MCP whose relay is known. */
  sessions: () => number;
  /** Open state streams. */
  listeners: () => number;
}

/** Declares metrics of shared limits, stored data and draining. */
export function declareShared(meters: Meters, { memory, disk, drain, sessions, listeners }: SharedSources): void {
  const gauge = (name: string, help: string, read: () => number): void =>
    meters.gauge(name, help).read(set => set({}, read()));
  gauge("nfrx_drainable_inflight", "Units of work that a shutdown waits for.", () => drain.inflight);
  gauge("nfrx_draining", "1 while the broker is draining.", () => Number(drain.draining));
  gauge("nfrx_mcp_sessions", "MCP sessions known to the broker.", sessions);
  gauge("nfrx_state_listeners", "Open state streams.", listeners);
  gauge("nfrx_buffered_body_bytes", "Bytes of request bodies in memory.", () => memory.used);
  gauge("nfrx_buffered_body_limit_bytes", "Limit of request bodies in memory, in bytes.", () => memory.limit);
  gauge("nfrx_spooled_body_bytes", "Bytes of request bodies on disk.", () => disk.used);
  gauge("nfrx_spooled_body_limit_bytes", "Limit of request bodies on disk, in bytes.", () => disk.limit);
}
