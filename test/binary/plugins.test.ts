// Plugin files and the built programs, from a folder that has nothing of the repository.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { until } from "../kit/time/until.ts";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";

const root = join(import.meta.dir, "..", "..");
const processes = new Processes({ dist: process.env["NFRX_DIST"] || "dist" });
const page = readFileSync(join(root, "doc/plugins.md"), "utf8");
const folder = join(processes.folder, "plugins");
const authorization = { authorization: `Bearer ${API_KEY}` };
let broker: BrokerProgram;
const servers: Bun.Server<undefined>[] = [];

beforeAll(async () => {
  mkdirSync(folder);
  for (const name of ["worker/rerank.ts", "relay/tool.ts"])
    cpSync(join(root, "examples/plugins", name), join(folder, name));
  cpSync(join(root, "test/kit/plugins"), folder, { recursive: true });
  writeFileSync(join(folder, "hello.ts"), /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? "");
  broker = await processes.broker({
    PLUGINS: `*,${folder}/worker/rerank.ts,${folder}/relay/tool.ts,${folder}/translate,${folder}/hello.ts`,
    JOBS_STORE: "memory",
    TOOL_GREETING: "good morning",
  });
});
afterAll(async () => {
  await Promise.all(servers.map(server => server.stop(true)));
  await processes[Symbol.asyncDispose]();
});

function serve(fetch: (request: Request) => Response | Promise<Response>): string {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch });
  servers.push(server);
  return server.url.origin;
}

/** An agent of a plugin, connected by the time this resolves. */
async function agent(plugin: string, id: string, env: Record<string, string>): Promise<void> {
  const mark = broker.mark;
  const wanted = { SERVER_URL: broker.origin, CLIENT_KEY, CLIENT_ID: id, ...env };
  processes.start("nfrx", wanted, ["worker", "--plugin", join(folder, plugin)]);
  await broker.line(
    line => line.msg === "worker registered" && line["worker_id"] === id,
    `registers ${id}`,
    30_000,
    mark,
  );
}

const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(broker.origin + path, { ...init, headers: { ...authorization, ...init.headers } });

test("the first example of the page greets", async () => {
  expect(await (await ask("/api/hello/greeting")).json()).toEqual({ hello: "world" });
  expect((await fetch(`${broker.origin}/api/hello/greeting`)).status).toBe(401);
  expect((await ask("/api/hello/")).status).toBe(200);
});

test("the example of a worker serves its requests", async () => {
  const url = serve(async request =>
    request.url.endsWith("/v1/models")
      ? Response.json({ data: [{ id: "bge" }] })
      : Response.json({ path: new URL(request.url).pathname, asked: await request.json() }),
  );
  await agent("worker/rerank.ts", "ranker", { RERANK_BASE_URL: `${url}/v1` });
  const body = { model: "bge", query: "rain", documents: ["sun", "rain"] };
  const answer = await ask("/api/rerank/v1/rerank", { method: "POST", body: JSON.stringify(body) });
  expect(await answer.json()).toEqual({ path: "/v1/rerank", asked: body });
  expect(await (await ask("/api/rerank/v1/models")).json()).toMatchObject({ data: [{ id: "bge" }] });
  const unknown = await ask("/api/rerank/v1/rerank", { method: "POST", body: JSON.stringify({ ...body, model: "x" }) });
  expect([unknown.status, await unknown.json()]).toMatchObject([404, { error: { code: "no_worker" } }]);
  const refused = await ask("/api/rerank/v1/rerank", { method: "POST", headers: { authorization: "" } });
  expect(refused.status).toBe(401);
});

test("the example of a relay passes everything on, as it came", async () => {
  const url = serve(async request => {
    const { pathname, search } = new URL(request.url);
    const { method, headers } = request;
    const seen = { method, path: pathname + search, tag: headers.get("x-tag"), key: headers.get("authorization") };
    return Response.json({ ...seen, body: await request.text() }, { status: 207, headers: { "x-tool": "yes" } });
  });
  const probed = serve(request =>
    request.method === "GET" && request.url.endsWith("/")
      ? new Response()
      : fetch(new Request(url + new URL(request.url).pathname + new URL(request.url).search, request)),
  );
  await agent("relay/tool.ts", "box", { TOOL_URL: probed });
  const answer = await ask("/api/tool/id/box/a%20b/c?d=%20", {
    method: "PATCH",
    body: "text",
    headers: { "x-tag": "t" },
  });
  expect(answer.status).toBe(207);
  expect(answer.headers.get("x-tool")).toBe("yes");
  expect(await answer.json()).toEqual({ method: "PATCH", path: "/a%20b/c?d=%20", tag: "t", key: null, body: "text" });
  expect((await ask("/api/tool/id/box/a%2Fb")).status).toBe(404);
  expect((await ask("/api/tool/id/nobody/x")).status).toBe(404);
  expect((await ask("/api/tool/v1/anything")).status).toBe(404);
});

const TRANSLATE_KEY = "the-key-of-the-service";

