// Looking at /metrics costs the broker little, however many look.
import { expect, test } from "bun:test";
import { Processes } from "../kit/processes.ts";

test("those who look at once share one writing, and it is not compressed", async () => {
  await using processes = new Processes();
  const { origin } = await processes.broker();
  const look = async (): Promise<string> => {
    const response = await fetch(`${origin}/metrics`, { headers: { "accept-encoding": "gzip, br" } });
    expect(response.headers.get("content-encoding")).toBeNull();
    return await response.text();
  };
  const first = await look();
  const together = await Promise.all(Array.from({ length: 40 }, look));
  // The processor's time is in it, which is another at each writing.
  expect(new Set(together).size).toBe(1);
  expect(together).not.toContain(first);
});
