import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { nfrx, nfrxLlm, nfrxMcp, programs } from "../../../cmd/programs.ts";
import { load } from "../../../src/config/load.ts";
import type { Groups, Program } from "../../../src/config/program.ts";
import { forbidden, host, mistakesOf, valuesOf } from "./host.ts";

function init<G extends Groups, C extends string>(program: Program<G, C>, ...argv: string[]) {
  const loaded = load(program, host({ argv: ["init", ...argv] }));
  if (loaded.kind !== "init") throw new Error(`it is a ${loaded.kind}`);
  return loaded;
}

test("a broker gets fresh keys, another time others", () => {
  const [one, other] = [init(nfrx).values.broker, init(nfrx).values.broker];
  const keys = [one, other].flatMap(({ apiKey, clientKey, adminKey }) => [apiKey, clientKey, adminKey]);
  for (const key of keys) expect(key).toMatch(/^[\w-]{24}$/);
  expect(new Set(keys).size).toBe(6);
});

test("a relay gets a fresh token, unless it is given one", () => {
  const [one, other] = [init(nfrxMcp).values.provider.authToken, init(nfrxMcp).values.provider.authToken];
  expect(one).toMatch(/^[\w-]{24}$/);
  expect(other).not.toBe(one);
  expect(init(nfrxMcp, "--auth-token", "mine").values.provider.authToken).toBe("mine");
});

test("a path is written in full, and a word that stands for none as it is", () => {
  const { broker } = init(nfrx, "--jobs-store", "memory", "--keys-store", "k.db", "--control-socket", "none").values;
  expect([broker.jobsStore, broker.keysStore, broker.controlSocket]).toEqual(["memory", resolve("k.db"), "none"]);
});

test("what it is told goes into the file, and the file says that to whoever reads it", () => {
  const { path, text } = init(
    nfrx,
    "--port",
    "9000",
    "--llm-queue-size=7",
    "--api-key",
    "0x10",
    "--config",
    "/x/a.yaml",
  );
  expect(path).toBe("/x/a.yaml");
  const { broker, llm } = valuesOf(nfrx, { file: text });
  expect(broker).toMatchObject({ port: 9000, apiKey: "0x10" });
  expect(llm).toMatchObject({ queueSize: 7 });
});

test("the environment counts too, and the command line more", () => {
  const loaded = load(
    nfrxLlm,
    host({ argv: ["init", "--client-key", "b"], env: { CLIENT_KEY: "a", CLIENT_NAME: "ann" } }),
  );
  if (loaded.kind !== "init") throw new Error(loaded.kind);
  expect(loaded.values.agent).toMatchObject({ clientKey: "b", clientName: "ann", reconnect: true });
});

test("all that nobody set stands commented out, with its explanation", () => {
  for (const program of programs) {
    const { text } = init(program);
    const set = text.split("\n").filter(line => line !== "" && !line.startsWith("#"));
    expect(set.every(line => /^(api_key|client_key|admin_key|auth_token|reconnect): /.test(line))).toBeTrue();
    expect(text).toContain("#log_level: info");
  }
});

test("lists with commas and secrets with odd characters survive", () => {
  const { text } = init(nfrxMcp, "--mcp-stdio-args", '["--roots", "a,b"]', "--auth-token", 'a"b\\c #d');
  const { provider } = valuesOf(nfrxMcp, { file: text });
  expect(provider.stdioArgs).toEqual(["--roots", "a,b"]);
  expect(provider.authToken).toBe('a"b\\c #d');
});

test("values that do not parse are mistakes as ever, and a file that cannot be read is none", () => {
  expect(mistakesOf(nfrx, { argv: ["init", "--port", "x"] })).toHaveLength(1);
  expect(load(nfrx, host({ argv: ["init"], files: { "/etc/nfrx/server.yaml": forbidden } })).kind).toBe("init");
});

test("paths of plugin files are whole, so that the file means the same wherever the program starts", () => {
  const { values } = init(nfrx, "--plugins", "*,./rerank.ts,llm,/srv/tool.js");
  expect(values.broker.plugins).toEqual(["*", resolve("rerank.ts"), "llm", "/srv/tool.js"]);
});
