import { describe, expect, test } from "bun:test";
import { existsSync, statSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { firstBroken } from "../../../../src/broker/people/audit.ts";
import { SqlitePeopleStore } from "../../../../src/broker/people/sqlite-store.ts";
import { HOUR_MS, noUsage, type UsageRow } from "../../../../src/broker/people/usage.ts";
import { MEMORY_PATH } from "../../../../src/lib/sqlite.ts";
import { randomOf } from "../../../kit/load/random.ts";
import { TestClock } from "../../../kit/time/clock.ts";

const change = (action: string) => ({ actor: "test", action, before: null, after: "{}" });
const row = (news: Partial<UsageRow> = {}): UsageRow => ({
  hour: 490_000,
  person: "alice",
  key: "k_1",
  module: "llm",
  model: "llama3",
  worker: "gpu",
  ...noUsage(),
  ...news,
});
const everything = { since: 0, until: Number.MAX_SAFE_INTEGER };

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "nfrx-people-"));
  try {
    await run(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

for (const kind of ["memory", "a file"] as const)
  describe(`the store in ${kind}`, () => {
    const withStore = (run: (store: SqlitePeopleStore) => Promise<void>) => () =>
      inFolder(async folder => {
        const store = new SqlitePeopleStore(kind === "memory" ? MEMORY_PATH : join(folder, "nfrx.db"), new TestClock());
        expect(store.durable).toBe(kind === "a file");
        await run(store);
        await store.close();
      });

    test(
      "adds, replaces and removes records, each with a line of the audit",
      withStore(async store => {
        await store.add("key", { id: "k_1", name: "alice", json: "1" }, change("key.add"));
        await store.add("machine", { id: "k_1", name: "alice", json: "2" }, change("machine.add"));
        expect(await store.replace("key", { id: "k_1", name: "bob", json: "3" }, change("key.set"))).toBe(true);
        expect(await store.replace("key", { id: "k_2", name: "eve", json: "4" }, change("key.set"))).toBe(false);
        expect(await store.list("key")).toEqual([{ id: "k_1", name: "bob", json: "3" }]);
        expect(await store.remove("key", "k_1", change("key.revoke"))).toBe(true);
        expect(await store.remove("key", "k_1", change("key.revoke"))).toBe(false);
        expect(await store.list("key")).toEqual([]);
        const lines = await store.audit(0, 10);
        expect(lines.map(({ seq, action, target }) => [seq, action, target])).toEqual([
          [1, "key.add", "k_1"],
          [2, "machine.add", "k_1"],
          [3, "key.set", "k_1"],
          [4, "key.revoke", "k_1"],
        ]);
        expect(firstBroken(lines)).toBeUndefined();
        expect((await store.lastAudit(2)).map(({ seq }) => seq)).toEqual([4, 3]);
      }),
    );

    test(
      "refuses a name that is taken, and writes no line then",
      withStore(async store => {
        await store.add("key", { id: "k_1", name: "alice", json: "1" }, change("key.add"));
        await store.add("key", { id: "k_2", name: "bob", json: "1" }, change("key.add"));
        await expect(store.add("key", { id: "k_3", name: "alice", json: "1" }, change("key.add"))).rejects.toThrow(
          "alice",
        );
        await expect(store.replace("key", { id: "k_2", name: "alice", json: "1" }, change("key.set"))).rejects.toThrow(
          "alice",
        );
        expect(await store.audit(0, 10)).toHaveLength(2);
      }),
    );

    test(
      "sums usage up by hour and series",
      withStore(async store => {
        const day = 20_000 * 24;
        await store.count([
          row({ hour: day, requests: 1, tokens_in: 10 }),
          row({ hour: day + 1, requests: 2, tokens_in: 5 }),
        ]);
        await store.count([
          row({ hour: day, requests: 3, tokens_in: 100, model: "qwen3" }),
          row({ hour: day, requests: 1 }),
        ]);
        await store.count([row({ hour: day + 24, requests: 7, person: "bob", key: "k_2" })]);
        const sums = await store.usage({ by: ["person", "model"], ...everything });
        expect(sums.map(({ person, model, requests, tokens_in }) => [person, model, requests, tokens_in])).toEqual([
          ["alice", "qwen3", 3, 100],
          ["alice", "llama3", 4, 15],
          ["bob", "llama3", 7, 0],
        ]);
        const days = await store.usage({ by: ["day"], ...everything });
        expect(days.map(({ time, requests }) => [time, requests])).toEqual([
          [day * HOUR_MS, 7],
          [(day + 24) * HOUR_MS, 7],
        ]);
        const bobs = await store.usage({ by: [], person: "bob", ...everything });
        expect(bobs.map(({ requests }) => requests)).toEqual([7]);
        const first = await store.usage({ by: [], since: day * HOUR_MS + 5, until: (day + 1) * HOUR_MS });
        expect(first.map(({ requests }) => requests)).toEqual([5]);
        expect(await store.forgetUsage((day + 24) * HOUR_MS)).toBe(3);
        expect((await store.usage({ by: ["person"], ...everything })).map(({ person }) => person)).toEqual(["bob"]);
      }),
    );
  });

test("a line of the audit that was changed, or taken out of the middle, is found", async () => {
  const store = new SqlitePeopleStore(MEMORY_PATH, new TestClock());
  for (let n = 0; n < 5; n++) await store.add("key", { id: `k_${n}`, name: `n${n}`, json: "1" }, change("key.add"));
  const lines = await store.audit(0, 10);
  expect(firstBroken(lines)).toBeUndefined();
  for (const [at, line] of lines.entries()) {
    expect(firstBroken(lines.with(at, { ...line, actor: "eve" }))).toBe(at + 1);
    if (at < 4) expect(firstBroken(lines.toSpliced(at, 1))).toBe(at + 1);
  }
});

test("what was written is there after the file is opened again, and in a backup", () =>
  inFolder(async folder => {
    const file = join(folder, "nfrx.db");
    const copy = join(folder, "copy.db");
    const first = new SqlitePeopleStore(file, new TestClock());
    await first.add("key", { id: "k_1", name: "alice", json: "1" }, change("key.add"));
    await first.copyTo(copy);
    await expect(first.copyTo(copy)).rejects.toThrow("exists");
    await first.add("key", { id: "k_2", name: "bob", json: "1" }, change("key.add"));
    await first.close();
    const names = async (path: string) => {
      const store = new SqlitePeopleStore(path, new TestClock());
      const found = [(await store.list("key")).map(({ name }) => name), firstBroken(await store.audit(0, 10))];
      await store.add("key", { id: "k_9", name: "last", json: "1" }, change("key.add"));
      expect(firstBroken(await store.audit(0, 10))).toBeUndefined();
      await store.close();
      return found;
    };
    expect(statSync(copy).mode & 0o777).toBe(0o600);
    expect(await names(file)).toEqual([["alice", "bob"], undefined]);
    expect(await names(copy)).toEqual([["alice"], undefined]);
    expect(existsSync(copy)).toBe(true);
  }));

test("a year of 20 people and 20 models takes at most 5 MB", () =>
  inFolder(async folder => {
    const file = join(folder, "nfrx.db");
    const store = new SqlitePeopleStore(file, new TestClock());
    const random = randomOf(1);
    // Each person works eight hours a day on 250 days, and uses two models in an hour.
    for (let day = 0; day < 250; day++) {
      const rows: UsageRow[] = [];
      for (let hour = 8; hour < 16; hour++)
        for (let person = 0; person < 20; person++)
          for (let model = 0; model < 2; model++)
            rows.push(
              row({
                hour: 490_000 + day * 24 + hour,
                person: `person-${person}`,
                key: `k_${person}`,
                model: `model-${(person + 10 * model) % 20}`,
                worker: `gpu-${(person + 10 * model) % 4}`,
                requests: random(100),
                tokens_in: random(100_000),
                tokens_out: random(50_000),
                slot_ms: random(3_000_000),
                bytes_in: random(1_000_000),
                bytes_out: random(1_000_000),
              }),
            );
      await store.count(rows);
    }
    await store.close();
    expect(statSync(file).size).toBeLessThanOrEqual(5_000_000);
  }));
