// What every store of jobs promises; a new one is added to the list of stores.
import { Database } from "bun:sqlite";
import { afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Job } from "../../../../src/broker/jobs/job.ts";
import type { JobLimits } from "../../../../src/broker/jobs/store/job-shares.ts";
import { MIGRATIONS } from "../../../../src/broker/jobs/store/migrations.ts";
import { openStore } from "../../../../src/broker/jobs/store/open.ts";
import { SCHEMA } from "../../../../src/broker/jobs/store/rows.ts";
import { SqliteStore } from "../../../../src/broker/jobs/store/sqlite.ts";
import type { JobStore } from "../../../../src/broker/jobs/store/store.ts";
import { NfrxError } from "../../../../src/lib/errors.ts";
import { ANYBODY, claimOf, distant, draftOf, endedOf, memoryStore, ROOMY } from "../../../kit/jobs/store.ts";
import { TestClock } from "../../../kit/time/clock.ts";
import { eventually } from "../../../kit/time/until.ts";
import { World } from "../../../kit/world.ts";

const folders: string[] = [];
const open: JobStore[] = [];

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "nfrx-jobs-"));
  folders.push(path);
  return path;
}

function fileStore(clock: TestClock, limits: Partial<JobLimits> = {}, path = join(folder(), "state", "jobs.db")) {
  return new SqliteStore(path, clock, { ...ROOMY, ...limits });
}

afterEach(async () => {
  await Promise.all(open.splice(0).map(store => store.close()));
  for (const path of folders.splice(0)) rmSync(path, { recursive: true, force: true });
});

/** A signal that never aborts. */
const FOREVER = new AbortController().signal;

type Make = (clock: TestClock, limits?: Partial<JobLimits>) => JobStore;

const STORES: [string, Make][] = [
  ["in memory", memoryStore],
  ["in a file", fileStore],
  ["far away", (clock, limits) => distant(memoryStore(clock, limits))],
];

