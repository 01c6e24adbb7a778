// Chats with the programs of the 0.9 series themselves: their agent at our broker, our agent at theirs.
import { expect } from "bun:test";
import type { Agent } from "../../src/agent/run.ts";
import { workerAgent } from "../../src/agent/worker-agent.ts";
import { probeOpenai } from "../../src/modules/openai.ts";
import { chatJson, chatStream, cut, silent, startBackend, status, type TestBackend } from "../kit/backend/backend.ts";
import { Call } from "../kit/http/call.ts";
import { Events } from "../kit/http/events.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, CLIENT_KEY, World } from "../kit/world.ts";
import { freePort, OldProgram, startOldBroker, withPeer } from "./old.ts";

// ---- the old agent at our broker -------------------------------------------------------------------------------

interface OldAgent {
  world: World;
  backend: TestBackend;
  agent: OldProgram;
  [Symbol.asyncDispose](): Promise<void>;
}

async function oldAgent(env: Record<string, string> = {}): Promise<OldAgent> {
  const world = new World();
  const backend = await world.backend();
  const agent = new OldProgram("nfrx-llm", {
    SERVER_URL: world.connectUrl,
    CLIENT_KEY,
    CLIENT_NAME: "old",
    COMPLETION_BASE_URL: backend.url,
    MAX_CONCURRENCY: "2",
    MODEL_POLL_INTERVAL: "200ms",
    ...env,
  });
  await world.when(
    () => world.pool.registry.serves("test-model"),
    () => `the old agent registers:\n${agent.output}`,
  );
  return {
    world,
    backend,
    agent,
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await world.stop();
    },
  };
}

withPeer("old agent: chat, models and errors of the backend", async () => {
  await using old = await oldAgent();
  const { world, backend } = old;
  const models = await fetch(`${world.url}/models`, { headers: { authorization: `Bearer ${API_KEY}` } });
  expect(await models.json()).toMatchObject({ data: [{ id: "test-model", owned_by: "nfrx" }] });
  backend.respond = chatJson("grüß dich 😀");
  const answer = await world.chat();
  expect(answer.status).toBe(200);
  expect(await answer.json()).toMatchObject({ choices: [{ message: { content: "grüß dich 😀" } }] });
  for (const code of [400, 429, 500, 502, 503]) {
    backend.respond = status(code, { error: { message: `own ${code}` } });
    const failed = await world.chat();
    expect([failed.status, await failed.json()]).toEqual([code, { error: { message: `own ${code}` } }]);
  }
  expect(await world.leftovers()).toEqual({});
});

withPeer("old agent: a stream arrives as it is written, whatever the client accepts", async () => {
  await using old = await oldAgent();
  const { world, backend } = old;
  for (const accept of ["text/event-stream", "application/json", "*/*"]) {
    const gate = new Gate();
    backend.respond = chatStream(["one", "two", "three"], { gate });
    const asked = new Call(`${world.url}/chat/completions`, {
      headers: { Authorization: `Bearer ${API_KEY}`, Accept: accept },
      body: '{"model":"test-model","stream":true,"messages":[]}',
    });
    gate.release();
    await asked.shows("one");
    expect(asked.text).not.toContain("two");
    gate.open();
    const { body, complete } = await asked.answer();
    expect(complete).toBeTrue();
    expect(body.toString()).toEndWith("data: [DONE]\n\n");
  }
  expect(await world.leftovers()).toEqual({});
});

withPeer("old agent: an abort reaches its backend", async () => {
  await using old = await oldAgent();
  const { world, backend } = old;
  const gate = new Gate();
  backend.respond = chatStream(["one", "two"], { gate });
  const asked = new Call(`${world.url}/chat/completions`, {
    headers: { Authorization: `Bearer ${API_KEY}` },
    body: '{"model":"test-model","stream":true,"messages":[]}',
  });
  gate.release();
  await asked.shows("one");
  asked.abort();
  await backend.aborted(1);
  backend.respond = silent();
  const thinking = new Call(`${world.url}/chat/completions`, {
    headers: { Authorization: `Bearer ${API_KEY}` },
    body: '{"model":"test-model"}',
  });
  await backend.arrived(2);
  thinking.abort();
  await backend.aborted(2);
  expect(await world.leftovers()).toEqual({});
});