/** A translation service that wants a key. */
async function translations(request: Request): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  if (request.headers.get("authorization") !== `Bearer ${TRANSLATE_KEY}`)
    return Response.json({ error: "bad key" }, { status: 401 });
  if (pathname === "/v1/models") return Response.json({ data: [{ id: "en-fr" }] });
  if (pathname === "/v1/languages") return Response.json({ languages: ["en", "fr"], search });
  const asked = (await request.json()) as { text?: string; stream?: boolean };
  if (asked.text === undefined) return Response.json({ error: "text is missing" }, { status: 422 });
  if (asked.stream !== true) return Response.json({ text: "bonjour monde" });
  const words = ["bonjour", "monde"].map(word => `data: ${JSON.stringify({ word })}\n\n`);
  return new Response(`${words.join("")}data: [DONE]\n\n`, { headers: { "content-type": "text/event-stream" } });
}

test("a plugin of a newcomer's tells its whole story", async () => {
  await agent("translate", "translator", {
    TRANSLATE_BASE_URL: `${serve(translations)}/v1`,
    TRANSLATE_API_KEY: TRANSLATE_KEY,
  });
  expect(await (await ask("/api/translate/v1/models")).json()).toMatchObject({ data: [{ id: "en-fr" }] });
  const languages = await ask("/api/translate/v1/languages?of=a%20b");
  expect(await languages.json()).toEqual({ languages: ["en", "fr"], search: "?of=a%20b" });

  const translate = (body: object): Promise<Response> =>
    ask("/api/translate/v1/translate", { method: "POST", body: JSON.stringify({ model: "en-fr", ...body }) });
  expect(await (await translate({ text: "hello world" })).json()).toEqual({ text: "bonjour monde" });
  const missing = await translate({});
  expect([missing.status, await missing.json()]).toEqual([422, { error: "text is missing" }]);
  const stream = await translate({ text: "hello world", stream: true });
  expect(stream.headers.get("content-type")).toStartWith("text/event-stream");
  expect(await stream.text()).toEndWith('data: {"word":"bonjour"}\n\ndata: {"word":"monde"}\n\ndata: [DONE]\n\n');

  const look = (word: string): Promise<Response> => fetch(`${broker.origin}/api/translate/glossary/${word}`);
  expect(await (await look("hello")).json()).toEqual({ word: "hello", translation: "bonjour" });
  const unknown = await look("rain");
  expect([unknown.status, await unknown.json()]).toMatchObject([404, { error: { code: "not_found" } }]);

  const metrics = await (await fetch(`${broker.origin}/metrics`)).text();
  expect(metrics).toContain('\nnfrx_translate_lookups_total{result="miss"} 1\n');
  expect(metrics).toMatch(/\nnfrx_request_total{[^}]*job_type="translate.languages"[^}]*} 1\n/);
  expect(await (await ask("/api/state")).json()).toMatchObject({
    plugins: { translate: { own: { words: 2, max: 3, asked: 2 }, workers: [{ models: ["en-fr"] }] } },
  });
  expect(await (await ask("/api/state/view/translate.html")).text()).toBe(
    "<p>Glossary of 2 words, asked 2 times. <b>&#60;script&#62;</b></p>",
  );
});

test("doctor of a plugin's agent names the option of a key that the backend refuses", async () => {
  const run = processes.start(
    "nfrx",
    {
      SERVER_URL: broker.origin,
      CLIENT_KEY,
      TRANSLATE_BASE_URL: `${serve(translations)}/v1`,
      TRANSLATE_API_KEY: "wrong",
    },
    ["worker", "doctor", "--plugin", join(folder, "translate.ts")],
  );
  expect((await until(run.ended, "doctor", 30_000)).code).toBe(1);
  expect(run.strays.join("\n")).toMatch(/FAIL +backend .*rejects the key.*; set the key in TRANSLATE_API_KEY/);
});

test("a plugin has routes, options, metrics, a state and a view of its own", async () => {
  expect(await (await ask("/api/tool/greeting")).json()).toEqual({ greeting: "good morning" });
  expect((await fetch(`${broker.origin}/api/tool/greeting`)).status).toBe(401);
  expect(await (await fetch(`${broker.origin}/metrics`)).text()).toContain("\nnfrx_tool_greetings_total 1\n");
  expect(await (await ask("/api/state")).json()).toMatchObject({
    plugins: { tool: { own: { greetings_said: 1 }, server: {} }, rerank: { workers: expect.any(Array) } },
  });
  expect(await (await ask("/api/state/view/tool.html")).text()).toMatch(/^<p>\d tools, 1 greetings said\.<\/p>$/);
  expect(await (await ask("/api/state/descriptors")).json()).toHaveProperty("rerank.options");
});

test("--help of broker and agent has a plugin's options", async () => {
  const said = async (args: string[], env: Record<string, string> = {}): Promise<string> => {
    const run = processes.start("nfrx", env, args);
    expect((await until(run.ended, "help")).code).toBe(0);
    return run.strays.join("\n");
  };
  expect(await said(["--help", "all"], { PLUGINS: join(folder, "relay/tool.ts") })).toContain("--tool-greeting <text>");
  const help = await said(["worker", "--plugin", join(folder, "worker/rerank.ts"), "--help", "all"]);
  expect(help).toStartWith("nfrx worker version=");
  expect(help).toContain("--rerank-base-url <url>");
  const general = await said(["worker", "--help"]);
  expect(general).toContain("--plugin FILE");
  expect(general).toContain("--server-url <url>");
  expect(await said(["--version"], { PLUGINS: join(folder, "relay/tool.ts") })).toStartWith("nfrx version=");
});

