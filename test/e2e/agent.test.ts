// The agent beside its backend: what it notices, what it says of itself, and what it can be told.
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Agent } from "../../src/agent/run.ts";
import { controlToken, serveStatus } from "../../src/agent/status.ts";
import { workerAgent } from "../../src/agent/worker-agent.ts";
import { serveMetrics } from "../../src/lib/listen.ts";
import type { Ask } from "../../src/modules/module.ts";
import { probeOpenai } from "../../src/modules/openai.ts";
import { chatStream, json, silent, startBackend, status, type TestBackend } from "../kit/backend/backend.ts";
import { TestClock } from "../kit/time/clock.ts";
import { Gate } from "../kit/time/gate.ts";
import { World } from "../kit/world.ts";

/** What the agent asks of its backend, every `pollMs`. */
const probing = (backend: TestBackend, pollMs: number) => ({
  backend: {
    baseUrl: backend.url,
    apiKey: undefined,
    pollMs,
    facts: {},
    probe: (ask: Ask) => probeOpenai(backend.url, { models: [] }, ask),
  },
});

const models = (world: World): string[] => [...world.pool.registry.workers].flatMap(worker => [...worker.models]);
const states = (world: World): string[] => [...world.pool.registry.workers].map(({ state }) => state);

test("a changed list of models is announced at once", async () => {
  await using world = new World({ pool: { graceMs: 0 } });
  const clock = new TestClock();
  const backend = await world.backend({ models: ["old"] });
  await world.agent(backend, { ...probing(backend, 10_000), clock });
  expect(models(world)).toEqual(["old"]);
  backend.models = ["new", "newer", "new"];
  clock.advance(10_000);
  await world.when(() => models(world).length === 2, "the new list is known");
  expect(models(world)).toEqual(["new", "newer"]);
  expect((await world.chat({ model: "old" })).status).toBe(404);
  expect((await world.chat({ model: "newer" })).status).toBe(200);
});

test("a backend that goes away and comes back: not_ready in between, and who waits is served", async () => {
  await using world = new World();
  const clock = new TestClock();
  const backend = await world.backend();
  const agent = await world.agent(backend, { ...probing(backend, 10_000), clock, reconnect: true });
  backend.probe = status(503);
  clock.advance(10_000);
  await world.when(() => states(world)[0] === "not_ready", "the broker knows");
  expect(agent.state).toBe("not_ready");
  expect(agent.status()).toMatchObject({ state: "not_ready", connected_to_server: true, connected_to_backend: false });
  const waiting = world.chat();
  await world.when(() => world.pool.waiting === 1, "a request waits");
  backend.probe = status(200, { object: "list", data: [{ id: "test-model" }] });
  clock.advance(2_000);
  expect((await waiting).status).toBe(200);
  expect(agent.state).toBe("connected_idle");
  expect(await world.leftovers()).toEqual({});
});

test("a backend that is not there yet: connected with nothing to give, then with all of it", async () => {
  await using world = new World();
  const clock = new TestClock();
  const backend = await world.backend({ respond: chatStream(["x"]) });
  backend.probe = status(500);
  await world.agent(backend, { ...probing(backend, 60_000), clock, reconnect: true });
  expect(states(world)).toEqual(["not_ready"]);
  expect(models(world)).toEqual([]);
  backend.probe = status(200, { object: "list", data: [{ id: "late" }] });
  clock.advance(2_000);
  await world.when(() => models(world).includes("late"), "its models are known");
  expect(states(world)).toEqual(["idle"]);
  expect((await world.chat({ model: "late" })).status).toBe(200);
});

test("without --reconnect an agent whose backend or broker is away gives up, with the reason", async () => {
  await using world = new World();
  const backend = await world.backend();
  const options = {
    module: "llm",
    ...probing(backend, 60_000),
    servers: [{ serverUrl: "ws://127.0.0.1:1/api/llm/connect", clientKey: undefined }],
    clientId: undefined,
    clientName: undefined,
    maxConcurrency: 1,
    requestTimeoutMs: 1_000,
    reconnect: false,
    log: world.log("agent"),
  };
  await expect(workerAgent(options).run()).rejects.toThrow("ws://127.0.0.1:1/api/llm/connect");
  backend.probe = status(500);
  await expect(workerAgent(options).run()).rejects.toThrow("is not ready");
});

