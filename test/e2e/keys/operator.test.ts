// An operator's commands over the control socket of a running broker, and over HTTP.
import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openControl } from "../../../cmd/operator.ts";
import { runCommand } from "../../../src/broker/cli/run.ts";
import { ControlSocket } from "../../../src/broker/listen/control-socket.ts";
import { brokerOptions } from "../../../src/config/broker.ts";
import { defaultsOf } from "../../../src/config/group.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { chatJson } from "../../kit/backend/backend.ts";
import { peopledWorld } from "../../kit/broker/people.ts";
import type { WorldOptions } from "../../kit/world.ts";

const root = mkdtempSync(join(tmpdir(), "nfrx-test-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const folder = (): string => mkdtempSync(join(root, "x-"));

const ADMIN_KEY = "test-admin-key";
/** The moment at which commands run. */
const NOW = Date.now();

/** What a command printed, and its exit code. */
interface Ran {
  code: number;
  out: string;
  error: string;
}

/** Runs a command as a program would. */
async function run(argv: readonly string[], env: Record<string, string> = {}, now = NOW): Promise<Ran> {
  const [out, error]: [string[], string[]] = [[], []];
  const code = await runCommand(argv, {
    env,
    platform: "linux",
    user: "olga",
    out: line => void out.push(line),
    error: line => void error.push(line),
    now: () => now,
  });
  return { code, out: out.join("\n"), error: error.join("\n") };
}

/** A world whose broker can be administered over a socket. */
async function operated(options: WorldOptions & { keysFile?: string } = {}) {
  const on = await peopledWorld(options);
  const path = join(folder(), "run", "nfrx.sock");
  const control = await ControlSocket.open({
    paths: [path],
    named: true,
    answer: request => on.world.broker.administer(request),
    log: silentLog,
  });
  if (control === undefined) throw new Error("there is no control socket");
  return {
    ...on,
    path,
    nfrx: (...argv: string[]) => run(argv, { CONTROL_SOCKET: path }),
    async [Symbol.asyncDispose]() {
      await control.close();
      await on[Symbol.asyncDispose]();
    },
  };
}

const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);
const answer = (): Response => new Response("ok");

test("the socket is for its owner and group, and so is the folder made for it, whatever the umask", async () => {
  const umask = process.umask(0o077);
  try {
    await using on = await operated();
    expect(mode(on.path)).toBe("660");
    expect(mode(join(on.path, ".."))).toBe("750");
    expect(process.umask()).toBe(0o077);
  } finally {
    process.umask(umask);
  }
});

test("a stale socket is replaced, one in use is not, and a file that is not a socket stays", async () => {
  const open = (path: string) => ControlSocket.open({ paths: [path], named: true, answer, log: silentLog });
  const path = join(folder(), "nfrx.sock");
  const dead = Bun.spawnSync(["python3", "-c", `import socket;socket.socket(socket.AF_UNIX).bind("${path}")`]);
  expect([dead.exitCode, existsSync(path)]).toEqual([0, true]);
  const first = await open(path);
  expect(await (await fetch("http://x/", { unix: path })).text()).toBe("ok");
  await expect(open(path)).rejects.toThrow("CONTROL_SOCKET: ");
  await expect(open(path)).rejects.toThrow("another broker listens there");
  expect(await (await fetch("http://x/", { unix: path })).text()).toBe("ok");
  await first?.close();
  expect(existsSync(path)).toBe(false);
  writeFileSync(path, "precious");
  await expect(open(path)).rejects.toThrow("not a socket");
  expect(readFileSync(path, "utf8")).toBe("precious");
  await expect(open(join(folder(), "x".repeat(100)))).rejects.toThrow("longer than");
});

test("without a setting, the first folder that works is used, and none at all is a warning", async () => {
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (_: object, message: string) => void warnings.push(message) };
  const bad = join(folder(), "file");
  writeFileSync(bad, "");
  const good = join(folder(), "nfrx.sock");
  const control = await ControlSocket.open({ paths: [join(bad, "x"), good], named: false, answer, log });
  expect(control?.path).toBe(good);
  await control?.close();
  expect(warnings).toEqual([]);
  expect(await ControlSocket.open({ paths: [join(bad, "x")], named: false, answer, log })).toBeUndefined();
  expect(warnings).toEqual([expect.stringContaining("CONTROL_SOCKET")]);
});