describe.each(STORES)("a store %s", (_, make) => {
  function start(limits?: Partial<JobLimits>): { clock: TestClock; store: JobStore } {
    const clock = new TestClock();
    const store = make(clock, limits);
    open.push(store);
    return { clock, store };
  }

  const added = async (store: JobStore, news = {}): Promise<Job> => (await store.add(draftOf(news))).job;

  test("gives back what it was given", async () => {
    const { store } = start();
    const draft = draftOf({
      metadata: '{"file":"naïve ☃.wav","n":[1,2.5,null]}',
      workerId: "w",
      workerGroup: "g",
      priority: 7,
      cancelWhenUnwatched: true,
      idempotency: { key: "k", digest: "d" },
    });
    const { job, added } = await store.add(draft);
    expect(added).toBe(true);
    expect(job).toMatchObject({ ...draft });
    expect(await store.get(job.id)).toEqual({
      ...job,
      claim: undefined,
      progress: undefined,
      error: undefined,
      endedAt: undefined,
    });
    const after: Job = {
      ...job,
      rev: 3,
      status: "running",
      claim: claimOf(),
      attempts: 1,
      progress: '{"percent": 4.0}',
      error: { code: "c", message: "m" },
      transfers: [
        { role: "payload", key: "__proto__", channelId: "c", expiresAt: 9, properties: '{"a": [1e400]}', event: 2 },
      ],
      updatedAt: 1001,
      endedAt: undefined,
    };
    expect(await store.compareAndSet(job, after)).toBe(true);
    expect(await store.get(job.id)).toEqual(after);
    expect(await store.get("nobody")).toBeUndefined();
  });

  test("an idempotency key is one job of its owner", async () => {
    const { store } = start();
    const idempotency = { key: "k", digest: "d" };
    const first = await store.add(draftOf({ owner: "a", idempotency }));
    const again = await store.add(draftOf({ owner: "a", idempotency: { key: "k", digest: "other" } }));
    const other = await store.add(draftOf({ owner: "b", idempotency }));
    expect(again).toMatchObject({ added: false, job: { id: first.job.id, idempotency } });
    expect(other.added).toBe(true);
    const many = await Promise.all(Array.from({ length: 20 }, () => store.add(draftOf({ owner: "c", idempotency }))));
    expect(many.filter(({ added }) => added)).toHaveLength(1);
    expect(new Set(many.map(({ job }) => job.id)).size).toBe(1);
  });

  test("a swap is for who has seen the job as it is", async () => {
    const { store } = start();
    const job = await added(store);
    const changes = Array.from({ length: 10 }, (_, n) => ({ ...job, rev: 2, progress: String(n) }));
    const answers = await Promise.all(changes.map(after => store.compareAndSet(job, after)));
    expect(answers.filter(answer => answer)).toHaveLength(1);
    const winner = await store.get(job.id);
    expect(winner?.progress).toBe(String(answers.indexOf(true)));
    expect(await store.compareAndSet(job, { ...job, rev: 2 })).toBe(false);
  });

  test("claims go by priority, then by age", async () => {
    const { store } = start();
    const ids: string[] = [];
    for (const [id, priority] of [
      ["a", 0],
      ["b", 5],
      ["c", 0],
      ["d", 9],
      ["e", 5],
    ] as const) {
      await added(store, { id, priority });
    }
    for (let n = 0; n < 5; n++) ids.push((await store.claim(ANYBODY, claimOf()))?.id ?? "none");
    expect(ids).toEqual(["d", "b", "e", "a", "c"]);
    expect(await store.claim(ANYBODY, claimOf())).toBeUndefined();
  });

  test("a job that is queued again has its old place", async () => {
    const { store } = start();
    for (const id of ["a", "b"]) await added(store, { id });
    const claimed = await store.claim(ANYBODY, claimOf());
    if (claimed === undefined) throw new Error("nothing was claimed");
    const again: Job = { ...claimed, status: "queued", claim: undefined, rev: claimed.rev + 1 };
    expect(await store.compareAndSet(claimed, again)).toBe(true);
    expect(await store.position(again)).toBe(1);
    expect((await store.claim(ANYBODY, claimOf()))?.id).toBe("a");
  });

  test.each([
    ["any job", {}, ANYBODY, true],
    ["one of its types", {}, { ...ANYBODY, types: ["x", "t"] }, true],
    ["no other type", {}, { ...ANYBODY, types: ["x"] }, false],
    ["a job for it", { workerId: "w" }, { ...ANYBODY, workerId: "w" }, true],
    ["no job for another", { workerId: "w" }, { ...ANYBODY, workerId: "v" }, false],
    ["no job for somebody, as a nobody", { workerId: "w" }, ANYBODY, false],
    ["a job for its group", { workerGroup: "g" }, { ...ANYBODY, workerId: "w", workerGroup: "g" }, true],
    [
      "no job for its group and another worker",
      { workerId: "v", workerGroup: "g" },
      { ...ANYBODY, workerId: "w", workerGroup: "g" },
      false,
    ],
    [
      "a job for it in its group",
      { workerId: "w", workerGroup: "g" },
      { types: ["t"], workerId: "w", workerGroup: "g" },
      true,
    ],
    [
      "no job for it in another group",
      { workerId: "w", workerGroup: "g" },
      { types: [], workerId: "w", workerGroup: "h" },
      false,
    ],
  ])("a claimer gets %s", async (_what, news, claimer, gets) => {
    const { store } = start();
    const job = await added(store, news);
    const claim = claimOf({ workerId: claimer.workerId, workerGroup: claimer.workerGroup });
    const claimed = await store.claim(claimer, claim);
    if (!gets) expect(claimed).toBeUndefined();
    else expect(claimed).toMatchObject({ id: job.id, status: "claimed", claim, attempts: 1, rev: 2 });
  });

  test("no job is claimed twice", async () => {
    const { store } = start();
    for (let n = 0; n < 100; n++) await added(store, { type: `t${n % 3}`, priority: n % 2 });
    const claimWaiters = Array.from({ length: 150 }, (_, n) => ({
      ...ANYBODY,
      types: n % 4 === 3 ? [] : [`t${n % 4}`],
    }));
    const jobs = await Promise.all(claimWaiters.map(claimer => store.claim(claimer, claimOf())));
    const ids = jobs.flatMap(job => (job === undefined ? [] : [job.id]));
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toHaveLength(100);
  });

  test("a lease runs out once, unless it is renewed or its claim has ended", async () => {
    const { store, clock } = start();
    const lapsed: string[] = [];
    store.watch({ lapsed: (id, claimId) => void lapsed.push(`${id} ${claimId}`) }, FOREVER);
    for (const id of ["a", "b", "c"]) await added(store, { id });
    const claims = [claimOf({ leaseMs: 1000 }), claimOf({ leaseMs: 1000 }), claimOf({ leaseMs: 5000 })];
    const held: (Job | undefined)[] = [];
    for (const claim of claims) held.push(await store.claim(ANYBODY, claim));
    clock.advance(999);
    expect(lapsed).toEqual([]);
    expect(await store.renew("b", claims[1]?.id ?? "")).toBe(true);
    expect(await store.renew("b", "another")).toBe(false);
    expect(await store.renew("nobody", "another")).toBe(false);
    clock.advance(1);
    expect(lapsed).toEqual([`a ${claims[0]?.id}`]);
    const [, b] = held;
    if (b === undefined) throw new Error("nothing was claimed");
    expect(await store.compareAndSet(b, endedOf(b, 3000))).toBe(true);
    expect(await store.renew("b", claims[1]?.id ?? "")).toBe(false);
    const [a] = held;
    if (a === undefined) throw new Error("nothing was claimed");
    expect(await store.compareAndSet(a, { ...a, rev: 3, status: "queued", claim: undefined })).toBe(true);
    clock.advance(4000);
    expect(lapsed.slice(1)).toEqual([`c ${claims[2]?.id}`]);
  });

  test("a lapse that nothing came of is told of again", async () => {
    const { store, clock } = start();
    const lapsed: string[] = [];
    store.watch({ lapsed: id => void lapsed.push(id) }, FOREVER);
    await added(store, { id: "a" });
    await store.claim(ANYBODY, claimOf({ leaseMs: 1000 }));
    clock.advance(3000);
    expect(lapsed).toEqual(["a", "a", "a"]);
  });

  test("reports every change, and every job that waits, to all who watch", async () => {
    const { store } = start();
    const changes: string[] = [];
    const queued: string[] = [];
    const stopped: string[] = [];
    const stop = new AbortController();
    store.watch(
      {
        queued: ({ id, rev }) => void queued.push(`${id} ${rev}`),
        changed: (before, after) => void changes.push(`${after.id} ${before?.rev} ${after.rev} ${after.status}`),
      },
      FOREVER,
    );
    store.watch({ changed: (_, { id }) => void stopped.push(id) }, stop.signal);
    const idempotency = { key: "k", digest: "d" };
    const a = await added(store, { id: "a", idempotency });
    expect((await store.add(draftOf({ id: "again", idempotency }))).added).toBe(false);
    const held = await store.claim(ANYBODY, claimOf());
    expect(await store.claim(ANYBODY, claimOf())).toBeUndefined();
    if (held === undefined) throw new Error("nothing was claimed");
    expect(await store.compareAndSet(a, endedOf(a, 3000))).toBe(false);
    expect(await store.compareAndSet(held, { ...held, rev: 3, status: "queued", claim: undefined })).toBe(true);
    await eventually(() => stopped.length === 3, "a watcher that is about to stop");
    stop.abort();
    await added(store, { id: "b" });
    await eventually(() => changes.length >= 4 && queued.length >= 3, "the last reports");
    expect(changes.toSorted()).toEqual([
      "a 1 2 claimed",
      "a 2 3 queued",
      "a undefined 1 queued",
      "b undefined 1 queued",
    ]);
    expect(queued.toSorted()).toEqual(["a 1", "a 3", "b 1"]);
    expect(stopped).toEqual(["a", "a", "a"]);
  });

  test("lists an owner's jobs, newest first", async () => {
    const { store } = start();
    for (const [id, type, owner] of [
      ["a", "x", "me"],
      ["b", "y", "me"],
      ["c", "x", "me"],
      ["d", "x", "you"],
    ] as const) {
      await added(store, { id, type, owner });
    }
    await store.claim({ ...ANYBODY, types: ["y"] }, claimOf());
    const ids = async (statuses: Job["status"][], type?: string, limit = 10): Promise<string[]> =>
      (await store.list({ owner: "me", statuses, type, limit })).map(({ id }) => id);
    expect(await ids([])).toEqual(["c", "b", "a"]);
    expect(await ids([], "x")).toEqual(["c", "a"]);
    expect(await ids(["queued"])).toEqual(["c", "a"]);
    expect(await ids(["claimed", "running"])).toEqual(["b"]);
    expect(await ids(["queued", "claimed"], undefined, 2)).toEqual(["c", "b"]);
  });

  test("knows how many there are, which have not ended, and where one stands", async () => {
    const { store } = start();
    const jobs = [];
    for (const [id, createdAt] of [
      ["a", 10],
      ["b", 20],
      ["c", 30],
      ["d", 40],
    ] as const)
      jobs.push(await added(store, { id, createdAt, cancelWhenUnwatched: id === "d" }));
    const claimed = await store.claim(ANYBODY, claimOf({ at: 50 }));
    const [, b, c] = jobs;
    if (claimed === undefined || b === undefined || c === undefined) throw new Error("nothing was claimed");
    await store.compareAndSet(b, endedOf(b, 60, "failed"));
    expect(await store.position(c)).toBe(1);
    expect(await store.live()).toEqual(["a", "c", "d"].map(id => ({ id, cancelWhenUnwatched: id === "d" })));
    const overview = await store.overview(3);
    expect(overview).toMatchObject({
      counts: { queued: 2, claimed: 1, failed: 1, completed: 0 },
      oldestQueuedAt: 30,
      oldestClaimedAt: 50,
    });
    expect(overview.recent.map(({ id }) => id)).toEqual(["d", "c", "b"]);
  });

  test("forgets what ended long ago, and the oldest beyond a number", async () => {
    const { store } = start();
    for (let n = 1; n <= 6; n++) {
      const job = await added(store, { id: `e${n}`, metadata: "{}" });
      await store.compareAndSet(job, endedOf(job, n * 100));
    }
    await added(store, { id: "live" });
    expect(await store.firstEnd()).toBe(100);
    expect(await store.forget(250, 100, 10)).toEqual(["e1", "e2"]);
    expect(await store.forget(0, 3, 10)).toEqual(["e3"]);
    expect(await store.forget(1000, 0, 2)).toEqual(["e4", "e5"]);
    expect(await store.forget(1000, 0, 10)).toEqual(["e6"]);
    expect(await store.firstEnd()).toBeUndefined();
    expect(await store.live()).toEqual([{ id: "live", cancelWhenUnwatched: false }]);
  });

  test("makes room with jobs that have ended, and refuses when there are none", async () => {
    const { store } = start({ maxJobs: 3 });
    const first = await added(store, { id: "first" });
    await added(store, { caller: "two" });
    await store.compareAndSet(first, endedOf(first, 1));
    await added(store, { caller: "three" });
    await added(store, { caller: "four" });
    expect(await store.get("first")).toBeUndefined();
    const refused = await store.add(draftOf({ caller: "five" })).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(NfrxError);
    expect(refused).toMatchObject({ code: "overloaded" });
  });

  test("gives each caller a share of jobs and bytes, and makes room with its own that have ended", async () => {
    const { store } = start({ maxJobs: 8, maxBytes: 400_000 });
    const mine = await Promise.all([1, 2, 3, 4].map(() => added(store)));
    const share = { code: "limit_exceeded", status: 429 };
    await expect(store.add(draftOf())).rejects.toMatchObject(share);
    const other = await added(store, { caller: "two" });
    await store.compareAndSet(other, endedOf(other, 1));
    const [first] = mine;
    if (first === undefined) throw new Error("no job");
    await store.compareAndSet(first, endedOf(first, 2));
    await added(store);
    expect(await store.get(first.id)).toBeUndefined();
    expect(await store.get(other.id)).toBeDefined();
    const metadata = JSON.stringify({ text: "x".repeat(60_000) });
    for (let n = 0; n < 3; n++) await added(store, { caller: "three", metadata });
    await expect(store.add(draftOf({ caller: "three", metadata }))).rejects.toMatchObject(share);
    await added(store, { caller: "three" });
  });

  test("refuses when its bytes are used up, and goes on with what it has", async () => {
    const { store } = start({ maxBytes: 1024 * 1024 });
    const metadata = JSON.stringify({ text: "x".repeat(60_000) });
    const jobs: Job[] = [];
    let refused: unknown;
    while (refused === undefined && jobs.length < 100) {
      await store.add(draftOf({ metadata, caller: `caller-${jobs.length}` })).then(
        ({ job }) => jobs.push(job),
        (error: unknown) => {
          refused = error;
        },
      );
    }
    expect(refused).toMatchObject({ code: "overloaded" });
    expect(jobs.length).toBeGreaterThan(10);
    const claimed = await store.claim(ANYBODY, claimOf());
    if (claimed === undefined) throw new Error("nothing was claimed");
    expect(await store.compareAndSet(claimed, endedOf(claimed, 5))).toBe(true);
    // The one that has ended makes room.
    expect((await store.add(draftOf({ metadata }))).added).toBe(true);
  });
});