test("what the backend and the machine say of themselves reaches the broker", async () => {
  await using world = new World();
  const backend = await world.backend({ props: { build_info: "b1234-abc" } });
  const agent = await world.agent(backend, { ...probing(backend, 60_000), clientName: "mine" });
  const [worker] = [...world.pool.registry.workers];
  expect(worker?.name).toBe("mine");
  expect(worker?.facts["backend_version"]).toBe("b1234-abc");
  expect(worker?.facts["backend_family"]).toBe("llama.cpp");
  expect(worker?.facts["hostname"]).not.toBe("");
  expect(agent.status()).toMatchObject({ labels: ["test-model"], worker_name: "mine", max_concurrency: 2 });
});

async function withStatus(
  world: World,
  run: (about: { url: string; token: string; agent: Agent; backend: TestBackend; told: () => number }) => Promise<void>,
): Promise<void> {
  const { agent, backend } = await world.worker();
  let shutdowns = 0;
  const token = "0123456789abcdef0123456789abcdef";
  const server = serveStatus({
    agent,
    address: { host: "127.0.0.1", port: 0 },
    token,
    onShutdown: () => {
      shutdowns++;
    },
  });
  try {
    await run({ url: `http://127.0.0.1:${server.port}`, token, agent, backend, told: () => shutdowns });
  } finally {
    await server.stop(true);
  }
}

test("the status page tells how the agent is", async () => {
  await using world = new World();
  await withStatus(world, async ({ url, agent, backend }) => {
    const read = async () => (await (await fetch(`${url}/status`)).json()) as Record<string, unknown>;
    const idle = await read();
    expect(idle["state"]).toBe("connected_idle");
    expect(Object.keys(idle).sort()).toEqual(
      [
        "agent_config",
        "connected_to_backend",
        "connected_to_server",
        "current_jobs",
        "labels",
        "last_error",
        "last_heartbeat",
        "max_concurrency",
        "state",
        "version",
        "worker_id",
        "worker_name",
      ].sort(),
    );
    const gate = new Gate();
    backend.respond = chatStream(["x"], { gate });
    const running = world.chat({ stream: true });
    await backend.arrived(1);
    const busy = await read();
    expect([busy["state"], busy["current_jobs"], busy["worker_id"]]).toEqual(["connected_busy", 1, agent.id]);
    gate.open();
    await (await running).text();
    expect(await (await fetch(`${url}/version`)).json()).toMatchObject({ version: expect.any(String) });
    expect((await fetch(`${url}/elsewhere`)).status).toBe(404);
  });
});

test("control takes the token, POST and nothing else", async () => {
  await using world = new World();
  await withStatus(world, async ({ url, token, agent, told }) => {
    const post = (path: string, key?: string) =>
      fetch(`${url}/control/${path}`, { method: "POST", headers: key === undefined ? {} : { "x-auth-token": key } });
    for (const wrong of [undefined, "", "wrong", `${token}x`]) {
      for (const path of ["drain", "undrain", "shutdown"]) expect((await post(path, wrong)).status).toBe(401);
    }
    for (const method of ["GET", "PUT", "DELETE"]) {
      const answer = await fetch(`${url}/control/drain`, { method, headers: { "x-auth-token": token } });
      expect([answer.status, answer.headers.get("allow")]).toEqual([405, "POST"]);
    }
    expect((await post("reboot", token)).status).toBe(404);
    expect(agent.state).toBe("connected_idle");
    expect((await post("drain", token)).status).toBe(200);
    await world.when(() => states(world)[0] === "draining", "the broker knows");
    expect(agent.state).toBe("draining");
    expect((await post("undrain", token)).status).toBe(200);
    await world.when(() => states(world)[0] === "idle", "the broker knows");
    expect((await world.chat()).status).toBe(200);
    expect((await post("shutdown", token)).status).toBe(200);
    expect(told()).toBe(1);
  });
});