test("CONTROL_SOCKET=none opens no socket", async () => {
  await using on = await peopledWorld();
  const values = { ...defaultsOf(brokerOptions), controlSocket: "none" };
  expect(await openControl(on.world.broker, values, silentLog)).toBeUndefined();
});

test("a key from its making to its end, by commands", async () => {
  await using on = await operated();
  const { world, nfrx } = on;
  const { backend } = await world.worker({ models: ["qwen3"] });
  backend.respond = chatJson("hello");
  const statusWith = async (key: string): Promise<number> => {
    const headers = { authorization: `Bearer ${key}` };
    const response = await world.chat({ model: "qwen3" }, { headers });
    await response.text();
    return response.status;
  };

  const line =
    "key add alice --models qwen* --limit tokens/day=100k --limit concurrent=2:soft --expires 90d --weight 20";
  const added = await nfrx(...line.split(" "));
  const secret = added.out;
  expect(added).toEqual({
    code: 0,
    out: expect.stringMatching(/^sk-nfrx-[\w-]{43}$/),
    error: expect.stringMatching(/^made alice \(k_\w+\); the key is not shown again$/),
  });
  expect(await statusWith(secret)).toBe(200);

  const list = await nfrx("key", "list");
  expect(list.out).toMatch(/^NAME +PERSON +SCOPES +MODELS +LIMITS +EXPIRES +SOURCE\nalice +alice /);
  expect(list.out).toContain("concurrent=2:soft,tokens/day=100k");
  const expiry = new Date(NOW + 90 * 86_400_000).toISOString();
  expect(list.out).toContain(expiry.slice(0, 10));
  expect(list.out).not.toContain(secret);

  await world.leftovers();
  const shown = await nfrx("key", "show", "alice");
  expect(shown.out).toMatch(/^tokens\/day +100k, [1-9]\d* used$/m);
  expect(shown.out).toMatch(/^weight +20$/m);
  const json = JSON.parse((await nfrx("key", "show", "alice", "--json")).out);
  expect(json).toMatchObject({ name: "alice", models: ["qwen*"], expires_at: expiry });

  expect((await nfrx("key", "set", "alice", "--limit", "tokens/day=none", "--models", "llama*")).code).toBe(0);
  expect((await nfrx("key", "show", "alice")).out).not.toContain("tokens/day");
  expect(await statusWith(secret)).toBe(404);
  expect((await nfrx("key", "set", "alice", "--models", "all", "--expires", "never", "--name", "al")).code).toBe(0);
  expect((await nfrx("key", "show", "alice")).code).toBe(1);

  const rotated = await nfrx("key", "rotate", "al", "--overlap", "24h");
  expect(rotated.out).toMatch(/^sk-nfrx-/);
  expect([await statusWith(secret), await statusWith(rotated.out)]).toEqual([200, 200]);
  const last = await nfrx("key", "rotate", "al");
  expect([await statusWith(rotated.out), await statusWith(last.out)]).toEqual([401, 200]);

  expect(await nfrx("key", "revoke", "al")).toEqual({ code: 0, out: "revoked al", error: "" });
  expect(await statusWith(last.out)).toBe(401);
  expect((await nfrx("key", "list", "--json")).out).toBe('{\n  "keys": []\n}');
});