describe("a file", () => {
  test("has after a close what was answered before, and leases begin anew", async () => {
    const path = join(folder(), "deep", "down", "jobs.db");
    const clock = new TestClock();
    const first = fileStore(clock, {}, path);
    const { job } = await first.add(draftOf({ metadata: '{"a":1}' }));
    const claim = claimOf({ leaseMs: 1000 });
    const claimed = await first.claim(ANYBODY, claim);
    const late = first.add(draftOf({ id: "late" }));
    await first.close();
    expect((await late).added).toBe(true);
    await expect(first.add(draftOf())).rejects.toMatchObject({ code: "draining" });

    clock.advance(900);
    const second = fileStore(clock, {}, path);
    open.push(second);
    const lapsed: string[] = [];
    second.watch({ lapsed: id => void lapsed.push(id) }, FOREVER);
    expect(await second.get(job.id)).toEqual(claimed);
    expect(await second.get("late")).toBeDefined();
    clock.advance(999);
    expect(lapsed).toEqual([]);
    clock.advance(1);
    expect(lapsed).toEqual([job.id]);
    if (process.platform !== "win32") expect(statSync(path).mode & 0o77).toBe(0);
  });

  test("belongs to one process: another says so, and takes memory when no file was named", async () => {
    await using world = new World();
    const path = join(folder(), "jobs.db");
    const clock = new TestClock();
    open.push(fileStore(clock, {}, path));
    expect(() => openStore(path, clock, ROOMY, world.log("test"))).toThrow(/JOBS_STORE: .*another process uses it/);
  });

  test("that cannot be opened stops the start when it was named, and is a warning when it was not", async () => {
    await using world = new World();
    const clock = new TestClock();
    const blocked = join(folder(), "file");
    writeFileSync(blocked, "no folder");
    expect(() => openStore(join(blocked, "jobs.db"), clock, ROOMY, world.log("test"))).toThrow(/JOBS_STORE/);
    const env = { ...process.env };
    process.env["STATE_DIRECTORY"] = blocked;
    process.env["HOME"] = blocked;
    process.env["ProgramData"] = blocked;
    try {
      open.push(openStore("", clock, ROOMY, world.log("test")));
    } finally {
      for (const name of ["STATE_DIRECTORY", "HOME", "ProgramData"]) {
        if (env[name] === undefined) delete process.env[name];
        else process.env[name] = env[name];
      }
    }
    expect(world.logs.filter(({ level, message }) => level === "warn" && message.includes("in memory"))).toHaveLength(
      1,
    );
  });

  test("of a newer version, or none of ours, is left alone", () => {
    const path = join(folder(), "jobs.db");
    writeFileSync(path, "this is no database at all, but a text that somebody wrote".repeat(100));
    expect(() => fileStore(new TestClock(), {}, path)).toThrow();
    expect(existsSync(path)).toBe(true);
  });
});

