// By which name the one executable is called, and which program that makes it.
import { describe, expect, test } from "bun:test";
import { calledAs, PROGRAMS } from "../../../cmd/called.ts";
import { programs } from "../../../cmd/programs.ts";

test("the names are those of the programs", () => {
  const names: readonly string[] = PROGRAMS;
  expect(programs.map(({ name }) => name).sort()).toEqual([...names].sort());
});

describe("a call", () => {
  test.each([
    ["nfrx", ["demo"], "nfrx", ["demo"]],
    ["/usr/bin/nfrx-llm", ["--reconnect"], "nfrx-llm", ["--reconnect"]],
    ["./nfrx-mcp", [], "nfrx-mcp", []],
    ["C:\\Program Files\\nfrx\\nfrx-asr.exe", ["-r"], "nfrx-asr", ["-r"]],
    ["nfrx-docling.EXE", [], "nfrx-docling", []],
    // As something else it is what its first argument names, else the broker.
    ["nfrx", ["nfrx-llm", "--help"], "nfrx-llm", ["--help"]],
    ["nfrx", ["nfrx", "--help"], "nfrx", ["--help"]],
    ["nfrx_linux_x64", ["nfrx-mcp"], "nfrx-mcp", []],
    ["nfrx_linux_x64", ["--port", "1"], "nfrx", ["--port", "1"]],
    // An agent is never another one.
    ["nfrx-llm", ["nfrx-mcp"], "nfrx-llm", ["nfrx-mcp"]],
    // Only the name itself counts.
    ["nfrx-llm-old", [], "nfrx", []],
    ["", [], "nfrx", []],
  ] as const)("as %s with %j is %s with %j", (argv0, args, name, rest) => {
    expect(calledAs(argv0, args)).toEqual({ name, args: [...rest] });
  });
});
