// Names that strangers choose must not steer the terminal of a log's reader, and a secret file must stay its owner's.
import { expect, test } from "bun:test";
import { chmodSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { status } from "../kit/backend/backend.ts";
import type { Env, Program } from "../kit/process/program.ts";
import { Processes } from "../kit/processes.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";

/** A control sequence introducer, a right-to-left override, an isolate, DEL and NEL. */
const DECEPTIVE = ["\u009b", "\u202e", "\u2066", "\u007f", "\u0085"];

test.each(["json", "pretty"])("a log in the format %s escapes control and bidirectional characters", async format => {
  await using processes = new Processes();
  const broker = Bun.spawn(processes.command("nfrx"), {
    cwd: processes.folder,
    env: {
      PATH: process.env["PATH"] ?? "",
      HOME: processes.folder,
      LOG_FORMAT: format,
      PORT: "0",
      HOST: "127.0.0.1",
      API_KEY: "a",
      CLIENT_KEY,
    },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  try {
    let log = "";
    const decoder = new TextDecoder();
    const lines = broker.stderr[Symbol.asyncIterator]();
    const reads = async (word: string): Promise<void> => {
      while (!log.includes(word)) {
        const { value, done } = await lines.next();
        if (done) throw new Error(`the log ended before "${word}":\n${log}`);
        log += decoder.decode(value, { stream: true });
      }
    };
    await reads("listening");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of a log for people
    const port = /port"?[:=](\d+)/.exec(log.replace(/\u001b\[\d+m/g, ""))?.[1];
    const worker = await HandWorker.connect(`ws://127.0.0.1:${port}/api/llm/connect`);
    worker.register({ worker_name: `x${DECEPTIVE.join("")}y` });
    await reads("worker registered");
    await reads("max_concurrency");
    for (const character of DECEPTIVE) expect(log).not.toContain(character);
    // A name loses its control characters at registration; every other text is escaped here.
    expect(log).toContain("x\\u202e\\u2066y");
    worker.terminate();
  } finally {
    broker.kill("SIGKILL");
    await broker.exited;
  }
});

test("a control token that other users can read is narrowed, with a warning", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  const file = join(processes.folder, "llm.token");
  writeFileSync(file, `${"t".repeat(64)}\n`);
  chmodSync(file, 0o644);
  const agent = await processes.agent(broker, await processes.backend(), { STATUS_ADDR: "127.0.0.1:0" });
  expect(await agent.line(line => line["file"] === file, "warns")).toMatchObject({ level: "warn", mode: "0644" });
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("an agent warns when its key travels in the clear to another machine", async () => {
  await using processes = new Processes();
  const warned = (agent: Program): Promise<unknown> => agent.line(line => /not encrypted/.test(line.msg), "warns");
  const far = processes.start("nfrx-llm", { SERVER_URL: "ws://broker.invalid:9", CLIENT_KEY, RECONNECT: "true" });
  expect(await warned(far)).toMatchObject({ level: "warn", host: "broker.invalid" });
  const broker = await processes.broker();
  const near = await processes.agent(broker, await processes.backend());
  expect(near.lines.filter(line => /not encrypted/.test(line.msg))).toEqual([]);
});

/** What `doctor` of a program prints with these settings. */
async function doctor(processes: Processes, program: string, env: Env): Promise<string> {
  const run = processes.start(program, { NO_PROXY: "*", ...env }, ["doctor"]);
  await run.ended;
  return run.strays.join("\n");
}

test("doctor judges ADMIN_KEY as it does the others", async () => {
  await using processes = new Processes();
  const key = "k".repeat(32);
  const said = (env: Env): Promise<string> => doctor(processes, "nfrx", { PORT: "0", JOBS_STORE: "memory", ...env });
  const keys = { API_KEY: key, CLIENT_KEY: key.toUpperCase() };
  expect(await said({ ...keys, ADMIN_KEY: "short" })).toMatch(/warn +keys +ADMIN_KEY is short/);
  expect(await said({ ...keys, ADMIN_KEY: key })).toMatch(/warn +keys +API_KEY and ADMIN_KEY are equal/);
  expect(await said({ ...keys, ADMIN_KEY: keys.CLIENT_KEY })).toMatch(/warn +keys +CLIENT_KEY and ADMIN_KEY are equal/);
  expect(await said({ ...keys, ADMIN_KEY: "a".repeat(32) })).not.toMatch(/warn +keys/);
});

test("doctor says how each relay is guarded, at the broker and at the relay", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({ MCP_ALLOW_OPEN: "true" });
  const backend = await processes.backend({ respond: status(200, "{}") });
  const guards: [id: string, env: Env, there: RegExp, here: RegExp][] = [
    [
      "tokened",
      { AUTH_TOKEN: "for-callers" },
      /ok +relay +tokened: callers need the relay's AUTH_TOKEN/,
      /ok +guard +callers need AUTH_TOKEN/,
    ],
    [
      "keyed",
      { MCP_OPEN: "false" },
      /ok +relay +keyed: callers need the broker's API key/,
      /ok +guard +callers need the broker's API key/,
    ],
    ["open", { MCP_OPEN: "true" }, /warn +relay +open: anyone can call it/, /warn +guard +MCP_OPEN is set/],
  ];
  for (const [CLIENT_ID, env] of guards)
    await processes.relay(broker, { http: `${backend.origin}/mcp` }, { CLIENT_ID, ...env });
  const all = await doctor(processes, "nfrx", {
    PORT: String(broker.port),
    HOST: "127.0.0.1",
    API_KEY,
    CLIENT_KEY,
    JOBS_STORE: "memory",
  });
  for (const [, env, there, here] of guards) {
    expect(all).toMatch(there);
    expect(await doctor(processes, "nfrx-mcp", { SERVER_URL: broker.origin, CLIENT_KEY, ...env })).toMatch(here);
  }
});
