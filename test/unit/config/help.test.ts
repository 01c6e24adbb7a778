import { expect, test } from "bun:test";
import { nfrx, nfrxLlm, programs } from "../../../cmd/programs.ts";
import { commands, isCommand } from "../../../src/broker/cli/run.ts";
import { bashCompletion, fishCompletion, zshCompletion } from "../../../src/config/completion.ts";
import { load } from "../../../src/config/load.ts";
import { manPage } from "../../../src/config/man.ts";
import { catalogOf, type Program } from "../../../src/config/program.ts";
import { host, mistakesOf } from "./host.ts";

const printed = (program: Program, ...argv: string[]) => {
  const loaded = load(program, host({ argv }));
  return loaded.kind === "print" ? loaded.text : "";
};

test("--version says name, version, commit and date", () => {
  for (const program of programs) {
    const line = `${program.name} version=0.1.0-dev sha=unknown date=unknown\n`;
    expect(printed(program, "--version")).toBe(line);
    expect(printed(program, "--help")).toStartWith(line);
    expect(printed(program, "-h")).toStartWith(line);
  }
});

test("--help all names every option, its variable and its key", () => {
  for (const program of programs) {
    const help = printed(program, "--help", "all").replace(/\s+/g, " ");
    for (const { env, flag, yaml } of catalogOf(program).options) {
      expect(help).toContain(`--${flag}`);
      expect(help).toContain(env);
      expect(help).toContain(`YAML: ${yaml[0]}.`);
    }
  }
});

test("the operators' commands are in the help, the manual page and the completions of the broker, and only there", () => {
  const pages = (program: Program) => [
    printed(program, "--help").replace(/\s+/g, " "),
    printed(program, "--help", "all"),
    manPage(program, programs).replace(/\\f[BIR]/g, ""),
    bashCompletion(program),
    zshCompletion(program),
    fishCompletion(program),
  ];
  expect(commands.length).toBeGreaterThan(10);
  for (const page of pages(nfrx))
    for (const { words } of commands)
      for (const word of words.split(" ")) expect(page).toMatch(new RegExp(`\\b${word}\\b`));
  for (const page of pages(nfrxLlm)) expect(page).not.toMatch(/\brevoke\b|\bundrain\b/);
  expect(mistakesOf(nfrx, { argv: ["audti"] })[0]).toContain("did you mean audit?");
});

test("`nfrx worker` runs a plugin's agent unless an operator's command is named in full", () => {
  const cases: [line: string, operator: boolean][] = [
    ["worker drain llm gpu-1", true],
    ["worker disconnect", true],
    ["worker --plugin drain", false],
    ["worker --help", false],
    ["worker doctor", false],
    ["worker", false],
    ["key", true],
    ["key ad", true],
    ["usage --csv", true],
    ["--port 1", false],
    ["init", false],
  ];
  for (const [line, operator] of cases) expect([line, isCommand(line.split(" "))]).toEqual([line, operator]);
});

test("--help works beside mistakes and shows no value of this run", () => {
  const loaded = load(
    nfrx,
    host({ argv: ["--nonsense", "--help"], env: { API_KEY: "hunter2", PORT: "x" }, file: "{" }),
  );
  expect(loaded).toMatchObject({ kind: "print", exitCode: 0 });
  expect(JSON.stringify(loaded)).not.toContain("hunter2");
});

test("--help-plugins lists the options of the modules, at the broker only", () => {
  const help = printed(nfrx, "--help-plugins");
  expect(help).toContain("--mcp-max-req-bytes");
  expect(help).toContain("--llm-queue-size");
  expect(help).toContain("--asr-min-score");
  expect(help).not.toContain("--api-key");
  expect(mistakesOf(nfrxLlm, { argv: ["--help-plugins"] })[0]).toStartWith("unknown flag --help-plugins");
});

test("flags are the variables in kebab case, and those of the relays begin with mcp", () => {
  for (const { env, flag } of programs.flatMap(program => catalogOf(program).options)) {
    expect(`--${flag}`).toBe(
      `--${env
        .replace(/^BROKER_/, "MCP_")
        .toLowerCase()
        .replaceAll("_", "-")}`,
    );
  }
});

test("help and version are understood however they are asked for", () => {
  for (const program of programs) {
    const [help, version] = [printed(program, "--help"), printed(program, "--version")];
    for (const asked of [["-h"], ["help"], ["doctor", "--help"]]) expect(printed(program, ...asked)).toBe(help);
    for (const asked of [["-v"], ["version"], ["doctor", "-v"]]) expect(printed(program, ...asked)).toBe(version);
    expect(printed(program, "help", "all")).toBe(printed(program, "--help", "all"));
    expect(printed(program, "--help=all")).toBe(printed(program, "--help", "all"));
  }
});

test("--help fits on a screen, and names the groups whose options it shows", () => {
  for (const program of programs) {
    const lines = printed(program, "--help").trimEnd().split("\n");
    expect(lines.length).toBeLessThanOrEqual(32);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(120);
    for (const [name, { shape }] of Object.entries(program.groups)) {
      expect(lines.join("\n")).toContain(`\n  ${name} `);
      const page = printed(program, "--help", name);
      for (const { flag } of Object.values(shape)) expect(page).toContain(`--${flag}`);
    }
  }
});

test("init --help is a page of its own", () => {
  const page = printed(nfrx, "init", "--help");
  expect(page).toContain("Usage: nfrx init");
  expect(page).toContain("api_key, client_key");
  expect(page).not.toContain("Commands:");
});