withPeer("old agent: its changed models are served", async () => {
  await using old = await oldAgent();
  old.backend.models = ["another", "more"];
  await old.world.when(() => old.world.pool.registry.serves("more"), "the new list is known");
  expect((await old.world.chat({ model: "another" })).status).toBe(200);
  expect(await old.world.leftovers()).toEqual({});
});

withPeer("old agent: a stream that its backend cuts is an error", async () => {
  await using old = await oldAgent();
  const gate = new Gate();
  old.backend.respond = cut("data: one\n\n", { headers: { "content-type": "text/event-stream" }, gate });
  const asked = new Call(`${old.world.url}/chat/completions`, {
    headers: { Authorization: `Bearer ${API_KEY}` },
    body: '{"model":"test-model","stream":true}',
  });
  await asked.shows("one");
  gate.open();
  const { body, complete } = await asked.answer();
  expect(!complete || body.toString().includes("event: error")).toBeTrue();
  expect(await old.world.leftovers()).toEqual({});
});

withPeer("old agent: told to end it finishes its work, and what is new goes elsewhere", async () => {
  await using old = await oldAgent();
  const { world, backend, agent } = old;
  const gate = new Gate();
  backend.respond = chatStream(["one"], { gate });
  const running = world.chat({ stream: true });
  await backend.arrived(1);
  agent.terminate();
  await world.when(() => [...world.pool.registry.workers][0]?.state === "draining", "the broker knows");
  const { backend: other } = await world.worker();
  expect((await world.chat()).status).toBe(200);
  expect(other.requests).toHaveLength(1);
  gate.open();
  // The 0.9.7 agent may cut its connection before its last frames have left: then the client must hear of it.
  expect(await (await running).text()).toMatch(/data: \[DONE\]\n\n$|event: error\n/);
  await world.when(() => world.pool.registry.size === 1, "the old agent has left");
  await agent.exited;
  expect(await world.leftovers()).toEqual({});
});

withPeer("old agent: killed, its work goes to another one", async () => {
  await using old = await oldAgent();
  const { world, backend, agent } = old;
  backend.respond = silent();
  const running = world.chat();
  await backend.arrived(1);
  const { backend: other } = await world.worker();
  await agent[Symbol.asyncDispose]();
  expect((await running).status).toBe(200);
  expect(other.requests).toHaveLength(1);
  expect(await world.leftovers()).toEqual({});
});

withPeer("old agent: a backend that is down counts as refusing", async () => {
  await using old = await oldAgent({ MODEL_POLL_INTERVAL: "1m" });
  const { world, backend } = old;
  await backend.stop();
  const { backend: other } = await world.worker();
  for (let i = 0; i < 4; i++) expect((await world.chat()).status).toBe(200);
  expect(other.requests).toHaveLength(4);
  expect(await world.leftovers()).toEqual({});
});

withPeer("old agent: with a wrong key it does not get in", async () => {
  await using world = new World();
  const backend = await world.backend();
  await using agent = new OldProgram("nfrx-llm", {
    SERVER_URL: world.connectUrl,
    CLIENT_KEY: "wrong",
    COMPLETION_BASE_URL: backend.url,
  });
  expect(await agent.exited).not.toBe(0);
  expect(world.pool.registry.size).toBe(0);
});

// ---- our agent at the old broker -------------------------------------------------------------------------------

interface OldServer {
  broker: OldProgram;
  url: string;
  agent: Agent;
  backend: TestBackend;
  post(body: string, init?: RequestInit): Promise<Response>;
  [Symbol.asyncDispose](): Promise<void>;
}

