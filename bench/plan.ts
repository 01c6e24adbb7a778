/** How much of everything: the full and the quick run, on one page. */
import type { Options } from "./options.ts";

export interface Plan {
  chat: { connections: readonly number[]; rounds: number; seconds: number };
  sse: readonly { streams: number; rounds: number }[];
  embed: { inputs: number; agents: number; batch: number; requests: number };
  upload: { bytes: number; streams: number; quietMs: number; rounds: number };
  idle: { streams: number; settleMs: number };
  start: { rounds: number };
  transfer: { bytes: number; rounds: number };
  observe: { rounds: number; seconds: number };
  handover: { requests: number; connections: number; delayMs: number };
  state: { listeners: number; workers: number; models: number; settleMs: number; durationMs: number; rounds: number };
  /** The whole run ends at the latest after this. */
  deadlineMs: number;
}

const MIB = 1024 * 1024;

export function planOf({ quick, rounds }: Options): Plan {
  const connections = [1, 32, 256];
  const embed = { inputs: 2048, agents: 4, batch: 64 };
  const bytes = 200 * MIB;
  const state = { listeners: 200, workers: 50, models: 20, settleMs: 2_500 };
  if (quick) {
    return {
      chat: { connections, rounds: rounds ?? 2, seconds: 1 },
      sse: [
        { streams: 64, rounds: rounds ?? 2 },
        { streams: 512, rounds: 1 },
      ],
      embed: { ...embed, requests: 4 },
      upload: { bytes, streams: 50, quietMs: 1500, rounds: 1 },
      idle: { streams: 1000, settleMs: 1500 },
      start: { rounds: 5 },
      transfer: { bytes: 256 * MIB, rounds: 3 },
      observe: { rounds: rounds ?? 5, seconds: 1 },
      handover: { requests: 100, connections: 32, delayMs: 20 },
      state: { ...state, durationMs: 10_000, rounds: 1 },
      deadlineMs: 5 * 60_000,
    };
  }
  return {
    chat: { connections, rounds: rounds ?? 5, seconds: 2 },
    sse: [
      { streams: 64, rounds: rounds ?? 7 },
      { streams: 512, rounds: Math.min(3, rounds ?? 3) },
    ],
    embed: { ...embed, requests: 15 },
    upload: { bytes, streams: 50, quietMs: 3000, rounds: 2 },
    idle: { streams: 5000, settleMs: 3000 },
    start: { rounds: 11 },
    transfer: { bytes: 1024 * MIB, rounds: 5 },
    observe: { rounds: rounds ?? 11, seconds: 2 },
    handover: { requests: 250, connections: 64, delayMs: 20 },
    state: { ...state, durationMs: 20_000, rounds: 2 },
    deadlineMs: 15 * 60_000,
  };
}
