import { describe, expect, test } from "bun:test";
import { GlobList } from "../../../../src/broker/people/glob.ts";
import { allows } from "../../../../src/broker/people/key.ts";
import { type NewKey, newKey } from "../../../../src/broker/people/key-shape.ts";
import { digestOf, Keys } from "../../../../src/broker/people/keys.ts";
import { SqlitePeopleStore } from "../../../../src/broker/people/sqlite-store.ts";
import { sha256 } from "../../../../src/lib/digest.ts";
import { MEMORY_PATH } from "../../../../src/lib/sqlite.ts";
import { TestClock } from "../../../kit/time/clock.ts";

const spec = (news: Partial<NewKey> = {}): NewKey => ({ ...newKey.parse({ name: "alice" }), ...news });

async function open() {
  const clock = new TestClock();
  const store = new SqlitePeopleStore(MEMORY_PATH, clock);
  const reopen = () => Keys.open({ store, clock });
  return { clock, store, reopen, keys: await reopen() };
}

/** Something open with a key, and whether it has been cut. */
function openWith(keys: Keys, secret: string, scope = "llm", ...models: string[]) {
  const state = { cut: 0 };
  keys.find(sha256(secret))?.hold({ scopes: [scope], models, cut: () => state.cut++ });
  return state;
}

describe("a key", () => {
  test("opens with its text alone, and is there after a restart", async () => {
    const { keys, reopen } = await open();
    const { record, secret } = await keys.add(spec(), "admin");
    expect(secret).toMatch(/^sk-nfrx-[A-Za-z0-9_-]{43}$/);
    expect(record.id).toMatch(/^k_[a-z0-9]{16}$/);
    for (const found of [keys, await reopen()]) {
      expect(found.find(sha256(secret))?.active.record).toEqual(record);
      for (const wrong of [secret.slice(0, -1), `${secret}x`, secret.slice(0, 20), digestOf(secret), "", record.id])
        expect(found.find(sha256(wrong))).toBeUndefined();
    }
  });

  test("is kept as a digest, which no answer and no line of the audit shows", async () => {
    const { keys, store } = await open();
    const { secret } = await keys.add(spec(), "admin");
    const [stored] = await store.list("key");
    expect(stored?.json).not.toContain(secret);
    expect(stored?.json).toContain(digestOf(secret));
    expect(JSON.stringify([keys.list(), await store.audit(0, 10)])).not.toContain(digestOf(secret));
  });

  test("has a name of its own", async () => {
    const { keys } = await open();
    const { record } = await keys.add(spec(), "admin");
    await keys.add(spec({ name: "bob" }), "admin");
    await expect(keys.add(spec(), "admin")).rejects.toThrow("alice");
    await expect(keys.set("bob", { name: "alice" }, "admin")).rejects.toThrow("alice");
    expect((await keys.set("alice", { name: "carol" }, "admin")).id).toBe(record.id);
    expect(() => keys.get("alice")).toThrow("no key alice");
    expect(keys.get("carol").record.person).toBe("alice");
  });

  test("that is revoked opens nothing, and what was open is cut", async () => {
    const { keys, reopen } = await open();
    const { secret } = await keys.add(spec(), "admin");
    const stream = openWith(keys, secret);
    await keys.revoke("alice", "admin");
    expect([stream.cut, keys.find(sha256(secret)), keys.size]).toEqual([1, undefined, 0]);
    expect((await reopen()).size).toBe(0);
  });

  test("that expires opens nothing, and what was open is cut", async () => {
    const { keys, clock } = await open();
    const expires_at = new Date(clock.wall() + 3 * 86_400_000).toISOString();
    const { secret } = await keys.add(spec({ expires_at }), "admin");
    const stream = openWith(keys, secret);
    clock.advance(3 * 86_400_000 - 1);
    expect([stream.cut, keys.find(sha256(secret)) !== undefined]).toEqual([0, true]);
    clock.advance(1);
    expect([stream.cut, keys.find(sha256(secret))]).toEqual([1, undefined]);
  });

  test("that is narrowed cuts only what it no longer allows", async () => {
    const { keys } = await open();
    const { secret } = await keys.add(spec({ scopes: ["llm", "jobs"] }), "admin");
    const [llama, qwen, job] = [
      openWith(keys, secret, "llm", "llama3"),
      openWith(keys, secret, "llm", "best", "qwen3"),
      openWith(keys, secret, "jobs"),
    ];
    await keys.set("alice", { models: ["llama*", "best"] }, "admin");
    expect([llama.cut, qwen.cut, job.cut]).toEqual([0, 1, 0]);
    await keys.set("alice", { scopes: ["llm"] }, "admin");
    expect([llama.cut, qwen.cut, job.cut]).toEqual([0, 1, 1]);
  });

  test("that is rotated: the old text ends at once, or after the overlap", async () => {
    const { keys, clock, reopen } = await open();
    const first = await keys.add(spec(), "admin");
    const stream = openWith(keys, first.secret);
    const second = await keys.rotate("alice", 3_600_000, "admin");
    expect(keys.find(sha256(first.secret))?.active).toBe(keys.find(sha256(second.secret))?.active);
    expect((await reopen()).find(sha256(first.secret))).toBeDefined();
    clock.advance(3_600_000);
    expect([stream.cut, keys.find(sha256(first.secret)), keys.find(sha256(second.secret)) !== undefined]).toEqual([
      1,
      undefined,
      true,
    ]);
    const third = await keys.rotate("alice", 0, "admin");
    expect([keys.find(sha256(second.secret)), keys.find(sha256(third.secret))?.active.record.id]).toEqual([
      undefined,
      first.record.id,
    ]);
  });

  test("of the file stands beside those of the store and can be changed there alone", async () => {
    const { keys } = await open();
    const { secret } = await keys.add(spec(), "admin");
    const file = { spec: spec({ name: "ci", scopes: ["llm"] }), sha256: digestOf("sk-from-file") };
    keys.setFileKeys([file]);
    const stream = openWith(keys, "sk-from-file");
    expect(keys.find(sha256("sk-from-file"))?.active.record).toMatchObject({ name: "ci", source: "file" });
    for (const change of [() => keys.revoke("ci", "x"), () => keys.set("ci", {}, "x"), () => keys.rotate("ci", 0, "x")])
      await expect(change()).rejects.toThrow("configuration file");
    expect(() => keys.setFileKeys([file, { spec: spec(), sha256: digestOf("x") }])).toThrow("alice");
    expect(() => keys.setFileKeys([{ ...file, sha256: digestOf(secret) }])).toThrow("ci");
    expect(stream.cut).toBe(0);
    keys.setFileKeys([{ ...file, sha256: digestOf("sk-next") }]);
    expect([stream.cut, keys.find(sha256("sk-from-file")), keys.find(sha256("sk-next")) !== undefined]).toEqual([
      1,
      undefined,
      true,
    ]);
    keys.setFileKeys([]);
    expect([keys.find(sha256("sk-next")), keys.list().map(({ name }) => name)]).toEqual([undefined, ["alice"]]);
  });
});

