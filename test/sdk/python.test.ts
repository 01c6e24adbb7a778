// The official SDK for Python: python_sdk.py holds what is expected of it, this side holds the world that it meets.
import { expect, test } from "bun:test";
import { API_KEY } from "../kit/world.ts";
import { startStory } from "./story.ts";

const named = process.env["NFRX_PYTHON"];
const python = named ?? "python3";
const script = new URL("python_sdk.py", import.meta.url).pathname;

function hasSdk(): boolean {
  try {
    return Bun.spawnSync([python, "-c", "import openai"], { stdout: "ignore", stderr: "ignore" }).success;
  } catch {
    return false;
  }
}

// A named interpreter must do, and so must any on the machine that checks everything.
const required = named !== undefined || process.env["CI"] === "true";

test.skipIf(!required && !hasSdk())(
  "the official Python SDK",
  async () => {
    await using story = await startStory();
    const deeds: Record<string, () => void | Promise<void>> = {
      words: () => story.words.release(3),
      aborted: () => story.odd.aborted(1),
      cut: () => story.words.open(),
    };
    const child = Bun.spawn([python, script, story.world.url, API_KEY], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    });
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
    expect(await story.world.leftovers()).toEqual({});
  },
  60_000,
);
