// What is served here, in OpenAI's words, and whether the broker is well.
import { expect, test } from "bun:test";
import type { Worker } from "../../src/broker/pool/worker.ts";
import { chatJson, json, silent } from "../kit/backend/backend.ts";
import { Call, call } from "../kit/http/call.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { API_KEY, World } from "../kit/world.ts";

const headers = { Authorization: `Bearer ${API_KEY}` };

async function get(world: World, path: string): Promise<{ status: number; body: unknown; text: string }> {
  const answer = await call(`${world.origin}/api/llm${path}`, { headers });
  const text = answer.body.toString();
  return { status: answer.status, text, body: JSON.parse(text) };
}

test("with no worker the list is empty, not null", async () => {
  await using world = new World();
  expect((await get(world, "/v1/models")).text).toBe('{"object":"list","data":[]}');
});

test("models are listed once; their workers are named where EXPOSE_ROUTING says so", async () => {
  await using world = new World({ broker: { exposeRouting: true } });
  await world.worker({ clientName: "zoe", models: ["b-model", "org/model:8b-q4"] });
  await world.worker({ clientName: "abe", models: ["b-model", "a-model"] });
  const { body } = await get(world, "/v1/models");
  expect(body).toEqual({
    object: "list",
    data: [
      { id: "a-model", object: "model", created: expect.any(Number), owned_by: "abe" },
      { id: "b-model", object: "model", created: expect.any(Number), owned_by: "abe,zoe" },
      { id: "org/model:8b-q4", object: "model", created: expect.any(Number), owned_by: "zoe" },
    ],
  });
});

test("one model is found by its id, whatever it holds", async () => {
  await using world = new World();
  const ids = ["org/model:8b-q4", "plain", "with space", "per%cent", "100%2F", "ümlaut", "a/b/c", "q?x#y", "a+b", ".."];
  await world.worker({ clientName: "abe", models: ids });
  for (const id of ids) {
    const { status, body } = await get(world, `/v1/models/${encodeURIComponent(id).replace("..", "%2e%2e")}`);
    if (id === "..") continue; // no client can ask for this one: URLs resolve it away
    expect([id, status, body]).toEqual([
      id,
      200,
      { id, object: "model", created: expect.any(Number), owned_by: "nfrx" },
    ]);
  }
  // Clients that do not escape send the slash and the colon as they are.
  expect((await get(world, "/v1/models/org/model:8b-q4")).status).toBe(200);
  expect((await get(world, "/v1/models/a/b/c")).status).toBe(200);
});

test("an unknown model is a 404 that the SDKs understand", async () => {
  await using world = new World();
  await world.worker();
  const { status, body } = await get(world, "/v1/models/nobody/serves:this");
  expect(status).toBe(404);
  expect(body).toMatchObject({ error: { code: "model_not_found", type: "invalid_request_error", param: "model" } });
});

test("an unknown model's error names what there is, and not too much of it", async () => {
  await using world = new World();
  expect(await (await world.chat({ model: "nobody" })).json()).toMatchObject({
    error: { message: "no worker serves model nobody" },
  });
  await world.worker({ models: Array.from({ length: 12 }, (_, i) => `m${String(i).padStart(2, "0")}`) });
  const message =
    "no worker serves model nobody; available models: m00, m01, m02, m03, m04, m05, m06, m07, m08, m09 and 2 more";
  expect(await (await world.chat({ model: "nobody" })).json()).toMatchObject({ error: { message } });
  expect((await get(world, "/v1/models/nobody")).body).toMatchObject({ error: { message } });
  const stranger = await fetch(`${world.url}/models/nobody`);
  expect([stranger.status, (await stranger.text()).includes("m00")]).toEqual([401, false]);
});

test("what backends say of a model is passed on, the least of it where they differ", async () => {
  await using world = new World();
  const listing = (data: object[]): void => {
    const probe = world.backends.at(-1)!.probe;
    world.backends.at(-1)!.probe = (request, recorded) =>
      request.url.endsWith("/models") ? json({ object: "list", data }) : probe(request, recorded);
  };
  const first = await world.backend();
  listing([
    {
      id: "a",
      created: 1_600_000_000,
      max_model_len: 32_768,
      owned_by: "vllm",
      root: "/data/models/secret",
      permission: [{}],
    },
    { id: "b", context_length: "many", max_model_len: -1, created: 0 },
  ]);
  await world.agent(first);
  const second = await world.backend();
  listing([{ id: "a", created: 1_700_000_000, max_model_len: 8_192, context_length: 131_072 }]);
  await world.agent(second);
  const { body } = await get(world, "/v1/models");
  const own = { object: "model", owned_by: "nfrx" };
  expect(body).toEqual({
    object: "list",
    data: [
      { id: "a", created: 1_600_000_000, max_model_len: 8_192, context_length: 131_072, ...own },
      { id: "b", created: expect.any(Number), ...own },
    ],
  });
  expect((body as { data: { created: number }[] }).data[1]!.created).toBeGreaterThan(1_700_000_000);
});

test("clients of Anthropic's API get its list, and its errors", async () => {
  await using world = new World();
  await world.worker({ models: ["a", "b"] });
  const ask = async (path: string): Promise<unknown> =>
    (await fetch(world.url + path, { headers: { "x-api-key": API_KEY, "anthropic-version": "2023-06-01" } })).json();
  const model = (id: string) => ({ type: "model", id, display_name: id, created_at: "2023-11-14T22:13:20.000Z" });
  expect(await ask("/models")).toEqual({
    data: [model("a"), model("b")],
    has_more: false,
    first_id: "a",
    last_id: "b",
  });
  expect(await ask("/models/b")).toEqual(model("b"));
  expect(await ask("/models/c")).toMatchObject({ type: "error", error: { type: "not_found_error" } });
});

