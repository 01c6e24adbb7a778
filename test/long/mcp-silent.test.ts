// A tool that says nothing for longer than any timer on the way. It takes minutes: `npm run test:long`, and with NFRX_DIST=dist from the built programs.
import { expect, test } from "bun:test";
import { bytes } from "../kit/backend/backend.ts";
import { toolsCommand } from "../kit/mcp/command.ts";
import { Roll } from "../kit/mcp/roll.ts";
import { McpSession, textOf } from "../kit/mcp/session.ts";
import { answerTo, event, HttpTools } from "../kit/mcp/tools-http.ts";
import { Processes, troubles } from "../kit/processes.ts";
import { Gate } from "../kit/time/gate.ts";

const SILENT_S = 400;
const WAIT_MS = (SILENT_S + 60) * 1000;

test(
  `tools that are silent for ${SILENT_S} s: in JSON before the head, as events after it, and of a program`,
  async () => {
    const gate = new Gate();
    await using roll = await Roll.start();
    await using tools = await HttpTools.start({
      events: call => bytes([event(answerTo(call, "at last"))], { "content-type": "text/event-stream" }, 200, gate),
    });
    await using processes = new Processes();
    const broker = await processes.broker();
    await processes.relay(broker, { http: tools.url }, { CLIENT_ID: "http" });
    await processes.relay(broker, toolsCommand(roll), { CLIENT_ID: "stdio" });
    const atHttp = await McpSession.open(broker.relayUrl("http"));
    const atStdio = await McpSession.open(broker.relayUrl("stdio"));
    const ms = SILENT_S * 1000;
    const asked = [atHttp.call("silent"), atHttp.call("events"), atStdio.call("later", { ms })];
    const listeners = [atHttp.listen(), atStdio.listen()];
    await tools.called("silent", 1);
    await tools.called("events", 1);
    const later = setTimeout(() => {
      gate.open();
      tools.gate.open();
    }, ms);
    try {
      const answers = await Promise.all(asked.map(one => one.answer(WAIT_MS)));
      expect(answers.map(textOf)).toEqual(["at last", "at last", `later by ${ms}`]);
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
    } finally {
      clearTimeout(later);
    }
    // Nothing was sent twice, and who listened still does.
    expect(tools.calls("silent")).toHaveLength(1);
    expect(tools.calls("events")).toHaveLength(1);
    expect((await broker.state(({ listeners }) => listeners === 2, "both listen")).listeners).toBe(2);
    for (const listener of listeners) listener.abort();
    await broker.quiet();
    expect(troubles(processes)).toEqual([]);
  },
  WAIT_MS + 60_000,
);
