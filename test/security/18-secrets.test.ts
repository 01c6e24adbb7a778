// Names that strangers choose must not steer the terminal of a log's reader, and a secret file must stay its owner's.
import { expect, test } from "bun:test";
import { chmodSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { HandWorker } from "../kit/hand.ts";
import { Processes, type Program } from "../kit/processes.ts";
import { CLIENT_KEY } from "../kit/world.ts";

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
