// What there is to know of plugins besides their state: views, descriptors, what they serve.
import { expect, test } from "bun:test";
import { nfrx } from "../../../cmd/programs.ts";
import { Broker } from "../../../src/broker/broker.ts";
import { brokerOptions } from "../../../src/config/broker.ts";
import { defaultsOf, options } from "../../../src/config/group.ts";
import { html } from "../../../src/lib/html.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { defineModule } from "../../../src/modules/define.ts";
import { doclingModule } from "../../../src/modules/docling.ts";
import { llm, llmBrokerOptions } from "../../../src/modules/llm.ts";
import { mcpBrokerOptions } from "../../../src/modules/mcp.ts";
import { poolSettings } from "../../../src/modules/pool-options.ts";
import { wholeBroker } from "../../kit/broker/whole.ts";
import { call } from "../../kit/http/call.ts";
import { HandWorker } from "../../kit/protocol/hand.ts";
import { API_KEY, CLIENT_KEY } from "../../kit/world.ts";

const KEYS = { apiKey: API_KEY, clientKey: CLIENT_KEY };
const HEADERS = { Authorization: `Bearer ${API_KEY}` };

async function ask(broker: Broker, path: string) {
  const { status, body, headers } = await call(`http://127.0.0.1:${broker.port}${path}`, { headers: HEADERS });
  return { status, text: body.toString(), headers: new Headers(headers) };
}

/** A module that shows the names of its workers. */
const shown = defineModule({
  id: "llm",
  summary: "Shows its workers.",
  options: llmBrokerOptions,
  serve: ({ values }) => ({
    worker: llm,
    pool: poolSettings(values),
    view: ({ pool }) =>
      html`<ul>${pool?.workers.map(({ name, status }) => html`<li title="${name}">${name}: ${status}</li>`)}</ul>`,
  }),
});

