// Child processes: how they are started, spoken to and ended.
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { answerOf, Events, listen, openSession, post, rpc } from "../../../kit/mcp/http.ts";
import { callText, connect, reach, URL_OF_PROVIDER } from "../../../kit/mcp/provider.ts";
import { until, WAIT_MS } from "../../../kit/time/until.ts";

const reason = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    error => error.message,
  );

/** True while the process runs; one that has ended and that nobody has asked about yet does not. */
function runs(pid: number): boolean {
  if (existsSync("/proc/self/stat")) {
    try {
      return !/^\d+ \(.*\) [ZX]/s.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
    } catch {
      return false;
    }
  }
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Waits until a process that is nobody's child here has ended. */
async function gone(pid: number): Promise<void> {
  const since = performance.now();
  while (runs(pid)) {
    if (performance.now() - since > WAIT_MS) throw new Error(`${pid} still runs`);
    await new Promise<void>(resolve => setImmediate(resolve));
  }
}

/** Lets the server start a process of its own; the pids of both. */
async function spawned(answer: Record<string, unknown>): Promise<{ pid: number; own: number }> {
  const { result } = answer;
  if (typeof result === "object" && result !== null && "pid" in result && "own" in result) {
    return { pid: Number(result.pid), own: Number(result.own) };
  }
  throw new Error(JSON.stringify(answer));
}

/** What the agent's own environment holds. */
const HERS = { CLIENT_KEY: "secret", TOKEN_FOR_IT: "token", HTTPS_PROXY: "http://proxy:1", NO_PROXY: "localhost" };

describe("a child", () => {
  test("that is killed in mid-call answers with an error, and its session is gone", async () => {
    await using server = reach("raw");
    const session = await openSession(server);
    const call = await post(server, rpc(1, "silent"), session);
    const died = await post(server, rpc(2, "die"), session);
    const error = { code: -32000, message: expect.stringContaining("exit code 9") };
    expect(await answerOf(call)).toMatchObject({ id: 1, error });
    expect(await answerOf(died)).toMatchObject({ id: 2, error });
    expect((await post(server, rpc(3, "raw"), session)).status).toBe(404);
    expect(server.provider.sessions).toBe(0);
  });

  test("that dies says its last words to whoever called", async () => {
    await using server = reach("fixture");
    const client = await connect(server);
    expect(await reason(callText(client, "die"))).toContain("exit code 7");
    await client.close();
  });

  test("that cannot be started, or crashes, is an error of the provider", async () => {
    await using homeless = reach("raw", { workdir: "/nowhere/at/all" });
    expect(await reason(openSession(homeless))).toContain("the working directory /nowhere/at/all (MCP_STDIO_WORKDIR)");
    await using nowhere = reach("raw", { command: "/nowhere/server" });
    expect(await reason(openSession(nowhere))).toContain("cannot start the MCP server");
    await using crashes = reach("raw", {}, ["crash"]);
    for (let i = 0; i < 3; i++)
      expect(await reason(openSession(crashes))).toContain("no such thing as a free lunch\nNode.js v22");
    expect(await reason(crashes.provider.probe(new AbortController().signal))).toContain("3 times in a row");
    expect([crashes.provider.sessions, crashes.provider.servers]).toEqual([0, 0]);
  });

  test("gets what was set for it, and not what this process holds", async () => {
    Object.assign(process.env, HERS);
    try {
      const env = { MINE: "mine", NO_PROXY: "" };
      await using server = reach("raw", { env, passEnv: ["TOKEN_FOR_IT", "NOT_THERE"], workdir: "/" });
      const { result } = await answerOf(await post(server, rpc(1, "self"), await openSession(server)));
      expect(result).toMatchObject({
        folder: "/",
        env: { ...env, PATH: process.env["PATH"], TOKEN_FOR_IT: "token", HTTPS_PROXY: "http://proxy:1" },
      });
      expect(JSON.stringify(result)).not.toContain("CLIENT_KEY");
    } finally {
      for (const name of Object.keys(HERS)) delete process.env[name];
    }
  });

  test("ends with its session, and so does what it started", async () => {
    await using server = reach("raw");
    const session = await openSession(server);
    const other = await openSession(server);
    const { pid, own } = await spawned(await answerOf(await post(server, rpc(1, "spawn"), session)));
    expect([runs(pid), runs(own)]).toEqual([true, true]);
    await server.fetch(URL_OF_PROVIDER, { method: "DELETE", headers: session });
    await gone(own);
    await gone(pid);
    expect(await answerOf(await post(server, rpc(1, "raw"), other))).toMatchObject({ id: 1 });
  });

  test("that ignores the end of its input, and SIGTERM, is killed", async () => {
    const server = reach("raw", {}, ["stubborn"]);
    const session = await openSession(server);
    const { pid, own } = await spawned(await answerOf(await post(server, rpc(1, "spawn"), session)));
    await server.provider.close();
    await gone(own);
    await gone(pid);
    expect(server.provider.servers).toBe(0);
  }, 20_000);

  test.each(["SIGTERM", "SIGKILL"] as const)("ends when the agent gets %s", async signal => {
    const agent = Bun.spawn([process.execPath, join(import.meta.dir, "../../../kit/mcp/orphan.ts")], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    const { value } = await until(agent.stdout.getReader().read(), "the pids");
    const { own } = await spawned(JSON.parse(new TextDecoder().decode(value)));
    expect(runs(own)).toBe(true);
    agent.kill(signal);
    await agent.exited;
    await gone(own);
  });
});

describe("a slow reader", () => {
  test("holds up its own server only, and little of what it says", async () => {
    await using server = reach("raw");
    const session = await openSession(server);
    const other = await openSession(server);
    const events = new Events(await listen(server, session));
    const busy = new Events(await post(server, rpc("busy", "silent"), session));
    const line = JSON.stringify({
      jsonrpc: "2.0",
      method: "notifications/x",
      params: { text: "z".repeat(512 * 1024) },
    });
    // 256 MiB, which the server writes as fast as it is read.
    const flood = post(server, rpc("flood", "flood", { line, times: 512 }), session);
    const first = await events.next();
    expect(first?.data).toBe(line);
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 50; i++) await answerOf(await post(server, rpc(i, "raw"), other));
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
    for (let i = 1; i < 512; i++) expect((await events.next())?.data.length).toBe(line.length);
    expect(await answerOf(await flood)).toMatchObject({ id: "flood" });
    await busy.cancel();
  }, 50_000);

  test("of its input gets a bounded queue", async () => {
    await using server = reach("raw");
    const session = await openSession(server);
    await post(server, rpc("stop", "sleep"), session);
    const text = "x".repeat(9 * 1024 * 1024);
    const answers = await Promise.all([1, 2, 3, 4, 5, 6].map(id => post(server, rpc(id, "silent", { text }), session)));
    expect(await answerOf(answers.at(-1) ?? new Response())).toMatchObject({
      id: 6,
      error: { message: expect.stringContaining("stopped reading") },
    });
  });
});