async function oldBroker(): Promise<OldServer> {
  const port = freePort();
  const broker = await startOldBroker(port);
  const backend = await startBackend();
  const log = { debug() {}, info() {}, warn() {}, error() {}, fatal() {} };
  const agent = workerAgent({
    module: "llm",
    backend: {
      baseUrl: backend.url,
      apiKey: undefined,
      pollMs: 200,
      facts: {},
      probe: ask => probeOpenai(backend.url, { models: [] }, ask),
    },
    servers: [{ serverUrl: `ws://127.0.0.1:${port}/api/llm/connect`, clientKey: CLIENT_KEY }],
    clientId: "ours",
    clientName: "ours",
    maxConcurrency: 2,
    requestTimeoutMs: 300_000,
    reconnect: true,
    log,
  });
  const running = agent.run();
  await broker.logs("registered");
  const url = `http://127.0.0.1:${port}/api/llm/v1`;
  return {
    broker,
    url,
    agent,
    backend,
    post: (body, init = {}) =>
      fetch(`${url}/chat/completions`, {
        method: "POST",
        body,
        headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
        ...init,
      }),
    async [Symbol.asyncDispose]() {
      await agent.shutdown(0);
      await running;
      await broker[Symbol.asyncDispose]();
      await backend.stop();
    },
  };
}

withPeer("old broker: chat, models and errors of the backend", async () => {
  await using old = await oldBroker();
  const models = await fetch(`${old.url}/models`, { headers: { authorization: `Bearer ${API_KEY}` } });
  expect(await models.json()).toMatchObject({ data: [{ id: "test-model", owned_by: "ours" }] });
  old.backend.respond = chatJson("grüß dich 😀");
  const answer = await old.post('{"model":"test-model","messages":[]}');
  expect(await answer.json()).toMatchObject({ choices: [{ message: { content: "grüß dich 😀" } }] });
  expect(old.backend.requests[0]?.body).toBe('{"model":"test-model","messages":[]}');
  old.backend.respond = status(429, { error: { message: "slow down" } });
  const failed = await old.post('{"model":"test-model","messages":[]}');
  expect([failed.status, await failed.json()]).toEqual([429, { error: { message: "slow down" } }]);
  old.backend.respond = () => new Response("x".repeat(300_000), { headers: { "content-type": "text/plain" } });
  expect(await (await old.post('{"model":"test-model"}')).text()).toBe("x".repeat(300_000));
});

withPeer("old broker: a stream arrives as it is written, an abort reaches our backend", async () => {
  await using old = await oldBroker();
  const gate = new Gate();
  old.backend.respond = chatStream(["one", "two", "three"], { gate });
  gate.release();
  const answer = await old.post('{"model":"test-model","stream":true}');
  const events = new Events(answer);
  expect((await events.next())?.data).toContain("one");
  gate.open();
  expect((await events.all()).at(-1)?.data).toBe("[DONE]");
  const closed = new Gate();
  old.backend.respond = chatStream(["one", "two"], { gate: closed });
  closed.release();
  const asked = new Call(`${old.url}/chat/completions`, {
    headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
    body: '{"model":"test-model","stream":true,"messages":[]}',
  });
  await asked.shows("one");
  asked.abort();
  await old.backend.aborted(1);
});

withPeer("old broker: our changed models are served", async () => {
  await using old = await oldBroker();
  old.backend.models = ["another"];
  await old.backend.probed(old.backend.probes.length + 6);
  const answer = await old.post('{"model":"another","messages":[]}');
  expect(answer.status).toBe(200);
});

withPeer("old broker: our agent drains and leaves in peace", async () => {
  await using old = await oldBroker();
  const gate = new Gate();
  old.backend.respond = chatStream(["one"], { gate });
  const running = old.post('{"model":"test-model","stream":true}');
  await old.backend.arrived(1);
  const shut = old.agent.shutdown(Number.POSITIVE_INFINITY);
  gate.open();
  expect(await (await running).text()).toEndWith("data: [DONE]\n\n");
  expect(await shut).toBeTrue();
  await old.broker.logs("code=1000 reason=drained");
});
