// How an agent comes in, and how it hears that it does not: as real programs.
import { expect, test } from "bun:test";
import { createServer } from "node:net";
import type { Env, Program } from "../kit/process/program.ts";
import { Processes } from "../kit/processes.ts";
import { until } from "../kit/time/until.ts";
import { CLIENT_KEY } from "../kit/world.ts";

const refusals = (program: Program): unknown[] => program.lines.filter(({ msg }) => /rejected|not connected/.test(msg));

test("an agent with no key, a wrong key, a wrong path or a used id says so once, at error, and never that it is connected", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  const backend = await processes.backend();
  await processes.agent(broker, backend, { CLIENT_ID: "taken" });
  const cases: [env: Env, says: string][] = [
    [{ CLIENT_KEY: "" }, "the broker requires a key: set CLIENT_KEY"],
    [{ CLIENT_KEY: "wrong" }, "the broker rejected the key (CLIENT_KEY)"],
    [{ SERVER_URL: `${broker.origin.replace("http", "ws")}/api/llm/v1/models` }, "must end in /api/llm/connect"],
    [{ SERVER_URL: `${broker.origin.replace("http", "ws")}/elsewhere` }, "no broker at this address (404)"],
    [{ CLIENT_ID: "taken" }, "another agent is connected under this ID"],
  ];
  for (const [env, says] of cases) {
    const agent = processes.start(
      "nfrx-llm",
      { SERVER_URL: broker.connectUrl(), CLIENT_KEY, COMPLETION_BASE_URL: backend.url, ...env },
      ["--reconnect"],
    );
    const refused = await agent.line(({ msg }) => msg === "rejected by the broker", `a refusal: ${says}`);
    expect(String(refused["reason"])).toContain(says);
    expect(refused.level).toBe("error");
    expect(Number(refused["retry_in_ms"])).toBeGreaterThanOrEqual(240_000);
    expect(refusals(agent)).toHaveLength(1);
    agent.signal("SIGTERM");
    expect(await agent.ended).toEqual({ code: 0, signal: null });
    expect(agent.lines.filter(({ msg }) => msg === "connected" || msg === "disconnected")).toEqual([]);
  }
  expect((await broker.chat()).status).toBe(200);
});

test("an agent that is refused and is not to come back ends with 1", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  const backend = await processes.backend();
  const agent = processes.start("nfrx-llm", {
    SERVER_URL: broker.connectUrl(),
    CLIENT_KEY: "wrong",
    COMPLETION_BASE_URL: backend.url,
    RECONNECT: "false",
  });
  expect((await agent.ended).code).toBe(1);
});

test("an agent that dials what never answers, or waits for such a backend, ends at once when told to", async () => {
  await using processes = new Processes();
  const hole = createServer(socket => socket.on("error", () => {}));
  await new Promise<void>(resolve => hole.listen(0, "127.0.0.1", resolve));
  const address = hole.address();
  const port = typeof address === "object" ? address?.port : undefined;
  const dialled = new Promise<void>(resolve => hole.on("connection", () => resolve()));
  try {
    const backend = await processes.backend();
    const agent = processes.start(
      "nfrx-llm",
      { SERVER_URL: `ws://127.0.0.1:${port}/api/llm/connect`, CLIENT_KEY, COMPLETION_BASE_URL: backend.url },
      ["--reconnect"],
    );
    await dialled;
    agent.signal("SIGTERM");
    // Its own limits are ten seconds and more.
    expect(await until(agent.ended, "the end", 5_000)).toEqual({ code: 0, signal: null });

    const reached = new Promise<void>(resolve => hole.on("connection", () => resolve()));
    const waiting = processes.start(
      "nfrx-llm",
      {
        SERVER_URL: `ws://127.0.0.1:${port}/api/llm/connect`,
        CLIENT_KEY,
        COMPLETION_BASE_URL: `http://127.0.0.1:${port}/v1`,
      },
      ["--reconnect"],
    );
    await reached;
    waiting.signal("SIGTERM");
    expect(await until(waiting.ended, "the end", 5_000)).toEqual({ code: 0, signal: null });
  } finally {
    hole.close();
  }
});
