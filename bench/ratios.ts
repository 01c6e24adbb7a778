/** The ratios the issue asks for, each with its target: information, not a verdict. */
import type { Measured } from "./report.ts";
import { minus, over } from "./stats.ts";

export interface Ratio {
  way: string;
  name: string;
  value: number | null;
  unit: string;
  target: string;
  met: boolean | null;
}

interface Rule {
  atLeast?: number;
  atMost?: number;
  aim?: number;
}

export function ratiosOf(measured: Measured, own: string, peer: string): Ratio[] {
  return [
    ...pairRatios(measured, own),
    ...observed(measured, own),
    ...againstPeer(measured, own, peer),
    ...pairRatios(measured, peer),
  ];
}

function ratio(way: string, name: string, value: number | null, rule: Rule, unit = "×"): Ratio {
  const { atLeast, atMost, aim } = rule;
  const bound = atLeast !== undefined ? `≥ ${round(atLeast)}` : `≤ ${round(atMost ?? Number.NaN)}`;
  const met = value === null ? null : atLeast !== undefined ? value >= atLeast : value <= (atMost ?? Number.NaN);
  return { way, name, value, unit, target: aim === undefined ? bound : `${bound}, aim ${aim}`, met };
}

const round = (value: number): string => `${Math.round(value * 1000) / 1000}`;

function chat(measured: Measured, way: string, connections: number) {
  return measured.chat?.find(row => row.way === way && row.connections === connections);
}

function pairCpu(measured: Measured, way: string): number | null {
  const cpu = chat(measured, way, 32)?.cpu;
  return cpu === undefined || cpu.broker === null || cpu.agent === null ? null : cpu.broker + cpu.agent;
}

function pairRatios(measured: Measured, way: string): Ratio[] {
  const has = [
    measured.chat,
    measured.sse,
    measured.upload,
    measured.idle,
    measured.start,
    measured.handover,
    measured.mcp,
    measured.transfer,
    measured.state,
  ].some(rows => rows?.some(row => row.way === way));
  if (!has) return [];
  return [...chatRatios(measured, way), ...sseRatios(measured, way), ...otherRatios(measured, way)];
}

function chatRatios(measured: Measured, way: string): Ratio[] {
  if (measured.chat === undefined) return [];
  const rate = over(chat(measured, way, 32)?.perSecond, chat(measured, "nginx", 32)?.perSecond);
  const added = over(chat(measured, way, 1)?.addedP50, chat(measured, "nginx", 1)?.addedP50);
  const cpu = over(pairCpu(measured, way), chat(measured, "nginx", 32)?.cpu.nginx);
  return [
    ratio(way, "requests/s at 32 connections / nginx", rate, { atLeast: 0.4, aim: 0.6 }),
    ratio(way, "added latency p50 at 1 connection / nginx", added, { atMost: 3 }),
    ratio(way, "CPU per request, broker + agent / nginx", cpu, { atMost: 4, aim: 3 }),
  ];
}

function sseRatios(measured: Measured, way: string): Ratio[] {
  if (measured.sse === undefined) return [];
  const own = measured.sse.find(row => row.way === way && row.streams === 64);
  const nginx = measured.sse.find(row => row.way === "nginx" && row.streams === 64);
  const rule = { atMost: 2.5 };
  return [
    ratio(way, "64 streams: added time per chunk p50 / nginx", over(own?.addedChunkP50, nginx?.addedChunkP50), rule),
    ratio(way, "64 streams: added time per chunk p99 / nginx", over(own?.addedChunkP99, nginx?.addedChunkP99), rule),
  ];
}

function otherRatios(measured: Measured, way: string): Ratio[] {
  const list: Ratio[] = [];
  const upload = measured.upload?.find(row => row.way === way);
  if (upload !== undefined) {
    const base = measured.upload?.find(row => row.way === "direct");
    const loaded = minus(upload.uploadP99, base?.uploadP99);
    const quiet = minus(upload.quietP99, base?.quietP99);
    list.push(
      ratio(way, "chunk p99 with a 200 MB upload / quiet", over(upload.uploadP99, upload.quietP99), { atMost: 3 }),
      ratio(way, "the same, added against direct", over(loaded, quiet), { atMost: 3 }),
      ratio(way, "upload: memory growth of the broker", upload.brokerGrowthMiB, { atMost: 64 }, " MiB"),
      ratio(way, "upload: memory growth of the agent", upload.agentGrowthMiB, { atMost: 64 }, " MiB"),
    );
  }
  const idle = measured.idle?.find(row => row.way === way && row.part === "broker");
  if (idle !== undefined) {
    list.push(
      ratio(way, "idle broker", idle.idleMiB, { atMost: 90 }, " MiB"),
      ratio(way, `broker memory per idle stream (${idle.streams})`, idle.kibPerStream, { atMost: 40 }, " KiB"),
    );
  }
  const agent = measured.idle?.find(row => row.way === way && row.part === "agent");
  if (agent !== undefined) list.push(ratio(way, "idle agent", agent.idleMiB, { atMost: 66 }, " MiB"));
  for (const { part, readyMs } of measured.start?.filter(row => row.way === way) ?? [])
    list.push(ratio(way, `${part}: start to ready, median`, readyMs, { atMost: 150 }, " ms"));
  const handover = measured.handover?.find(row => row.way === way);
  if (handover !== undefined) {
    list.push(ratio(way, "slot freed → next dispatched, median", handover.p50, { atMost: 5 }, " ms"));
  }
  const transfer = measured.transfer?.find(row => row.way === way);
  if (transfer !== undefined) {
    const nginx = measured.transfer?.find(row => row.way === "nginx");
    list.push(
      ratio(way, "transfer: bytes/s / the same pipe through nginx", over(transfer.mbPerSecond, nginx?.mbPerSecond), {
        atLeast: 0.7,
      }),
      ratio(way, "transfer: memory growth of the broker", transfer.growthMiB, { atMost: 32 }, " MiB"),
    );
  }
  const state = measured.state?.find(row => row.way === way);
  if (state !== undefined)
    list.push(
      ratio(way, `state stream: CPU for ${state.listeners} listeners`, state.addedPercent, { atMost: 2 }, " %"),
    );
  const mcp = measured.mcp?.find(row => row.way === way);
  if (mcp !== undefined)
    list.push(ratio(way, "tool call: added latency p50 at 1 connection", mcp.addedP50, { atMost: 0.6 }, "ms"));
  return list;
}

function observed({ observe }: Measured, way: string): Ratio[] {
  const on = observe?.find(row => row.ratio !== null);
  const name = "requests/s at 32 connections, all watched / nothing watched";
  return on === undefined ? [] : [ratio(way, name, on.ratio, { atLeast: 0.9 })];
}

function againstPeer(measured: Measured, own: string, peer: string): Ratio[] {
  const mine = chat(measured, own, 32);
  const theirs = chat(measured, peer, 32);
  if (mine === undefined || theirs === undefined) return [];
  const cpu = over(pairCpu(measured, own), pairCpu(measured, peer));
  return [
    ratio(own, "requests/s at 32 connections / peer", over(mine.perSecond, theirs.perSecond), { atLeast: 5 }),
    ratio(own, "CPU per request / peer", cpu, { atMost: 1 / 6 }),
  ];
}
