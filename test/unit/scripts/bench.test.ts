import { expect, test } from "bun:test";
import { join } from "node:path";

const main = join(import.meta.dir, "..", "..", "..", "bench", "main.ts");

test("without wrk the bench says how to install it, and starts nothing", async () => {
  const bench = Bun.spawn([process.execPath, main, "--only", "chat,sse"], {
    env: { ...process.env, PATH: "" },
    stderr: "pipe",
  });
  expect(await bench.exited).toBe(2);
  const said = await bench.stderr.text();
  expect(said).toContain("requests of chat.");
  expect(said).toContain("apt-get install wrk");
});