test("the control token is made once, for its owner alone", () => {
  const folder = mkdtempSync(join(tmpdir(), "nfrx-"));
  try {
    const quiet = { debug() {}, info() {}, warn() {}, error() {}, fatal() {} };
    const deep = join(folder, "not", "there");
    const token = controlToken(deep, "llm", quiet);
    expect(token?.length).toBeGreaterThanOrEqual(32);
    expect(controlToken(deep, "llm", quiet)).toBe(token);
    expect(controlToken(deep, "asr", quiet)).not.toBe(token);
    expect(statSync(join(deep, "llm.token")).mode & 0o777).toBe(0o600);
    writeFileSync(join(folder, "file"), "");
    expect(controlToken(join(folder, "file"), "llm", quiet)).toBeUndefined();
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("the metrics page counts what the agent has done", async () => {
  await using world = new World();
  const { agent, backend } = await world.worker();
  const server = serveMetrics({ host: "127.0.0.1", port: 0 }, () => agent.metrics.meters.response());
  const read = async () => (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text();
  try {
    await (await world.chat()).text();
    await backend.stop();
    expect((await world.chat()).status).toBe(502);
    const text = await read();
    for (const line of [
      "nfrx_worker_jobs_started_total 2",
      "nfrx_worker_jobs_succeeded_total 1",
      "nfrx_worker_jobs_failed_total 1",
      "nfrx_worker_connected_to_server 1",
      "nfrx_worker_current_jobs 0",
      "nfrx_worker_max_concurrency 2",
      "nfrx_worker_job_duration_seconds_count 2",
    ])
      expect(text).toContain(line);
    expect((await fetch(`http://127.0.0.1:${server.port}/`)).status).toBe(404);
  } finally {
    await server.stop(true);
  }
});

test("a shutdown waits for running work and takes no more", async () => {
  await using world = new World();
  const { agent, backend } = await world.worker();
  const gate = new Gate();
  backend.respond = chatStream(["one", "two"], { gate });
  const running = world.chat({ stream: true });
  await backend.arrived(1);
  const shut = agent.shutdown(Number.POSITIVE_INFINITY);
  await world.when(() => states(world)[0] === "draining", "the broker knows");
  expect(agent.state).toBe("terminating");
  const { backend: other } = await world.worker();
  expect((await world.chat()).status).toBe(200);
  expect([backend.requests.length, other.requests.length]).toEqual([1, 1]);
  gate.open();
  expect(await (await running).text()).toEndWith("data: [DONE]\n\n");
  expect(await shut).toBeTrue();
  await world.when(() => world.pool.registry.size === 1, "the agent has left");
  expect(await world.leftovers()).toEqual({});
});

test("a shutdown whose time is up cuts what still runs", async () => {
  await using world = new World({ pool: { graceMs: 0 } });
  const clock = new TestClock();
  const backend = await world.backend({ respond: silent() });
  const agent = await world.agent(backend, { ...probing(backend, 60_000), clock });
  const running = world.chat();
  await backend.arrived(1);
  const shut = agent.shutdown(10_000);
  await world.when(() => states(world)[0] === "draining", "the broker knows");
  clock.advance(10_000);
  expect(await shut).toBeFalse();
  expect((await running).status).toBe(502);
  await backend.aborted(1);
  expect(await world.leftovers()).toEqual({});
});

test("an agent comes back by the schedule, however often the broker is away", async () => {
  const clock = new TestClock();
  const first = new World();
  const { port } = first.broker;
  const backend = await startBackend();
  const agent = await first.agent(backend, { ...probing(backend, 600_000), clock, reconnect: true, random: () => 0.5 });
  const waits = (): number[] =>
    first.logs.filter(({ message }) => message === "not connected").map(({ fields }) => Number(fields["retry_in_ms"]));
  await first.broker.stop();
  for (const [at, wait] of [1_000, 1_000, 1_000, 5_000].entries()) {
    await first.when(() => waits().length === at + 1, "the agent waits");
    expect(waits()[at]).toBe(wait);
    if (at < 3) clock.advance(wait);
  }
  await using world = new World({ broker: { port } });
  clock.advance(5_000);
  await world.when(() => world.pool.registry.get(agent.id) !== undefined, "the agent is back");
  expect((await world.chat()).status).toBe(200);
  await first.stop();
  await backend.stop();
});

test("a list of models may be elsewhere on its host, and is warned of once", async () => {
  await using world = new World();
  const backend = await world.backend();
  const clock = new TestClock();
  const { probe } = backend;
  backend.probe = (request, recorded) => {
    const { pathname, search } = new URL(request.url);
    if (pathname !== "/v1/models") return probe(request, recorded);
    if (search !== "") return json({ data: [{ id: backend.models[0] }, { id: 7 }, {}] });
    return new Response(null, { status: 307, headers: { location: "/v1/models?all=1" } });
  };
  await world.agent(backend, { ...probing(backend, 10_000), clock });
  expect(models(world)).toEqual(["test-model"]);
  backend.models = ["other"];
  clock.advance(10_000);
  await world.when(() => models(world)[0] === "other", "the new list is known");
  expect(world.logs.filter(({ message }) => message === "some models were left out")).toHaveLength(1);
});

test("a list of models on another host is not asked for there", async () => {
  await using world = new World();
  const other = await world.backend();
  const backend = await world.backend();
  const location = other.url.replace("127.0.0.1", "localhost");
  backend.probe = () => new Response(null, { status: 307, headers: { location } });
  await world.agent(backend, { reconnect: true });
  expect(world.logs.some(({ fields }) => String(fields["reason"]).includes("another host"))).toBeTrue();
  expect(other.requests.length + other.probes.length).toBe(0);
});