test("a model keeps the time at which it was first seen", async () => {
  await using world = new World();
  const { agent } = await world.worker({ clientId: "one" });
  const first = await get(world, "/v1/models/test-model");
  await agent.shutdown(0);
  await world.when(() => world.pool.registry.size === 0, "the agent has left");
  expect((await get(world, "/v1/models")).text).toBe('{"object":"list","data":[]}');
  await world.worker({ clientId: "one" });
  const again = await get(world, "/v1/models/test-model");
  expect((again.body as { created: number }).created).toBe((first.body as { created: number }).created);
});

test("pinned routes know one worker only", async () => {
  await using world = new World({ broker: { exposeRouting: true } });
  const { backend: one } = await world.worker({
    clientId: "worker one/ü",
    clientName: "one",
    models: ["both", "mine"],
  });
  const { backend: two } = await world.worker({ clientId: "two", clientName: "two", models: ["both", "other"] });
  one.respond = chatJson("from one");
  const pin = `/id/${encodeURIComponent("worker one/ü")}`;
  expect((await get(world, `${pin}/v1/models`)).body).toMatchObject({
    data: [
      { id: "both", owned_by: "one" },
      { id: "mine", owned_by: "one" },
    ],
  });
  expect((await get(world, `${pin}/v1/models/mine`)).status).toBe(200);
  expect((await get(world, `${pin}/v1/models/other`)).status).toBe(404);
  for (let i = 0; i < 3; i++) {
    const answer = await world.post(`/../id/${encodeURIComponent("worker one/ü")}/v1/chat/completions`, {
      model: "both",
    });
    expect(await answer.json()).toMatchObject({ choices: [{ message: { content: "from one" } }] });
  }
  expect(one.requests).toHaveLength(3);
  expect(two.requests).toHaveLength(0);
  expect(await world.leftovers()).toEqual({});
});

test("pinned: an unknown worker, and a model it does not serve, are a 404 at once", async () => {
  await using world = new World();
  await world.worker({ clientId: "two", models: ["both"] });
  expect((await get(world, "/id/nobody/v1/models")).status).toBe(404);
  expect((await get(world, "/id/nobody/v1/models/both")).status).toBe(404);
  for (const [worker, model] of [
    ["nobody", "both"],
    ["two", "other"],
  ]) {
    const answer = await world.post(`/../id/${worker}/v1/chat/completions`, { model });
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({
      error: { code: "no_worker", message: expect.stringMatching(/^no worker/) },
    });
  }
});

test("health and readiness", async () => {
  await using world = new World();
  const ask = async (path: string) => {
    const answer = await call(world.origin + path);
    return [answer.status, JSON.parse(answer.body.toString())];
  };
  expect(await ask("/healthz")).toEqual([200, { status: "ok" }]);
  const told = (status: string, reason: string, llm: { ready: boolean; reason: string }) => ({
    status,
    reason,
    modules: { llm },
  });
  const nobody = { ready: false, reason: "no worker is connected" };
  expect(await ask("/readyz")).toEqual([503, told("not_ready", "no worker is connected", nobody)]);
  const worker = await HandWorker.connect(world.connectUrl);
  worker.register();
  await world.when(() => world.pool.registry.size === 1, "a worker");
  const one = { ready: true, reason: "1 of 1 connected workers can serve" };
  expect(await ask("/readyz")).toEqual([200, told("ready", "a worker can serve", one)]);
  const connected = (): Worker | undefined => world.pool.registry.get("hand");
  worker.send({ type: "status_update", max_concurrency: 0, status: "not_ready" });
  await world.when(() => connected()?.ready === false, "its backend is away");
  const away = { ready: false, reason: "no connected worker can reach its backend" };
  expect(await ask("/readyz")).toEqual([503, told("not_ready", away.reason, away)]);
  expect(await ask("/healthz")).toEqual([200, { status: "ok" }]);
  worker.send({ type: "status_update", max_concurrency: 2, status: "idle" });
  await world.when(() => connected()?.ready === true, "its backend is back");
  world.pool.drain("hand", true);
  const drained = { ready: false, reason: "every connected worker is draining" };
  expect(await ask("/readyz")).toEqual([503, told("not_ready", drained.reason, drained)]);
  world.pool.drain("hand", false);
  world.broker.drain.begin();
  expect(await ask("/healthz")).toEqual([503, { status: "unavailable" }]);
  expect(await ask("/readyz")).toEqual([503, told("draining", "the broker is draining", one)]);
  worker.close();
});

test("a worker that is full is still listed, one whose backend is away is not", async () => {
  await using world = new World();
  const idle = await HandWorker.connect(world.connectUrl);
  idle.register({ worker_id: "not-ready", models: ["sleepy"], max_concurrency: 0 });
  const { backend } = await world.worker({ maxConcurrency: 1 });
  backend.respond = silent();
  const client = new Call(`${world.url}/chat/completions`, { headers, body: '{"model":"test-model"}' });
  await backend.arrived(1);
  expect((await get(world, "/v1/models")).body).toMatchObject({ data: [{ id: "test-model" }] });
  client.abort();
  await backend.aborted(1);
  expect(await world.leftovers()).toEqual({});
  idle.close();
});
