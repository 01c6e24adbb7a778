// The file of the jobs when it cannot be had, is somebody else's, or cannot be written.
import { Database } from "bun:sqlite";
import { describe, expect, it, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { JobsApi } from "../kit/jobs/jobs.ts";
import { AUTHORIZED } from "../kit/process/broker.ts";
import type { Env } from "../kit/process/program.ts";
import { Processes } from "../kit/processes.ts";

const IN_MEMORY = "jobs are stored in memory and lost when this process ends; set JOBS_STORE";
/** Disk blocks of the smallest kind that POSIX knows, 512 bytes, that a file may have. */
const FULL_AT = 2000;

/** Starts a broker that does not come to listen; what it says. */
async function refusal(processes: Processes, env: Env): Promise<string> {
  const program = processes.start("nfrx", { PORT: "0", ...env });
  expect(await program.ending()).toEqual({ code: 1, signal: null });
  return program.strays.join("\n");
}

/** A jobs file as a broker leaves it. */
async function used(processes: Processes, path: string): Promise<void> {
  const broker = await processes.broker({ JOBS_STORE: path });
  const jobs = new JobsApi(broker.origin, false);
  for (let count = 0; count < 50; count++) await jobs.created({ metadata: { text: "x".repeat(2000) } });
  broker.signal("SIGTERM");
  await broker.ending();
}

describe("a file that cannot be read as ours stops the start, wherever it is named", () => {
  test.each<[string, RegExp, (path: string, processes: Processes) => unknown]>([
    ["text", /file is not a database/, path => writeFileSync(path, "no database, but what somebody wrote".repeat(99))],
    [
      "of a newer version",
      /it was written by a newer version of nfrx \(schema 99; this version supports \d+\)/,
      path => database(path, "PRAGMA user_version = 99"),
    ],
    ["of another program", /it contains something other than jobs/, path => database(path, "CREATE TABLE theirs (a)")],
    [
      "truncated frame",
      /malformed/,
      async (path, processes) => {
        await used(processes, path);
        truncateSync(path, statSync(path).size / 2);
      },
    ],
  ])("%s", async (_what, message, make) => {
    await using processes = new Processes();
    const path = join(processes.folder, "jobs.db");
    await make(path, processes);
    const before = readFileSync(path);
    const named = await refusal(processes, { JOBS_STORE: path });
    expect(named).toStartWith(`nfrx: JOBS_STORE: cannot use ${path}: `);
    expect(named).toMatch(message);
    const found = await refusal(processes, { STATE_DIRECTORY: processes.folder });
    expect(found).toMatch(message);
    expect(found).toEndWith("; move it away, or set JOBS_STORE");
    expect(readFileSync(path).equals(before)).toBe(true);
  });
});

function database(path: string, ...statements: string[]): void {
  const db = new Database(path, { create: true });
  for (const statement of statements) db.run(statement);
  db.close();
}

test("two brokers on one file: the second stops when it was told to use it, and else says that it has none", async () => {
  await using processes = new Processes();
  const path = join(processes.folder, "jobs.db");
  const first = await processes.broker({ JOBS_STORE: path });
  expect(await refusal(processes, { JOBS_STORE: path })).toBe(
    `nfrx: JOBS_STORE: cannot use ${path}: another process uses it; each broker needs its own file`,
  );
  const second = await processes.broker();
  expect(second.lines).toContainEqual(
    expect.objectContaining({ level: "warn", msg: expect.stringContaining("another broker uses the jobs file"), path }),
  );
  const [here, there] = [new JobsApi(first.origin), new JobsApi(second.origin)];
  const id = await here.created();
  expect((await there.get(id)).status).toBe(404);
  expect((await there.create({ type: "t" })).status).toBe(200);
});

describe("a state directory in which there can be no file: it says so once, and jobs are in memory", () => {
  const falls = async (make: (folder: string) => void): Promise<void> => {
    await using processes = new Processes();
    const folder = join(processes.folder, "state");
    make(folder);
    const broker = await processes.broker({ STATE_DIRECTORY: folder });
    const jobs = new JobsApi(broker.origin);
    const id = await jobs.created();
    expect((await jobs.claimed()).job_id).toBe(id);
    expect(broker.lines.filter(({ msg }) => msg === IN_MEMORY)).toHaveLength(1);
  };
  it("is below a file", () => falls(folder => writeFileSync(folder, "")));
  // Who is root may write everywhere.
  it.skipIf(process.getuid?.() === 0)("may not be written", () => falls(folder => mkdirSync(folder, { mode: 0o500 })));
});

test.skipIf(process.platform === "win32")("only its user may read the file, and the log beside it", async () => {
  await using processes = new Processes();
  const folder = join(processes.folder, "state");
  mkdirSync(folder);
  chmodSync(folder, 0o755);
  const broker = await processes.broker({ STATE_DIRECTORY: folder });
  await new JobsApi(broker.origin).created();
  for (const file of ["jobs.db", "jobs.db-wal"]) expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600);
});

test.skipIf(process.platform === "win32")(
  "a full disk: who asks is told, it is logged and counted, and what was acknowledged is there",
  async () => {
    await using processes = new Processes({
      // So that a write beyond the limit fails, as on a full disk, instead of ending the process.
      through: ["/bin/sh", "-c", `trap '' XFSZ; ulimit -f ${FULL_AT}; exec "$0" "$@"`],
    });
    const env = { JOBS_CLIENT_TTL: "0" };
    const broker = await processes.broker(env);
    const jobs = new JobsApi(broker.origin, false);
    const acknowledged: string[] = [];
    let refused = 0;
    while (refused < 20) {
      const { status, body, headers } = await jobs.create({ type: "t", metadata: { text: "x".repeat(20_000) } });
      if (status === 200) acknowledged.push(body.job_id);
      else {
        refused++;
        expect([status, body.error, headers.get("retry-after")]).toEqual([503, "overloaded", "10"]);
      }
    }
    expect(acknowledged.length).toBeGreaterThan(10);
    const error = await broker.line(({ msg }) => msg === "cannot write jobs: new ones are refused", "the failure");
    expect(error).toMatchObject({ level: "error", cause: expect.stringMatching(/disk/) });
    expect(await broker.metric("nfrx_jobs_store_failures_total")).toBeGreaterThanOrEqual(20);
    expect(await broker.metric("nfrx_unhandled_errors_total")).toBe(0);
    // What can be read is.
    expect((await jobs.get(acknowledged[0] ?? "")).body.status).toBe("queued");
    await broker.kill();

    await using roomy = new Processes();
    const next = await roomy.broker({ ...env, STATE_DIRECTORY: processes.folder });
    const again = new JobsApi(next.origin, false);
    for (const id of acknowledged) expect((await again.get(id)).body.status).toBe("queued");
    expect((await again.list("?limit=100")).body.jobs).toHaveLength(Math.min(100, acknowledged.length));
    expect((await again.create({ type: "t" })).status).toBe(200);
    const text = await (await fetch(`${next.origin}/api/state`, { headers: AUTHORIZED })).text();
    expect(JSON.parse(text).plugins.jobs.summary.queued_jobs).toBe(acknowledged.length + 1);
  },
);
