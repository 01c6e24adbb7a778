// `nfrx key` beside a running broker, both as users have them, and what a crash leaves of keys and ledger.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chatJson } from "../kit/backend/backend.ts";
import type { Env } from "../kit/process/program.ts";
import { Processes } from "../kit/processes.ts";
import { eventually, until } from "../kit/time/until.ts";

test("a key that an operator made opens the broker, and outlives its crash with what it used", async () => {
  await using processes = new Processes({ dist: process.env["NFRX_DIST"] || "dist" });
  const CONTROL_SOCKET = join(processes.folder, "run", "nfrx.sock");
  const settings: Env = { CONTROL_SOCKET };
  /** What a command printed; its exit code must be 0. */
  const nfrx = async (...words: string[]): Promise<string[]> => {
    const run = processes.start("nfrx", settings, words);
    const { code } = await until(run.ended, () => `nfrx ${words.join(" ")} to end\n${run.tail}`, 30_000);
    expect([words, code, run.tail]).toEqual([words, 0, run.tail]);
    return run.strays;
  };
  const broker = await processes.broker(settings);
  const backend = await processes.backend({ respond: chatJson("hello") });
  const agent = await processes.agent(broker, backend);
  const printed = await nfrx("key", "add", "alice", "--limit", "tokens/day=100k");
  const key = printed.find(line => line.startsWith("sk-nfrx-")) ?? "";
  const chat = async (port: number): Promise<number> => {
    const response = await fetch(`http://127.0.0.1:${port}/api/llm/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: "test-model", messages: [{ role: "user", content: "hello" }] }),
    });
    await response.text();
    return response.status;
  };
  expect(await chat(broker.port)).toBe(200);
  // By itself, within a second, what was used is in the log of the database.
  const log = join(processes.folder, "nfrx.db-wal");
  await eventually(() => readFileSync(log).includes("test-model"), "the ledger is written");
  await agent.kill();
  await broker.kill();

  const again = await processes.broker(settings);
  await processes.agent(again, backend);
  const usage: unknown = JSON.parse((await nfrx("usage", "--by", "person", "--json")).join("\n"));
  expect(usage).toMatchObject({ usage: [{ person: "alice", requests: 1 }] });
  expect(await chat(again.port)).toBe(200);
  await nfrx("key", "revoke", "alice");
  expect(await chat(again.port)).toBe(401);
  expect((await nfrx("audit", "--verify")).join()).toContain("2 lines fit");
}, 120_000);