test("scopes: admin allows everything, mcp every relay, mcp:<relay> that one", () => {
  expect(allows(["llm"], "llm")).toBe(true);
  expect(allows(["llm"], "asr")).toBe(false);
  expect(allows(["admin"], "mcp:files")).toBe(true);
  expect(allows(["mcp"], "mcp:files")).toBe(true);
  expect(allows(["mcp:files"], "mcp:files")).toBe(true);
  expect(allows(["mcp:files"], "mcp:mail")).toBe(false);
  expect(allows(["mcp:files"], "mcp")).toBe(false);
});

test("patterns of models", () => {
  const matches = (pattern: string, name: string): boolean => new GlobList([pattern]).matches(name);
  expect(matches("qwen*", "qwen3:30b/x")).toBe(true);
  expect(matches("*coder*", "qwen2.5-coder:7b")).toBe(true);
  expect(matches("a*b*c", "abc")).toBe(true);
  expect(matches("a*bc*c", "abc")).toBe(false);
  expect(matches("a*a", "a")).toBe(false);
  expect(matches("*", "")).toBe(true);
  expect(matches("Qwen*", "qwen3")).toBe(false);
  expect(matches("llama3", "llama3:latest")).toBe(true);
  expect(matches("llama3:latest", "llama3")).toBe(true);
  expect(matches("llama3", "llama3:8b")).toBe(false);
  // Each star is looked for once, from the left: no pattern makes it try again.
  expect(matches(`${"*a".repeat(100)}b`, "a".repeat(10_000))).toBe(false);
});