describe("the tables of an earlier version", () => {
  test("are brought to this one, with all that is in them", async () => {
    const path = join(folder(), "jobs.db");
    const old = new Database(path, { create: true, strict: true });
    for (const statement of SCHEMA) old.run(statement);
    old.run("PRAGMA user_version = 1");
    const rest = {
      progress: { percent: 4, text: 'a "progress"' },
      transfers: [
        { role: "payload", key: "k", channelId: "c", expiresAt: 9, event: 2, properties: { a: [1] } },
        { role: "result", key: "r", channelId: "d", expiresAt: 9, event: 3 },
      ],
      digest: "d",
    };
    old.run(
      `INSERT INTO jobs (id, rev, type, status, priority, worker_id, worker_group, owner, idem_key, created_at, updated_at,
        attempts, rest) VALUES ('old', 3, 't', 'running', 0, '', '', '-', 'key', 1, 2, 1, ?)`,
      [JSON.stringify(rest)],
    );
    old.run("INSERT INTO metadata (seq, json) VALUES (1, '{\"a\":1}')");
    old.close();

    const store = fileStore(new TestClock(), {}, path);
    open.push(store);
    expect(await store.get("old")).toMatchObject({
      metadata: '{"a":1}',
      cancelWhenUnwatched: false,
      idempotency: { key: "key", digest: "d" },
      progress: JSON.stringify(rest.progress),
      transfers: [{ key: "k", properties: '{"a":[1]}' }, { key: "r" }],
    });
    expect((await store.add(draftOf())).added).toBe(true);
    await store.close();
    const again = new Database(path, { readonly: true });
    expect(again.query("PRAGMA user_version").get()).toEqual({ user_version: MIGRATIONS.length });
    again.close();
  });

  test("a step that fails leaves the file as it was", () => {
    const path = join(folder(), "jobs.db");
    const old = new Database(path, { create: true, strict: true });
    for (const statement of SCHEMA) old.run(statement);
    old.run("PRAGMA user_version = 1");
    old.run(
      `INSERT INTO jobs (id, rev, type, status, priority, worker_id, worker_group, owner, created_at, updated_at, attempts,
        rest) VALUES ('old', 1, 't', 'queued', 0, '', '', '-', 1, 2, 0, 'no JSON, but "progress"')`,
    );
    old.close();
    expect(() => fileStore(new TestClock(), {}, path)).toThrow();
    const left = new Database(path, { readonly: true });
    expect(left.query("PRAGMA user_version").get()).toEqual({ user_version: 1 });
    expect(left.query("SELECT count(*) AS n FROM jobs").get()).toEqual({ n: 1 });
    left.close();
  });
});

