// The official SDK for Python: python_sdk.py holds what is expected of it, this side holds the world that it meets.
import { expect, test } from "bun:test";
import { API_KEY } from "../kit/world.ts";
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
