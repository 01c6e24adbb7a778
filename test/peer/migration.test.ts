// The move from the 0.9 series as doc/migration.md describes it, with that series' own programs (NFRX_PEER) and with the
// samples and the page of options that come with it (NFRX_PEER_SAMPLES, its repository).
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Glob } from "bun";
import { parse } from "yaml";
import { z } from "zod";
import { programs } from "../../cmd/programs.ts";
import { ConfigError } from "../../src/config/error.ts";
import { load } from "../../src/config/load.ts";
import { catalogOf, type Program } from "../../src/config/program.ts";
import { status, type TestBackend } from "../kit/backend/backend.ts";
import { call } from "../kit/http/call.ts";
import { type Form, form, model, recording } from "../kit/http/form.ts";
import { AUTHORIZED } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";
import { freePort, OldProgram, startOldBroker, withPeer } from "./old.ts";

const samples = process.env["NFRX_PEER_SAMPLES"] ?? "";
const withSamples = test.skipIf(samples === "");

/** YAML keys that are refused, and what the refusal names instead. */
const REFUSED: Record<string, string> = { max_parallel_embeddings: "plugin_options.llm.max_parallel_embeddings" };
/** Variables of samples that neither series reads. */
const UNREAD = ["LISTEN_ADDR"];

const programOf = (name: string): Program => programs.find(program => program.name === name) ?? programs[0]!;
/** The program that a sample is for, by the name of the file. */
function readerOf(path: string): Program {
  const word = /(server|worker|asr|docling|mcp)\.(?:env|yaml)/.exec(path)?.[1] ?? "";
  return programs.find(({ configFile }) => configFile === `${word}.yaml`)!;
}
const read = (path: string): string => readFileSync(join(samples, path), "utf8");
const found = (pattern: string): string[] => [...new Glob(pattern).scanSync({ cwd: samples })].sort();

/** What is wrong with what a program is told, a sentence each. */
function mistakesOf(
  program: Program,
  told: { argv?: string[]; env?: Record<string, string>; file?: string },
): string[] {
  const { argv = [], env = {}, file } = told;
  const missing = Object.assign(new Error("no such file"), { code: "ENOENT" });
  const readFile = (): string => {
    if (file === undefined) throw missing;
    return file;
  };
  try {
    load(program, { argv, env, platform: "linux", readFile });
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.mistakes.map(({ text }) => text);
    throw error;
  }
}

/** Lines that are commented out come in; prose stays out. */
const uncommented = (text: string): string => text.replace(/^# *(?=[A-Z_]+=|[a-z_]+: )/gm, "");

function variablesOf(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/^([A-Z_]+)=(.*)$/gm)].map(([, name, value]) => [name, value]));
}

function unknownVariables(program: Program, env: Record<string, string>): string[] {
  const known = catalogOf(program).options.flatMap(option => [option.env, ...option.aliases]);
  return Object.keys(env).filter(name => !known.includes(name));
}

withSamples("every YAML sample, as it is and with all of it in force", () => {
  const files = found("**/{server,worker,asr,docling,mcp}.yaml");
  expect(files.length).toBeGreaterThanOrEqual(3);
  const refused: string[] = [];
  for (const path of files) {
    expect(mistakesOf(readerOf(path), { file: read(path) })).toEqual([]);
    refused.push(...mistakesOf(readerOf(path), { file: uncommented(read(path)) }));
  }
  const expected = Object.entries(REFUSED).map(([key, instead]) =>
    expect.stringMatching(new RegExp(`unknown key "${key}"; did you mean ${instead}\\?$`)),
  );
  expect(refused).toEqual(expected);
});

withSamples("every sample of variables, as it is and with all of it in force", () => {
  const files = found("**/{server,worker,asr,docling,mcp}.env*");
  expect(files.length).toBeGreaterThanOrEqual(5);
  const unread = new Set<string>();
  for (const path of files) {
    for (const text of [read(path), uncommented(read(path))]) {
      const env = variablesOf(text);
      expect(mistakesOf(readerOf(path), { env })).toEqual([]);
      for (const name of unknownVariables(readerOf(path), env)) unread.add(name);
    }
  }
  expect([...unread]).toEqual(UNREAD);
});

const composed = z.looseObject({
  services: z.record(
    z.string(),
    z.looseObject({
      image: z.string().default(""),
      environment: z.record(z.string(), z.coerce.string()).default({}),
      command: z.union([z.string(), z.array(z.string())]).default([]),
    }),
  ),
});

withSamples("every service of the compose samples", () => {
  let services = 0;
  for (const path of found("**/docker-compose.y*ml")) {
    const file = composed.parse(parse(read(path), { merge: true }));
    for (const { image, environment, command } of Object.values(file.services)) {
      const name = /\/(nfrx[a-z-]*)(?::|$)/.exec(image)?.[1];
      if (name === undefined) continue;
      services++;
      expect(mistakesOf(programOf(name), { env: environment, argv: [command].flat() })).toEqual([]);
      // All services of a file are told the keys of all.
      const others = programs.flatMap(program => catalogOf(program).options.map(option => option.env));
      expect(unknownVariables(programOf(name), environment).filter(key => !others.includes(key))).toEqual([]);
    }
  }
  expect(services).toBeGreaterThanOrEqual(4);
});