test("exit codes: 1 for what the broker refuses or does not have, 2 for a mistake on the line", async () => {
  await using on = await operated();
  const { nfrx } = on;
  await nfrx("key", "add", "alice");
  const ran = async (line: string) => {
    const { code, out, error } = await nfrx(...line.split(" "));
    expect(out).toBe("");
    return [code, error] as const;
  };
  expect(await ran("key add alice")).toEqual([1, "nfrx: there is already a key with the name alice"]);
  expect(await ran("key show bob")).toEqual([1, "nfrx: there is no key bob"]);
  expect(await ran("key set alice --weight 1000")).toEqual([1, expect.stringContaining("weight: ")]);
  expect(await ran("worker drain llm nobody")).toEqual([1, "nfrx: unknown worker"]);
  expect(await ran(`backup ${join(root, "no", "folder")}`)).toEqual([1, expect.stringContaining("ENOENT")]);
  expect(await ran(`key list --socket ${join(root, "none.sock")}`)).toEqual([
    1,
    expect.stringContaining("no broker answers at"),
  ]);
  expect(await ran("key add")).toEqual([2, "nfrx: usage: nfrx key add NAME [options]"]);
  expect(await ran("key add bob --limt x")).toEqual([2, expect.stringContaining("--limt")]);
  expect(await ran("key add bob --limit tokens/day=many")).toEqual([2, expect.stringContaining("--limit: tokens/day")]);
  expect(await ran("key add bob --expires soon")).toEqual([2, expect.stringContaining("--expires")]);
  expect(await ran("key ad bob")).toEqual([2, expect.stringContaining("unknown command ad")]);
  expect((await nfrx("key")).code).toBe(0);
  expect((await nfrx("key")).out).toContain("nfrx key rotate NAME");
  expect((await nfrx("key", "add", "--help")).out).toContain("--limit NAME=N");
  expect((await nfrx("key", "list", "--json")).out).not.toContain("bob");
});

test("usage as a table, as CSV and as JSON", async () => {
  await using on = await operated();
  const { world, key, nfrx, people } = on;
  const { backend } = await world.worker();
  backend.respond = chatJson("hello");
  for (const name of ["ann", "bob"]) {
    const headers = { authorization: `Bearer ${await key({ name })}` };
    await (await world.chat({}, { headers })).text();
  }
  await world.leftovers();
  const now = people.keys.get("ann").wall();
  const env = { CONTROL_SOCKET: on.path };
  const table = await run(["usage", "--by", "person"], env, now);
  expect(table.out).toMatch(/^PERSON +REQUESTS +FAILURES +TOKENS IN +TOKENS OUT +SLOT SECONDS\n(ann|bob) +1 +0 /);
  const csv = (await run(["usage", "--by", "person,model", "--csv"], env, now)).out.split("\n");
  expect(csv[0]).toMatch(/^person,model,requests,failures,/);
  expect(
    csv
      .slice(1)
      .map(line => line.split(",").slice(0, 3).join())
      .sort(),
  ).toEqual(["ann,test-model,1", "bob,test-model,1"]);
  const json = JSON.parse((await run(["usage", "--by", "key", "--json"], env, now)).out);
  expect(json.usage).toHaveLength(2);
  expect(await nfrx("usage", "--by", "colour")).toMatchObject({ code: 1, error: expect.stringContaining("by") });
});

test("the audit names the operator, and shows when a line was changed", async () => {
  const keysFile = join(folder(), "nfrx.db");
  {
    await using on = await operated({ keysFile });
    for (const name of ["ann", "bob", "cyd"]) await on.nfrx("key", "add", name);
    await on.nfrx("key", "revoke", "bob");
    const { out } = await on.nfrx("audit");
    expect(out.split("\n")).toHaveLength(5);
    expect(out.split("\n")[1]).toMatch(/^ *4 .* local:olga +key\.revoke +k_/);
    expect(await on.nfrx("audit", "--verify")).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^4 lines fit; head [0-9a-f]{64}$/),
    });
  }
  const file = new Database(keysFile);
  file.run("UPDATE audit SET actor = 'local:somebody' WHERE seq = 2");
  file.close();
  await using on = await operated({ keysFile });
  expect(await on.nfrx("audit", "--verify")).toMatchObject({ code: 1, out: "the chain is broken at line 2" });
  const json = await on.nfrx("audit", "--verify", "--json");
  expect([json.code, JSON.parse(json.out)]).toEqual([1, { ok: false, broken: 2 }]);
});