test("a module's view is what it makes of its state, with everything from workers escaped", async () => {
  const broker = Broker.start({
    values: { ...defaultsOf(brokerOptions), port: 0, host: "127.0.0.1", jobsStore: "memory", ...KEYS },
    modules: [shown.configure(defaultsOf(llmBrokerOptions))],
    log: { debug() {}, info() {}, warn() {}, error() {}, fatal() {} },
  });
  const hand = await HandWorker.connect(`ws://127.0.0.1:${broker.port}/api/llm/connect`, { v2: true });
  hand.register({ worker_name: `<img src=x onerror=alert(1)> "' ` });
  await hand.handled();
  const view = await ask(broker, "/api/state/view/llm.html");
  expect(view.status).toBe(200);
  const name = "&#60;img src=x onerror=alert(1)&#62; &#34;&#39; ";
  expect(view.text).toBe(`<ul><li title="${name}">${name}: idle</li></ul>`);
  expect(view.headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(view.headers.get("content-security-policy")).toContain("default-src 'none'");
  expect(view.headers.get("x-content-type-options")).toBe("nosniff");
  expect((await call(`http://127.0.0.1:${broker.port}/api/state/view/llm.html`)).status).toBe(401);
  await broker.stop();
});

test("a plugin without a view has no content, what is no plugin is not found", async () => {
  const broker = wholeBroker(KEYS);
  for (const id of ["llm", "asr", "docling", "mcp", "jobs", "server"]) {
    const { status, text } = await ask(broker, `/api/state/view/${id}.html`);
    expect([id, status, text]).toEqual([id, 204, ""]);
  }
  for (const file of ["nothing.html", "llm", "llm.htm", ".html", "%", "constructor.html"]) {
    expect([file, (await ask(broker, `/api/state/view/${file}`)).status]).toEqual([file, 404]);
  }
  await broker.stop();
});

test("every option of the broker is described, by plugin, and no value is shown", async () => {
  const broker = wholeBroker({ ...KEYS, adminKey: "the-admin-key" });
  const { status, text } = await ask(broker, "/api/state/descriptors");
  expect(status).toBe(200);
  for (const secret of [API_KEY, CLIENT_KEY, "the-admin-key"]) expect(text).not.toContain(secret);
  const descriptors = JSON.parse(text) as Record<string, { id: string; options: { env: string }[] }>;
  expect(Object.keys(descriptors).sort()).toEqual(["asr", "docling", "llm", "mcp", "server"]);
  const described = Object.values(descriptors).flatMap(({ options }) => options.map(({ env }) => env));
  const declared = Object.values(nfrx.groups).flatMap(({ shape }) => Object.values(shape).map(({ env }) => env));
  expect(described.toSorted()).toEqual(declared.toSorted());
  const option = (id: string, env: string): unknown => descriptors[id]?.options.find(one => one.env === env);
  expect(option("llm", "LLM_QUEUE_SIZE")).toEqual({
    env: "LLM_QUEUE_SIZE",
    yaml: "plugin_options.llm.queue_size",
    flag: "--llm-queue-size",
    kind: "int",
    default: "100",
    help: "Maximum number of queued requests; 0 disables the queue.",
    secret: false,
  });
  expect(option("server", "ADMIN_KEY")).toMatchObject({ kind: "secret", secret: true });
  expect(option("server", "ADMIN_KEY")).not.toHaveProperty("default");
  expect(option("server", "PORT")).toMatchObject({ default: "8080" });
  await broker.stop();
});

test("what is not served is not described", async () => {
  const broker = Broker.start({
    values: { ...defaultsOf(brokerOptions), port: 0, host: "127.0.0.1", jobsStore: "memory", ...KEYS },
    modules: [doclingModule.configure(defaultsOf(doclingModule.options))],
    log: { debug() {}, info() {}, warn() {}, error() {}, fatal() {} },
    declared: nfrx,
  });
  expect(Object.keys(JSON.parse((await ask(broker, "/api/state/descriptors")).text)).sort()).toEqual([
    "docling",
    "server",
  ]);
  expect((await ask(broker, "/api/docling/")).status).toBe(200);
  for (const path of ["/api/llm/", "/api/mcp/", "/api/state/view/llm.html", "/api/state/view/mcp.html"])
    expect([path, (await ask(broker, path)).status]).toEqual([path, 404]);
  await broker.stop();
});

test("a plugin says what it is, where it is and what can be set", async () => {
  const broker = wholeBroker(KEYS);
  const llmPlugin = JSON.parse((await ask(broker, "/api/llm/")).text);
  expect(llmPlugin).toMatchObject({
    id: "llm",
    type: "worker",
    connect: "/api/llm/connect",
    state: "/api/state",
    view: "/api/state/view/llm.html",
  });
  expect(llmPlugin.endpoints).toContainEqual({
    method: "POST",
    path: "/api/llm/v1/chat/completions",
    job_type: "llm.completion",
  });
  // Those of its workers, and Ollama's base.
  expect(llmPlugin.endpoints).toHaveLength(llm.endpoints.length + 1);
  expect(llmPlugin.options.map(({ env }: { env: string }) => env)).toContain("LLM_QUEUE_SIZE");
  const mcp = JSON.parse((await ask(broker, "/api/mcp/")).text);
  expect(mcp).toMatchObject({ id: "mcp", type: "tunnel", connect: "/api/mcp/connect" });
  expect(mcp.options).toHaveLength(Object.keys(mcpBrokerOptions.shape).length);
  expect((await call(`http://127.0.0.1:${broker.port}/api/llm/`)).status).toBe(401);
  await broker.stop();
});

test("a plugin that cannot say its state spoils nobody else's, and is warned of once", async () => {
  const warnings: object[] = [];
  let closes = 0;
  const own = { throws: () => JSON.parse("{"), bigint: () => ({ n: 1n }), promise: async () => 1, fine: () => [1] };
  const modules = Object.entries(own).map(([id, state]) =>
    defineModule({
      id,
      summary: "Says something.",
      options: options("Module", {}),
      serve: () => ({
        state,
        close: async () => void closes++,
        view: ({ own: said }) => {
          if (id === "throws") throw new Error("no view");
          return html`<p>${JSON.stringify(said)}</p>`;
        },
      }),
    }),
  );
  const broker = Broker.start({
    values: { ...defaultsOf(brokerOptions), port: 0, host: "127.0.0.1", jobsStore: "memory", ...KEYS },
    modules: modules.map(module => module.configure({})),
    log: { ...silentLog, warn: fields => void warnings.push(fields) },
  });
  for (let round = 0; round < 2; round++) {
    const { status, text } = await ask(broker, "/api/state");
    expect(status).toBe(200);
    expect(JSON.parse(text).plugins).toMatchObject({
      server: { admin: false },
      throws: { own: { error: expect.stringMatching(/^state\(\) throws: /) } },
      bigint: { own: { error: expect.stringMatching(/^state\(\) is not JSON: /) } },
      promise: { own: { error: "state() returns a promise, which is not supported" } },
      fine: { own: [1] },
    });
  }
  expect((await ask(broker, "/api/state/view/throws.html")).status).toBe(500);
  expect((await ask(broker, "/api/state/view/bigint.html")).text).toContain("is not JSON");
  expect((await ask(broker, "/api/state/view/fine.html")).text).toBe("<p>[1]</p>");
  expect(warnings.map(fields => "plugin" in fields && fields.plugin)).toEqual(["throws", "bigint", "promise"]);
  expect(closes).toBe(0);
  await broker.stop();
  expect(closes).toBe(modules.length);
});
