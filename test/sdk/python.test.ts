// The official SDK for Python: python_sdk.py holds what is expected of it, this side holds the world that it meets.
import { expect, test } from "bun:test";
import { responseStream } from "../../src/modules/streams/response.ts";
import { bytes, chatJson, chatStream, cut, type Respond, status } from "../kit/backend-answers.ts";
import { Gate } from "../kit/gate.ts";
import { otherApis } from "../kit/other-apis.ts";
import { API_KEY, World } from "../kit/world.ts";
import { startStory } from "./story.ts";

const named = process.env["NFRX_PYTHON"];
const python = named ?? "python3";

function hasSdk(): boolean {
  try {
    return Bun.spawnSync([python, "-c", "import openai"], { stdout: "ignore", stderr: "ignore" }).success;
  } catch {
    return false;
  }
}

const TEXT = "It rains.";
const WORDS = ["It ", "rains."];
const RESPONSE = {
  id: "resp_1",
  object: "response",
  created_at: 1,
  status: "completed",
  model: "test-model",
  output: [
    {
      id: "msg_1",
      type: "message",
      role: "assistant",
      status: "completed",
      content: [{ type: "output_text", text: TEXT, annotations: [] }],
    },
  ],
  parallel_tool_calls: true,
  tool_choice: "auto",
  tools: [],
};

/** What each API's backend streams. */
const streamed: Respond = (request, recorded) => {
  if (recorded.path.endsWith("/chat/completions")) return chatStream(WORDS)(request, recorded);
  if (!recorded.path.endsWith("/responses")) return otherApis(WORDS)(request, recorded);
  const text = responseStream.toEvents?.({ contentType: "application/json", text: JSON.stringify(RESPONSE) }) ?? "";
  return bytes([text], { "content-type": "text/event-stream" })(request, recorded);
};

/** What it answers when it does not stream. */
const whole: Respond = (request, recorded) => {
  if (recorded.path.endsWith("/chat/completions")) return chatJson(TEXT)(request, recorded);
  if (recorded.path.endsWith("/responses")) return status(200, RESPONSE)(request, recorded);
  const content = [{ type: "text", text: TEXT }];
  const usage = { input_tokens: 1, output_tokens: 2 };
  const said = { id: "msg_1", type: "message", role: "assistant", model: "test-model", content, usage };
  return status(200, { ...said, stop_reason: "end_turn", stop_sequence: null })(request, recorded);
};

// A named interpreter must do, and so must any on the machine that checks everything.
const required = named !== undefined || process.env["CI"] === "true";

type Deeds = Readonly<Record<string, () => void | Promise<void>>>;

/** Runs a script, does what it asks for by a word on a line, and expects it to say that all is good. */
async function expectGood(script: string, args: readonly string[], deeds: Deeds): Promise<void> {
  const path = new URL(script, import.meta.url).pathname;
  const child = Bun.spawn([python, path, ...args], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  const complaint = new Response(child.stderr).text();
  const decoder = new TextDecoder();
  let output = "";
  let rest = "";
  for await (const bytes of child.stdout) {
    const text = decoder.decode(bytes, { stream: true });
    output += text;
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      const deed = deeds[line];
      if (deed === undefined) continue;
      await deed();
      child.stdin.write("done\n");
      child.stdin.flush();
    }
  }
  const code = await child.exited;
  expect(`${output}${await complaint}`).toEndWith("all good\n");
  expect(code).toBe(0);
}

test.skipIf(!required && !hasSdk())(
  "the official Python SDK",
  async () => {
    await using story = await startStory();
    await expectGood("python_sdk.py", [story.world.url, API_KEY], {
      words: () => story.words.release(3),
      aborted: () => story.odd.aborted(1),
      cut: () => story.words.open(),
    });
    expect(await story.world.leftovers()).toEqual({});
  },
  60_000,
);

test.skipIf(!required && !hasSdk())(
  "official Python SDKs whose streams wait in the queue",
  async () => {
    await using world = new World();
    const { backend } = await world.worker({ maxConcurrency: 1 });
    let held: Promise<unknown> = Promise.resolve();
    /** Takes the worker, and lets the one that waits behind have it, whom the backend answers with `next`. */
    const behind = (next: Respond) => async (): Promise<void> => {
      await held;
      const gate = new Gate();
      backend.respond = bytes(["{}"], {}, 200, gate);
      const before = backend.requests.length;
      const first = world.chat();
      await backend.arrived(before + 1);
      held = (async () => {
        await world.when(() => world.pool.waiting === 1, "one waits");
        backend.respond = next;
        gate.open();
        await (await first).text();
      })();
    };
    const ndjson = { "content-type": "application/x-ndjson" };
    const line = '{"model":"test-model","message":{"role":"assistant","content":"It"},"done":false}\n';
    const words = new Gate();
    await expectGood("python_events.py", [world.origin, API_KEY], {
      stream: behind(streamed),
      whole: behind(whole),
      refused: behind(status(400, { error: { message: "too long", code: "context_length_exceeded" } })),
      cut: behind((request, recorded) => {
        words.open();
        return cut(line, { headers: ndjson, gate: words })(request, recorded);
      }),
    });
    await held;
    expect(await world.leftovers()).toEqual({});
  },
  60_000,
);
