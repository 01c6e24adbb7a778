// The built programs in NFRX_DIST (default dist, see `npm run build`): each is the one it says it is and stands alone.
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const root = join(import.meta.dir, "..", "..");
const dist = resolve(root, process.env["NFRX_DIST"] || "dist");
const programs = [
  { name: "nfrx", option: "--port" },
  { name: "nfrx-llm", option: "--server-url" },
  { name: "nfrx-mcp", option: "--server-url" },
  { name: "nfrx-asr", option: "--server-url" },
  { name: "nfrx-docling", option: "--server-url" },
];

const fileOf = (name: string) => join(dist, process.platform === "win32" ? `${name}.exe` : name);

/** Runs a program outside the repository and without our environment, as on a user's machine. */
function run(name: string, ...args: string[]) {
  return runFile(fileOf(name), ...args);
}

function runFile(file: string, ...args: string[]) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([file, ...args], {
    cwd: resolve("/"),
    env: { PATH: process.env["PATH"] ?? "" },
    timeout: 10_000,
  });
  return { exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

describe.each(programs)("$name", ({ name, option }) => {
  const line = new RegExp(
    `^${name} version=\\d+\\.\\d+\\.\\d+\\S* sha=\\S+ date=\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$`,
  );

  test("--version says name, version, sha and date, and nothing else", () => {
    const { exitCode, stdout, stderr } = run(name, "--version");
    expect(stdout.trimEnd()).toMatch(line);
    expect(stderr).toBe("");
    expect(exitCode).toBe(0);
  });

  test("--help all starts with that line and names the options", () => {
    const { exitCode, stdout } = run(name, "--help", "all");
    expect(stdout.split("\n")[0]).toMatch(line);
    expect(stdout).toContain(option);
    expect(exitCode).toBe(0);
  });

  test("an unknown flag ends it with 2 and is named", () => {
    const { exitCode, stderr } = run(name, "--no-such-flag");
    expect(stderr).toContain("no-such-flag");
    expect(exitCode).toBe(2);
  });

  test("knows nothing of the folder that it was built in", async () => {
    const bytes = Buffer.from(await Bun.file(fileOf(name)).arrayBuffer());
    // With a folder of ours behind it, or a short path would be found in Bun's own code; one and two bytes a character.
    const found = ["src", "cmd", "node_modules"]
      .map(folder => join(root, folder))
      .filter(path => bytes.includes(path) || bytes.includes(Buffer.from(path, "utf16le")));
    expect(found).toEqual([]);
  });
});

describe("one executable", () => {
  test("is all five programs", () => {
    expect(new Set(programs.map(({ name }) => statSync(fileOf(name)).ino)).size).toBe(1);
  });

  test("is the program that its first argument names, as where it cannot be linked", () => {
    const { stdout, exitCode } = run("nfrx", "nfrx-llm", "--help");
    expect(stdout).toContain("--completion-base-url");
    expect(exitCode).toBe(0);
    expect(run("nfrx", "nfrx-llm", "--no-such-flag").stderr).toStartWith("nfrx-llm: ");
  });

  // An agent starts itself over, to be allowed more fetches at once.
  const nobody = ["--server-url=http://127.0.0.1:1", "--doc-base-url=http://127.0.0.1:1"];

  test("keeps its name when it starts itself over, also through a symbolic link and as an argument", () => {
    const folder = mkdtempSync(join(tmpdir(), "nfrx-test-"));
    try {
      const link = join(folder, "nfrx-docling");
      symlinkSync(fileOf("nfrx"), link);
      for (const call of [[link], [fileOf("nfrx-docling")], [fileOf("nfrx"), "nfrx-docling"]]) {
        const [file = "", ...args] = call;
        const { exitCode, stderr } = runFile(file, ...args, ...nobody);
        const lines = stderr.trim().split("\n");
        expect(lines.map(line => JSON.parse(line).app)).toEqual(lines.map(() => "nfrx-docling"));
        expect(stderr).toContain("the agent exits");
        expect(exitCode).toBe(1);
      }
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