test("a second broker on a file that nobody named starts at once, in memory, and says what that means", async () => {
  const path = folder();
  const held = Bun.spawn(
    [
      process.execPath,
      "-e",
      `import { Database } from "bun:sqlite";
      const db = new Database(process.argv[1], { create: true });
      db.run("PRAGMA locking_mode = EXCLUSIVE");
      db.run("PRAGMA journal_mode = WAL");
      db.run("CREATE TABLE jobs (id TEXT)");
      console.log("held");
      await Bun.stdin.text();`,
      join(path, "jobs.db"),
    ],
    { stdin: "pipe", stdout: "pipe" },
  );
  const before = process.env["STATE_DIRECTORY"];
  try {
    const { value } = await held.stdout.getReader().read();
    expect(Buffer.from(value ?? []).toString()).toBe("held\n");
    await using world = new World();
    process.env["STATE_DIRECTORY"] = path;
    const log = world.log("test");
    const store = openStore("", new TestClock(), ROOMY, log);
    open.push(store);
    expect(store.durable).toBe(false);
    const [warning] = world.logs.filter(({ level }) => level === "warn").slice(-1);
    expect(warning?.message).toStartWith("another broker uses the jobs file: this broker stores its jobs in memory");
    const named = () => openStore(join(path, "jobs.db"), new TestClock(), ROOMY, log);
    expect(named).toThrow(/another process uses it; each broker needs its own file/);
  } finally {
    if (before === undefined) delete process.env["STATE_DIRECTORY"];
    else process.env["STATE_DIRECTORY"] = before;
    held.kill();
    await held.exited;
  }
});
