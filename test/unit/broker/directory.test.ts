import { describe, expect, test } from "bun:test";
import { type DirectoryChange, JoinedDirectory } from "../../../src/broker/pool/directory.ts";
import { Pool } from "../../../src/broker/pool/pool.ts";
import { Worker } from "../../../src/broker/pool/worker.ts";
import { registerMessage, statusMessage } from "../../../src/protocol/messages.ts";
import { LinkedPair } from "../../kit/protocol/linked-pair.ts";
import { TestClock } from "../../kit/time/clock.ts";

function poolOf(module = "llm"): { pool: Pool; worker(id: string, ...models: string[]): Worker } {
  const clock = new TestClock();
  const pool = new Pool(module, clock, {
    queueSize: 1,
    queueTimeoutMs: 1000,
    queueUpdateMs: 0,
    graceMs: 0,
    minScore: 0.5,
    maxParallel: 1,
    maxSlotExempt: 1,
    maxSlots: 1,
  });
  return {
    pool,
    worker(id, ...models) {
      const register = registerMessage.parse({ type: "register", worker_id: id, models, max_concurrency: 1 });
      return new Worker(new LinkedPair({ clock }).broker, register, "remote", clock);
    },
  };
}

/** The changes, each with the models as they are when the listener hears of it. */
function watch(pool: Pool, signal?: AbortSignal): unknown[] {
  const seen: unknown[] = [];
  const { directory } = pool;
  const note = ({ kind, worker }: DirectoryChange): void => {
    seen.push([kind, worker.id, directory.models().map(({ id }) => id), directory.has(worker.id)]);
  };
  directory.onChanged(note, signal);
  return seen;
}

describe("a directory reports its changes", () => {
  test("when a worker joins, changes its models and leaves", () => {
    const { pool, worker } = poolOf();
    const seen = watch(pool);
    const one = worker("one", "a");
    pool.join(one);
    const status = statusMessage.parse({ type: "status_update", max_concurrency: 1, status: "idle", models: ["b"] });
    pool.change(one, () => one.update(status));
    pool.leave(one);
    expect(seen).toEqual([
      ["join", "one", ["a"], true],
      ["change", "one", ["b"], true],
      ["leave", "one", [], false],
    ]);
  });

  test("once for a connection that a newer one replaces", () => {
    const { pool, worker } = poolOf();
    const [older, newer] = [worker("one", "a"), worker("one", "b")];
    pool.join(older);
    const seen = watch(pool);
    pool.join(newer);
    pool.leave(older);
    expect(seen).toEqual([
      ["leave", "one", ["b"], true],
      ["join", "one", ["b"], true],
    ]);
  });

  test("until the signal aborts", () => {
    const { pool, worker } = poolOf();
    const over = new AbortController();
    const seen = watch(pool, over.signal);
    pool.join(worker("one"));
    over.abort();
    pool.join(worker("two"));
    expect(seen).toHaveLength(1);
    expect(watch(pool, over.signal)).toEqual([]);
    pool.join(worker("three"));
    expect(pool.directory.size).toBe(3);
    expect(seen).toHaveLength(1);
  });
});

test("records are of all workers, or of those that serve a model", () => {
  const { pool, worker } = poolOf();
  for (const [id, model] of [
    ["one", "a"],
    ["two", "b"],
  ] as const)
    pool.join(worker(id, model));
  const { directory } = pool;
  const ids = (model?: string): string[] => directory.records(model).map(({ id }) => id);
  expect([ids(), ids("b"), ids("c")]).toEqual([["one", "two"], ["two"], []]);
});

test("joined directories answer for all pools", () => {
  const joined = new JoinedDirectory();
  const [llm, asr] = [poolOf("llm"), poolOf("asr")];
  joined.add(llm.pool.directory);
  joined.add(asr.pool.directory);
  asr.pool.join(asr.worker("ear", "whisper"));
  expect([joined.servedAs("whisper"), joined.servedAs("other")]).toEqual(["whisper", undefined]);
  expect([joined.has("ear"), joined.has("eye")]).toEqual([true, false]);
});
