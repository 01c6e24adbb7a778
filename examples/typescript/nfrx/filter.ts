// The work of the example workers: any command that reads its stdin and writes its stdout.
import { spawn } from "node:child_process";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Writable } from "node:stream";
import { JobFailed, type Task } from "./worker.ts";

/**
 * Runs a command with `input` on its stdin and its stdout going to the file `output`.
 * The command learns of its job from JOB_ID, JOB_TYPE and JOB_METADATA; it does not get the broker's keys.
 */
export async function runFilter(
  [command, ...args]: string[],
  input: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  output: string,
  { claim, signal }: Task,
): Promise<void> {
  const { API_KEY: _api, CLIENT_KEY: _client, ...env } = process.env;
  const job = { JOB_ID: claim.job_id, JOB_TYPE: claim.type, JOB_METADATA: JSON.stringify(claim.metadata ?? {}) };
  const file = await open(output, "w");
  try {
    const child = spawn(command!, args, { stdio: ["pipe", file.fd, "inherit"], env: { ...env, ...job } });
    const kill = (): boolean => child.kill("SIGKILL");
    const ended = new Promise<string | undefined>(resolve => {
      child.once("error", error => resolve(`could not be started: ${error.message}`));
      child.once("exit", (code, by) => resolve(code === 0 ? undefined : `ended with ${code ?? by}`));
    });
    signal.addEventListener("abort", kill);
    try {
      await feed(child.stdin!, input, ended);
      const failure = await ended;
      signal.throwIfAborted();
      if (failure !== undefined) throw new JobFailed("work_failed", `${command} ${failure}`);
    } finally {
      signal.removeEventListener("abort", kill);
      kill();
      await ended;
    }
  } finally {
    await file.close();
  }
}

/** A folder that is there while `use` runs. */
export async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "nfrx-work-"));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Writes `input` as fast as it is read. A command may stop reading: the rest then goes nowhere. */
async function feed(
  stdin: Writable,
  input: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  ended: Promise<unknown>,
): Promise<void> {
  let listens = true;
  stdin.on("error", () => {
    listens = false;
  });
  for await (const chunk of input) {
    if (listens && !stdin.write(chunk)) {
      await Promise.race([new Promise(resolve => stdin.once("drain", resolve)), ended]);
    }
  }
  stdin.end();
}
