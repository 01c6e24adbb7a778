// The same model at backends that do not have the same routes.
import { expect, test } from "bun:test";
import { error, json, type Respond, serveDefault, status, type TestBackend } from "../kit/backend/backend.ts";
import { otherApis } from "../kit/backend/other-apis.ts";
import { API_KEY, World } from "../kit/world.ts";

const ROUNDS = 4;
const model = "test-model";
/** How web frameworks and servers say that they do not have a route. */
const NO_ROUTE: Record<string, Respond> = {
  FastAPI: status(404, { detail: "Not Found" }),
  Gin: status(404, "404 page not found"),
  "llama.cpp": status(404, { error: { code: 404, message: "File Not Found", type: "not_found_error" } }),
  "an HTML page": status(404, "<html><title>404</title><h1>Not Found</h1></html>", { "content-type": "text/html" }),
  "no body": status(404),
  "the wrong method": status(405, { detail: "Method Not Allowed" }),
  "not implemented": status(501, error("not here")),
};

/** A worker whose backend says nothing of its family and has OpenAI's older routes only. */
async function plainWorker(world: World, noRoute: Respond): Promise<TestBackend> {
  const backend = await world.backend();
  const { probe } = backend;
  backend.probe = (request, recorded) =>
    request.url.endsWith("/models") ? probe(request, recorded) : json({ detail: "Not Found" }, 404);
  backend.respond = (request, recorded) =>
    /\/(?:chat\/completions|embeddings)$/.test(recorded.path)
      ? serveDefault(request, recorded)
      : noRoute(request, recorded);
  await world.agent(backend, { clientId: "plain" });
  return backend;
}

async function ollamaWorker(world: World, version = "0.20.0"): Promise<TestBackend> {
  const backend = await world.backend();
  const { probe } = backend;
  backend.probe = (request, recorded) =>
    request.url.endsWith("/api/version") ? json({ version }) : probe(request, recorded);
  const others = otherApis(["a"]);
  backend.respond = (request, recorded) =>
    recorded.path.endsWith("/responses") ? json({ object: "response", output: [] }) : others(request, recorded);
  await world.agent(backend, { clientId: "ollama" });
  return backend;
}

const post = (world: World, path: string, more: object = {}): Promise<Response> =>
  fetch(`${world.origin}/api/llm${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${API_KEY}` },
    body: JSON.stringify({ model, stream: false, ...more }),
  });

test.each(Object.entries(NO_ROUTE))("a route that only one backend has is asked for there (%s)", async (_, noRoute) => {
  await using world = new World();
  const plain = await plainWorker(world, noRoute);
  const ollama = await ollamaWorker(world);
  const paths = ["/v1/messages", "/v1/responses", "/ollama/api/chat", "/ollama/api/generate"];
  for (let round = 0; round < ROUNDS; round++)
    for (const path of paths) expect([path, (await post(world, path)).status]).toEqual([path, 200]);
  // Ollama's own API never goes elsewhere; what others may have is tried once.
  const tried = plain.requests.map(({ path }) => path);
  expect(tried.filter(path => path.startsWith("/api/"))).toEqual([]);
  expect(tried.length).toBe(new Set(tried).size);
  expect(ollama.requests).toHaveLength(ROUNDS * paths.length);
  for (let round = 0; round < ROUNDS; round++) expect((await world.chat()).status).toBe(200);
  expect(plain.requests.some(({ path }) => path.endsWith("/chat/completions"))).toBeTrue();
  expect(await world.leftovers()).toEqual({});
});

test("a 404 about the request is no 404 of a route, and what nobody has comes from a backend", async () => {
  await using world = new World();
  const plain = await plainWorker(world, status(404, error(`The model '${model}' does not exist`, "model_not_found")));
  const ollama = await ollamaWorker(world);
  const answers = await Promise.all(Array.from({ length: ROUNDS }, () => post(world, "/v1/messages")));
  expect(answers.map(answer => answer.status).sort()).toEqual([200, 200, 404, 404]);
  expect([plain.requests.length, ollama.requests.length]).toEqual([2, 2]);
  ollama.respond = status(404, "404 page not found");
  plain.respond = status(404, { detail: "Not Found" });
  for (let round = 0; round < ROUNDS; round++) {
    const answer = await post(world, "/v1/moderations", { input: "x" });
    expect(answer.status).toBe(404);
    expect(["404 page not found", '{"detail":"Not Found"}']).toContain(await answer.text());
  }
  expect(await world.leftovers()).toEqual({});
});

test("an Ollama that is too old for an API is not asked", async () => {
  await using world = new World();
  const ollama = await ollamaWorker(world, "0.12.9");
  const none = await post(world, "/v1/messages");
  expect(none.status).toBe(404);
  expect(await none.json()).toMatchObject({
    error: { type: "not_found_error", message: `no worker with model ${model} has a backend that supports this API` },
  });
  expect(ollama.requests).toEqual([]);
  const plain = await plainWorker(world, status(404, { detail: "Not Found" }));
  expect((await post(world, "/v1/messages")).status).toBe(404);
  expect([plain.requests.length, ollama.requests.length]).toEqual([1, 0]);
  expect(world.pool.registry.get("plain")?.missing.size).toBe(1);
  expect(await world.leftovers()).toEqual({});
});

test("embeddings, too, are reported by the backend that has them, parts included", async () => {
  await using world = new World();
  const { backend: without } = await world.worker({ clientId: "without" });
  const { backend } = await world.worker({ clientId: "with" });
  without.respond = status(404, { detail: "Not Found" });
  for (const input of [["a", "b", "c", "d"], ["a", "b"], "a"])
    expect((await post(world, "/v1/embeddings", { input })).status).toBe(200);
  expect(without.requests).toHaveLength(1);
  expect(backend.requests.length).toBeGreaterThan(2);
  expect(await world.leftovers()).toEqual({});
});
