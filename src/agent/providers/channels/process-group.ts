import { type Clock, pause } from "../../../lib/time.ts";

/** Time in milliseconds between SIGTERM and SIGKILL for processes that a server left behind. */
const LEFT_BEHIND_MS = 500;

interface Leader {
  readonly pid: number;
  kill(signal: NodeJS.Signals): void;
}

/** Signals the whole group of a process that was started as its leader. */
export function killGroup(leader: Leader, signal: NodeJS.Signals): void {
  // Windows knows no groups, and there the leader must do.
  if (process.platform === "win32") leader.kill(signal);
  else signalGroup(leader.pid, signal);
}

/** After the leader has exited: stops the remaining processes of its group. */
export async function leaderGone(leader: Leader, clock: Clock): Promise<void> {
  if (process.platform === "win32" || !signalGroup(leader.pid, "SIGTERM")) return;
  await pause(clock, LEFT_BEHIND_MS);
  signalGroup(leader.pid, "SIGKILL");
}

/** False if the group is empty. */
function signalGroup(group: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(-group, signal);
    return true;
  } catch {
    return false;
  }
}