describe("what cannot be used is one line that names the file", () => {
  const module = (body: string): string => `import { defineModule, options, option } from "nfrx/plugin";\n${body}`;
  const minimal = (id: string, more = ""): string =>
    module(`export default defineModule({ id: "${id}", summary: "x", options: options("x", {})${more} });`);
  const route = (method: string, path: string): string =>
    `, serve: () => ({ routes: [{ method: "${method}", path: "${path}", tag: "x", auth: "none", errors: "plain", operation: undefined, answer: () => new Response() }] })`;
  const broken: [name: string, source: string, problem: RegExp][] = [
    ["throws", 'throw new Error("no luck");', /cannot load it: no luck/],
    ["hangs", "await new Promise(() => {}); export default 1;", /loading did not finish within 5 seconds/],
    ["spins", "for (;;) {}", /loading did not finish within 5 seconds/],
    ["no-syntax", "export default {", /cannot load it: .*Expected/],
    ["no-module", "export default { id: 'x' };", /the default export is not a module/],
    [
      "other-version",
      module('export default { ...defineModule({ id: "x", summary: "x", options: options("x", {}) }), api: 99 };'),
      /version 99 of the plugin interface; this program has version 1/,
    ],
    ["no-id", minimal("Not An Id"), /invalid module id/],
    ["taken-id", minimal("llm"), /the id llm is taken by another module/],
    ["reserved-id", minimal("jobs"), /a module with the id jobs already exists/],
    ["open-route", minimal("mine", route("GET", "/api/mine/x").replace('auth: "none", ', "")), /`routes\[0\].auth`/],
    ["description", minimal("mine", route("GET", "/api/mine")), /the route GET \/api\/mine already exists/],
    [
      "bad-option",
      module(
        'export default defineModule({ id: "mine", summary: "x", options: options("x", { wait: option.duration({ env: "MINE_WAIT", default: 30, help: "x" }) }) });',
      ),
      /cannot load it: option MINE_WAIT: `default` must be text such as "30s"/,
    ],
    ["taken-route", minimal("mine", route("GET", "/api/state")), /the route GET \/api\/state already exists/],
    [
      "taken-option",
      module(
        'export default defineModule({ id: "mine", summary: "x", options: options("x", { port: option.int({ env: "PORT", default: 1, min: 0, max: 2, help: "x" }) }) });',
      ),
      /two options share the .* PORT/i,
    ],
    ["bad-start", minimal("mine", ', serve: () => { throw new Error("not today"); }'), /cannot start: not today/],
    [
      "bad-metric",
      minimal("mine", ', serve: ({ metrics }) => { metrics.counter({ name: "other_total", help: "x" }); return {}; }'),
      /must begin with nfrx_mine_/,
    ],
    ["missing", "", /file not found/],
  ];
  test.each(broken)("%s", async (name, source, problem) => {
    const file = join(folder, `${name}.ts`);
    if (source !== "") writeFileSync(file, source);
    const run = processes.start("nfrx", {
      PLUGINS: `*,${file}`,
      PORT: "0",
      JOBS_STORE: "memory",
      LOG_LEVEL: "error",
      API_KEY,
      CLIENT_KEY,
    });
    const { code, signal } = await until(run.ended, () => `the end\n${run.tail}`, 30_000);
    expect(code === 0 && signal === null).toBe(false);
    expect(run.strays).toHaveLength(1);
    expect(run.strays[0]).toContain(file);
    expect(run.strays[0]).toMatch(problem);
  });

  test("an agent without a plugin, or with one that has no agent", async () => {
    const none = processes.start("nfrx", {}, ["worker"]);
    expect((await until(none.ended, "the end")).code).toBe(2);
    expect(none.strays.join()).toContain("name its file with --plugin");
    writeFileSync(join(folder, "routes-only.ts"), minimal("mine"));
    const agentless = processes.start("nfrx", {}, ["worker", "--plugin", join(folder, "routes-only.ts")]);
    expect((await until(agentless.ended, "the end")).code).toBe(2);
    expect(agentless.strays.join()).toContain("the module mine has no agent");
    const file = join(folder, "taken-agent-option.ts");
    const key = 'option.secret({ env: "CLIENT_KEY", default: undefined, help: "x" })';
    writeFileSync(
      file,
      minimal("mine", `, agent: { options: options("Backend", { key: ${key} }), backend: () => ({}) }`),
    );
    const clashing = processes.start("nfrx", {}, ["worker", "--plugin", file]);
    expect((await until(clashing.ended, "the end")).code).toBe(2);
    expect(clashing.strays.join()).toContain(
      `plugin ${file}: nfrx worker: two options share the environment variable CLIENT_KEY`,
    );
  });
});
