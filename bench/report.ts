/** What was measured, as tables for people. */

import type { Ratio } from "./ratios.ts";
import { table } from "./table.ts";
import type { ChatRow } from "./workloads/chat.ts";
import type { EmbedRow } from "./workloads/embed.ts";
import type { HandoverRow } from "./workloads/handover.ts";
import type { IdleRow } from "./workloads/idle.ts";
import type { McpRow } from "./workloads/mcp.ts";
import type { ObserveRow } from "./workloads/observe.ts";
import type { SseRow } from "./workloads/sse.ts";
import type { StartRow } from "./workloads/start.ts";
import type { StateRow } from "./workloads/state.ts";
import type { TransferRow } from "./workloads/transfer.ts";
import type { UploadRow } from "./workloads/upload.ts";

/** A workload that was not asked for, or failed, is absent. */
export interface Measured {
  chat?: ChatRow[];
  sse?: SseRow[];
  embed?: EmbedRow[];
  upload?: UploadRow[];
  idle?: IdleRow[];
  start?: StartRow[];
  handover?: HandoverRow[];
  mcp?: McpRow[];
  transfer?: TransferRow[];
  state?: StateRow[];
  observe?: ObserveRow[];
}

export function tables(measured: Measured): string {
  const { chat, sse, embed, upload, idle, start, handover, mcp, transfer, state, observe } = measured;
  return [
    chat && chatTables(chat),
    sse && sseTable(sse),
    embed &&
      table(
        `${embed[0]?.inputs ?? 0} embeddings over 4 workers (ms for one request)`,
        ["way", "p50", "max", "added p50", "× direct"],
        embed.map(row => [row.way, row.p50, row.max, row.added, row.ratio]),
      ),
    upload &&
      table(
        "200 MB upload during 50 token streams (chunk times in ms; memory growth in MiB)",
        ["way", "MB/s", "quiet p50", "quiet p99", "upload p50", "upload p99", "broker +MiB", "agent +MiB"],
        upload.map(row => [
          row.way,
          row.mbPerSecond,
          row.quietP50,
          row.quietP99,
          row.uploadP50,
          row.uploadP99,
          row.brokerGrowthMiB,
          row.agentGrowthMiB,
        ]),
      ),
    idle &&
      table(
        "Idle streams (resident memory)",
        ["way", "part", "streams", "idle MiB", "open MiB", "KiB/stream"],
        idle.map(row => [row.way, row.part, `${row.streams}`, row.idleMiB, row.openMiB, row.kibPerStream]),
      ),
    start &&
      table(
        "From start to ready (ms)",
        ["way", "part", "starts", "median", "slowest"],
        start.map(row => [row.way, row.part, `${row.rounds}`, row.readyMs, row.slowestMs]),
      ),
    handover &&
      table(
        "Hand-over of the only slot: the backend's end of one to its start of the next (ms)",
        ["way", "requests", "p50", "p99"],
        handover.map(row => [row.way, `${row.requests}`, row.p50, row.p99]),
      ),
    mcp &&
      table(
        "Tool calls of one MCP client (ms)",
        ["way", "calls/s", "p50", "p99", "added p50"],
        mcp.map(row => [row.way, row.perSecond, row.p50, row.p99, row.addedP50]),
      ),
    transfer &&
      table(
        `${transfer[0]?.mib ?? 0} MiB from one process to another (of the hop: CPU in seconds per GiB, memory growth in MiB)`,
        ["way", "MB/s", "CPU", "+MiB"],
        transfer.map(row => [row.way, row.mbPerSecond, row.cpuSeconds, row.growthMiB]),
      ),
    state &&
      table(
        `The state of ${state[0]?.workers ?? 0} workers with ${state[0]?.models ?? 0} models each, to ${state[0]?.listeners ?? 0} listeners (CPU of the broker in per cent of a core)`,
        ["way", "KiB an event", "nobody listens", "all listen", "added"],
        state.map(row => [
          row.way,
          row.eventBytes === null ? null : row.eventBytes / 1024,
          row.alonePercent,
          row.watchedPercent,
          row.addedPercent,
        ]),
      ),
    observe &&
      table(
        "Chat at 32 connections with and without access log, traces and a look at the metrics each second (ms; CPU of broker and agent in seconds per 10,000 requests; spans of the broker)",
        ["way", "requests/s", "p50", "p99", "CPU", "spans", "lost", "requests/s on / off"],
        observe.map(row => [
          row.way,
          row.perSecond,
          row.p50,
          row.p99,
          row.cpu,
          `${row.spans}`,
          `${row.lost}`,
          row.ratio,
        ]),
      ),
  ]
    .filter(part => part !== undefined)
    .join("\n");
}

function chatTables(rows: ChatRow[]): string {
  const speed = table(
    "1 KiB chat (latency in ms; CPU in seconds per 10,000 requests; peak memory in MiB)",
    [
      "way",
      "conns",
      "requests/s",
      "p50",
      "p99",
      "added p50",
      "added p99",
      "CPU broker",
      "agent",
      "sum",
      "peak broker",
      "agent",
    ],
    rows.map(row => {
      // nginx has one part; it stands in the broker's column.
      const first = row.cpu.broker ?? row.cpu.nginx;
      const both = first === null ? null : first + (row.cpu.agent ?? 0);
      const peak = row.peakMiB.broker ?? row.peakMiB.nginx;
      const { way, connections, perSecond, p50, p99, addedP50, addedP99 } = row;
      return [
        way,
        `${connections}`,
        perSecond,
        p50,
        p99,
        addedP50,
        addedP99,
        first,
        row.cpu.agent,
        both,
        peak,
        row.peakMiB.agent,
      ];
    }),
  );
  return speed;
}

function sseTable(rows: SseRow[]): string {
  return table(
    "SSE streams of 200 chunks, 5 ms apart (ms; first byte from the request, chunk from the backend's hand to ours)",
    [
      "way",
      "streams",
      "first p50",
      "p99",
      "added p50",
      "p99",
      "chunk p50",
      "p99",
      "added p50",
      "p99",
      "stream p50",
      "peak broker",
      "agent",
    ],
    rows.map(row => [
      row.way,
      `${row.streams}`,
      row.firstByteP50,
      row.firstByteP99,
      row.addedFirstByteP50,
      row.addedFirstByteP99,
      row.chunkP50,
      row.chunkP99,
      row.addedChunkP50,
      row.addedChunkP99,
      row.streamP50,
      row.brokerPeakMiB,
      row.agentPeakMiB,
    ]),
  );
}

export function ratioTable(ratios: readonly Ratio[]): string {
  return table(
    "Ratios within this run",
    ["figure", "way", "value", "target", "met"],
    ratios.map(({ name, way, value, unit, target, met }) => [
      name,
      way,
      value === null ? "–" : `${value.toFixed(value >= 10 ? 1 : 2)}${unit}`,
      target,
      met === null ? "not measured" : met ? "yes" : "NO",
    ]),
  );
}