withSamples("every option on the page of options: variable, key and flag", () => {
  let program: Program | undefined;
  let options = 0;
  const strange: string[] = [];
  for (const line of read("doc/env.md").split("\n")) {
    const heading = /^## (?:(nfrx[a-z-]*)|Common)/.exec(line);
    if (heading) program = programOf(heading[1] ?? "nfrx");
    const [variable, key, ...rest] = [...line.matchAll(/`([^`]*)`/g)].map(([, word = ""]) => word);
    if (!line.startsWith("| `") || program === undefined || variable === "CONFIG_FILE") continue;
    options++;
    const { flags, keys } = catalogOf(program);
    strange.push(...unknownVariables(program, { [variable ?? ""]: "" }).map(name => `${program?.name} ${name}`));
    const named = line.split("|")[2]?.trim() !== "—" ? key : undefined;
    const taken = mistakesOf(program, { file: `${named}:` }).length === 0;
    if (named !== undefined && !keys.has(named) && !taken) strange.push(`${program.name} ${named}`);
    const flag = rest.findLast(word => word.startsWith("--"))?.slice(2);
    if (flag !== undefined && !flags.has(flag)) strange.push(`${program.name} --${flag}`);
  }
  expect(options).toBeGreaterThan(60);
  expect(strange).toEqual([]);
});

withPeer("every flag that the old programs list is one of ours", () => {
  const strange = programs.flatMap(program => {
    const { stdout, stderr } = Bun.spawnSync([join(process.env["NFRX_PEER"] ?? "", program.name), "--help"]);
    const listed = [...`${stdout}${stderr}`.matchAll(/^ {2}-([a-z-]+)/gm)].map(([, flag = ""]) => flag);
    expect(listed.length).toBeGreaterThan(10);
    const { flags, shorts } = catalogOf(program);
    const built = ["config", "version", "help-plugins"];
    return listed.filter(flag => !flags.has(flag) && !shorts.has(flag) && !built.includes(flag));
  });
  expect(strange).toEqual([]);
});

/** What each module of the fleet is asked, and what comes back. */
const json = (value: object): Form => ({ type: "application/json", body: Buffer.from(JSON.stringify(value)) });
const ASKED = [
  { path: "/api/llm/v1/chat/completions", ...json({ model: "test-model", messages: [] }), says: "Hello world" },
  { path: "/api/asr/v1/audio/transcriptions", ...form([model(), recording(1_000)]), says: "heard" },
  { path: "/api/docling/v1/convert/source", ...json({ sources: [] }), says: "converted" },
  { path: "/api/mcp/id/tools", ...json({ jsonrpc: "2.0", id: 1, method: "tools/list" }), says: "listed" },
];
const MODULES = ["llm", "asr", "docling", "mcp"] as const;

withPeer(
  "a fleet: the broker is replaced under its agents, then each agent under the broker",
  async () => {
    await using processes = new Processes();
    const port = freePort();
    const origin = `http://127.0.0.1:${port}`;
    const [llm, asr, docling, provider] = await Promise.all([
      processes.backend(),
      processes.backend({ respond: status(200, { text: "heard" }) }),
      processes.backend({ respond: status(200, { document: "converted" }) }),
      processes.backend({ respond: status(200, { jsonrpc: "2.0", id: 1, result: { tools: "listed" } }) }),
    ]);
    const connect = (module: string): Record<string, string> => ({
      SERVER_URL: `ws://127.0.0.1:${port}/api/${module}/connect`,
      CLIENT_KEY,
      CLIENT_NAME: module,
      RECONNECT: "true",
    });
    const fleet = {
      llm: { ...connect("llm"), COMPLETION_BASE_URL: llm.url, CLIENT_ID: "gpu", DRAIN_TIMEOUT: "10s" },
      asr: { ...connect("asr"), ASR_BASE_URL: asr.url, CLIENT_ID: "ears" },
      docling: { ...connect("docling"), DOC_BASE_URL: docling.origin, CLIENT_ID: "papers" },
      mcp: { ...connect("mcp"), PROVIDER_URL: `${provider.origin}/mcp`, CLIENT_ID: "tools", REQUEST_TIMEOUT: "30" },
    };
    const serves = async (backends: TestBackend[]): Promise<void> => {
      for (const { path, type, body, says } of ASKED) {
        const headers = {
          ...AUTHORIZED,
          "content-type": type,
          accept: "application/json, text/event-stream",
        };
        const answer = await call(origin + path, { headers, body });
        expect([path, answer.status, answer.body.toString()]).toEqual([path, 200, expect.stringContaining(says)]);
      }
      for (const { requests } of backends) expect(requests).not.toBeEmpty();
    };

    const broker = await startOldBroker(port);
    const agents = MODULES.map(module => new OldProgram(`nfrx-${module}`, fleet[module]));
    try {
      await broker.logs("registered", 3);
      await agents.at(-1)?.logs("connected to server");
      await serves([llm, asr, docling, provider]);

      // The broker, with the same variables. The agents are left alone and come back.
      await broker[Symbol.asyncDispose]();
      const ours = await processes.broker({ PORT: String(port), METRICS_PORT: String(port), API_KEY, CLIENT_KEY });
      const registered = (module: string, from = 0): Promise<unknown> =>
        ours.line(
          line => line.msg === "worker registered" && line["worker_name"] === module,
          `has ${module}`,
          30_000,
          from,
        );
      await Promise.all(Object.keys(fleet).map(module => registered(module)));
      await serves([]);

      // Each agent, with the same variables.
      for (const [index, module] of MODULES.entries()) {
        const { mark } = ours;
        agents[index]?.terminate();
        await agents[index]?.exited;
        processes.start(`nfrx-${module}`, fleet[module]);
        await registered(module, mark);
        await serves([]);
      }
    } finally {
      await Promise.all(agents.map(agent => agent[Symbol.asyncDispose]()));
      await broker[Symbol.asyncDispose]();
    }
  },
  120_000,
);
