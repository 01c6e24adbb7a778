import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogFile } from "../../../src/lib/log-file.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "nfrx-test-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a log file is rotated at its limit, and only so many are kept", () => {
  const read = (name: string): string => readFileSync(join(folder, name), "utf8");
  let file = new LogFile(folder, "nfrx-llm", 10, 2);
  for (const line of ["one--\n", "two--\n", "three\n"]) expect(file.write(Buffer.from(line))).toBe(6);
  // A new process goes on with the file that is there.
  file = new LogFile(folder, "nfrx-llm", 10, 2);
  file.write(Buffer.from("4\n"));
  file.write(Buffer.from("a line longer than the limit\n"));
  expect(readdirSync(folder).sort()).toEqual(["nfrx-llm.log", "nfrx-llm.log.1", "nfrx-llm.log.2"]);
  expect(read("nfrx-llm.log")).toBe("a line longer than the limit\n");
  expect(read("nfrx-llm.log.1")).toBe("three\n4\n");
  expect(read("nfrx-llm.log.2")).toBe("two--\n");
});
