import { expect, test } from "bun:test";
import { z } from "zod";
import { otherApis } from "../kit/backend/other-apis.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { TestClock } from "../kit/time/clock.ts";
import { API_KEY, CLIENT_KEY, World } from "../kit/world.ts";

const model = "test-model";
const listed = z.object({ models: z.array(z.object({ name: z.string() })) });

async function world(): Promise<World> {
  const made = new World();
  const { backend } = await made.worker({ clientId: "one" });
  backend.respond = otherApis(["a", "b"]);
  return made;
}

const authorization = { authorization: `Bearer ${API_KEY}` };

const ROUTES: [path: string, backendPath: string, answer: object][] = [
  ["/v1/completions", "/v1/completions", { choices: [{ text: "ab" }] }],
  ["/v1/moderations", "/v1/moderations", { results: [{ flagged: false }] }],
  ["/v1/images/generations", "/v1/images/generations", { data: [{ b64_json: "aGk=" }] }],
  ["/v1/rerank", "/v1/rerank", { results: [{ index: 1 }] }],
  ["/v1/messages", "/v1/messages", { content: [{ text: "ab" }] }],
  ["/v1/messages/count_tokens", "/v1/messages/count_tokens", { input_tokens: 42 }],
  ["/ollama/api/generate", "/api/generate", { response: "ab" }],
  ["/ollama/api/show", "/api/show", { model_info: { "general.name": model } }],
];

test.each(ROUTES)("%s goes to its worker as it is, pinned or not", async (path, backendPath, answer) => {
  await using made = await world();
  const body = `{ "model":"${model}", "stream":false,  "odd" : 12345678901234567890 }`;
  for (const prefix of ["/api/llm", "/api/llm/id/one"]) {
    const response = await fetch(made.origin + prefix + path, { method: "POST", headers: authorization, body });
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject(answer);
  }
  const [backend] = made.backends;
  expect(backend?.requests.map(request => [request.path, request.body?.toString()])).toEqual([
    [backendPath, body],
    [backendPath, body],
  ]);
  expect(await made.leftovers()).toEqual({});
});

test("lines of Ollama's pass as they come, and its type with them", async () => {
  await using made = await world();
  const response = await fetch(`${made.origin}/api/llm/ollama/api/chat`, {
    method: "POST",
    headers: authorization,
    body: JSON.stringify({ model }),
  });
  expect(response.headers.get("content-type")).toBe("application/x-ndjson");
  const lines = (await response.text()).trimEnd().split("\n");
  expect(lines).toHaveLength(3);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ message: { content: "a" }, done: false });
});

test("errors have the shape of their API", async () => {
  await using made = await world();
  const post = (path: string, body: string, headers: Record<string, string> = authorization) =>
    fetch(`${made.origin}/api/llm${path}`, { method: "POST", headers, body });
  const none = JSON.stringify({ model: "none" });
  expect(await (await post("/v1/messages", none)).json()).toMatchObject({
    type: "error",
    error: { type: "not_found_error", message: expect.stringMatching(/^no worker/) },
  });
  expect(await (await post("/v1/messages", "{}")).json()).toMatchObject({
    type: "error",
    error: { type: "invalid_request_error", message: expect.stringContaining("`model`") },
  });
  const refused = await post("/v1/messages", none, { "x-api-key": "wrong" });
  expect(refused.status).toBe(401);
  expect(await refused.json()).toMatchObject({ type: "error", error: { type: "authentication_error" } });
  expect(await (await post("/ollama/api/chat", none)).json()).toEqual({ error: expect.stringMatching(/^no worker/) });
  expect(await (await post("/v1/rerank", none)).json()).toMatchObject({ error: { code: "no_worker" } });
});

test("a list of all of Ollama's models needs a key, survives a broken backend, and is empty without workers", async () => {
  await using made = new World();
  const list = (path = "/ollama/api/tags", headers: Record<string, string> = authorization) =>
    fetch(`${made.origin}/api/llm${path}`, { headers });
  expect(await (await list()).json()).toEqual({ models: [] });
  expect((await list(undefined, { authorization: `Bearer ${CLIENT_KEY}` })).status).toBe(401);
  const { backend: good } = await made.worker({ clientId: "good", models: ["a"] });
  const { backend: broken } = await made.worker({ clientId: "broken", models: ["b"] });
  for (const backend of [good, broken]) backend.respond = otherApis(["a"]);
  const probe = broken.probe;
  broken.probe = (request, recorded) =>
    request.url.endsWith("/api/tags") ? new Response('{"models":[{}]}') : probe(request, recorded);
  const names = async (response: Response): Promise<string[]> => {
    return listed.parse(await response.json()).models.map(({ name }) => name);
  };
  expect(await names(await list())).toEqual(["a"]);
  expect(await names(await list("/id/good/ollama/api/tags"))).toEqual(["a"]);
  good.probe = broken.probe;
  const failed = await list();
  expect(failed.status).toBe(502);
  expect(await failed.json()).toEqual({ error: expect.stringContaining("sent an unexpected response") });
  expect(await made.leftovers()).toEqual({});
});

test("a list of all models does not wait for a worker that hangs, nor ask one that is not ready", async () => {
  const clock = new TestClock();
  await using made = new World({ clock });
  await made.worker({ models: ["a"], clientId: "well" });
  const hands = await Promise.all(
    ["hung", "away"].map(async id => {
      const worker = await HandWorker.connect(made.connectUrl, { v2: true });
      worker.register({ worker_id: id, agent_config: { backend_family: "ollama" } });
      await made.when(() => made.pool.registry.get(id) !== undefined, `${id} is registered`);
      return worker;
    }),
  );
  const [hung, away] = hands;
  away!.send({ type: "status_update", max_concurrency: 0, status: "not_ready" });
  await away!.handled();
  const list = fetch(`${made.origin}/api/llm/ollama/api/tags`, { headers: authorization });
  await hung!.frame("head");
  while ((made.pool.registry.get("well")?.slotExempt ?? 0) > 0) await new Promise(resolve => setImmediate(resolve));
  clock.advance(2_000);
  const answer = await list;
  expect(answer.status).toBe(200);
  expect(listed.parse(await answer.json()).models.map(({ name }) => name)).toEqual(["a"]);
  expect(await hung!.frame("reset")).toMatchObject({ code: "canceled" });
  expect(away!.frames).toEqual([]);
  for (const worker of hands) worker.close();
  expect(await made.leftovers()).toEqual({});
});