test("a backup of a running broker opens the same keys in another folder", async () => {
  const [archive, target] = [join(folder(), "nfrx.tar"), folder()];
  const keysFile = join(target, "state", "nfrx.db");
  const jobsFile = join(target, "state", "jobs.db");
  const restore = (...more: string[]) =>
    run(["restore", archive, "--keys-store", keysFile, "--jobs-store", jobsFile, ...more]);
  let secret: string;
  {
    await using on = await operated();
    secret = (await on.nfrx("key", "add", "alice")).out;
    expect((await on.nfrx("backup", archive)).code).toBe(0);
    expect(mode(archive)).toBe("600");
    expect(readFileSync(archive).includes(secret)).toBe(false);
    // It does not write over a file.
    expect(await on.nfrx("backup", archive)).toMatchObject({ code: 1, error: expect.stringContaining("EEXIST") });
  }
  // The log of a database that has been moved away would be read as that of the restored one.
  mkdirSync(join(target, "state"));
  writeFileSync(`${keysFile}-wal`, "");
  expect(await restore()).toMatchObject({ code: 1, error: expect.stringContaining("nfrx.db-wal exists") });
  rmSync(`${keysFile}-wal`);
  expect(await restore()).toEqual({ code: 0, out: `${keysFile}\n${jobsFile}`, error: "" });
  expect([mode(keysFile), mode(jobsFile)]).toEqual(["600", "600"]);
  expect(await restore()).toMatchObject({ code: 1, error: expect.stringContaining("exists: move it away first") });
  expect((await run(["restore", archive, "--keys-store", keysFile], { JOBS_STORE: "memory" })).code).toBe(2);
  await using on = await operated({ keysFile, broker: { jobsStore: jobsFile } });
  const headers = { authorization: `Bearer ${secret}` };
  expect(await (await fetch(`${on.world.origin}/api/me`, { headers })).json()).toMatchObject({ person: "alice" });
  expect((await on.nfrx("audit", "--verify")).code).toBe(0);
});

test("another machine's broker, over HTTP with ADMIN_KEY", async () => {
  await using on = await operated({ broker: { adminKey: ADMIN_KEY } });
  const server = ["--server", on.world.origin];
  const admin = { ADMIN_KEY };
  const added = await run(["key", "add", "alice", ...server], admin);
  const secret = added.out;
  expect(added).toMatchObject({ code: 0, out: expect.stringMatching(/^sk-nfrx-/) });
  expect((await run(["key", "show", "alice"], { ...admin, NFRX_SERVER: on.world.origin })).code).toBe(0);
  // The socket that is named on the line wins over the variable.
  expect((await run(["key", "list", "--socket", on.path], { NFRX_SERVER: "https://broker.invalid" })).code).toBe(0);
  expect(await run(["key", "list", ...server], { ADMIN_KEY: secret })).toMatchObject({
    code: 1,
    error: expect.stringContaining("scope admin"),
  });
  expect(await run(["key", "list", ...server])).toMatchObject({
    code: 2,
    error: expect.stringContaining("ADMIN_KEY"),
  });
  expect(await run(["key", "list", "--server", "http://ai.example"], admin)).toMatchObject({
    code: 2,
    error: expect.stringContaining("not https"),
  });
  expect((await run(["key", "list", "--server", "ai.example"], admin)).code).toBe(2);
  expect((await on.nfrx("audit")).out).toMatch(/ admin +key\.add /);
});

test("an error of the API names the field", async () => {
  await using on = await operated();
  await on.nfrx("key", "add", "alice");
  const patch = async (body: unknown) => {
    const response = await fetch("http://x/api/admin/keys/alice", {
      method: "PATCH",
      unix: on.path,
      body: JSON.stringify(body),
    });
    const { error } = (await response.json()) as { error: { code: string; param: string; message: string } };
    return [response.status, error.code, error.param];
  };
  expect(await patch({ limits: { "tokens/day": { max: 0 } } })).toEqual([
    400,
    "invalid_request",
    "limits.tokens/day.max",
  ]);
  expect(await patch({ limits: { "tokens/year": { max: 5 } } })).toEqual([
    400,
    "invalid_request",
    "limits.tokens/year",
  ]);
  expect(await patch({ nickname: "al" })).toEqual([400, "invalid_request", "nickname"]);
  expect(await patch({ models: [] })).toEqual([400, "invalid_request", "models"]);
  expect(await patch({ expires_at: "soon" })).toEqual([400, "invalid_request", "expires_at"]);
});
