// Routes beside the common ones, and addresses that are nearly right.
import { expect, test } from "bun:test";
import { json, type Respond, serveDefault, status } from "../kit/backend/backend.ts";
import { form } from "../kit/http/form.ts";
import { API_KEY, World } from "../kit/world.ts";

const headers = { authorization: `Bearer ${API_KEY}` };
const echo: Respond = (_, recorded) => json({ path: recorded.path, body: recorded.body ?? "" });
const post = (world: World, path: string, body: string): Promise<Response> =>
  fetch(world.origin + path, { method: "POST", headers, body });

test("what servers have beside their /v1 is asked for there, without a model where there is one", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  backend.respond = echo;
  for (const path of ["/tokenize", "/detokenize", "/score", "/rerank"]) {
    const body = `{ "model":"test-model", "prompt":"x" }`;
    expect(await (await post(world, `/api/llm${path}`, body)).json()).toEqual({ path, body });
    const unnamed = await post(world, `/api/llm${path}`, `{ "prompt":"x" }`);
    expect(unnamed.headers.get("x-nfrx-model")).toBe("test-model");
    expect(await unnamed.json()).toEqual({ path, body: `{"model":"test-model", "prompt":"x" }` });
  }
  await world.worker({ models: ["another"] });
  expect((await post(world, "/api/llm/tokenize", "{}")).status).toBe(400);
  expect(await world.leftovers()).toEqual({});
});

test("images are edited and varied by the model that a form names", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  backend.respond = echo;
  for (const name of ["edits", "variations"]) {
    const { body, type } = form([
      { name: "image", content: "pixels", filename: "a.png" },
      { name: "model", content: "test-model" },
    ]);
    const answer = await fetch(`${world.url}/images/${name}`, {
      method: "POST",
      headers: { ...headers, "content-type": type },
      body,
    });
    expect(await answer.json()).toEqual({ path: `/v1/images/${name}`, body: body.toString() });
  }
  expect(await world.leftovers()).toEqual({});
});

test("Ollama's further routes", async () => {
  await using world = new World();
  const get = (path: string, method = "GET"): Promise<Response> =>
    fetch(`${world.origin}/api/llm/ollama${path}`, { method, headers });
  expect((await get("/api/version")).status).toBe(503);
  const { backend } = await world.worker({ models: ["llama3.2:latest"] });
  backend.respond = (request, recorded) => (recorded.path.startsWith("/v1") ? serveDefault : echo)(request, recorded);
  for (const path of ["", "/"])
    for (const method of ["GET", "HEAD"]) {
      const answer = await get(path, method);
      expect([answer.status, await answer.text()]).toEqual([200, method === "GET" ? "Ollama is running" : ""]);
    }
  expect((await fetch(`${world.origin}/api/llm/ollama/`)).status).toBe(401);
  expect(await (await get("/api/version")).json()).toEqual({ version: "0.0-test" });
  const body = '{"model":"llama3.2","prompt":"x"}';
  expect(await (await post(world, "/api/llm/ollama/api/embeddings", body)).json()).toEqual({
    path: "/api/embeddings",
    body,
  });
  for (const path of ["chat/completions", "embeddings"])
    expect(
      (await post(world, `/api/llm/ollama/v1/${path}`, '{"model":"llama3.2","messages":[],"input":"x"}')).status,
    ).toBe(200);
  expect(await (await get("/v1/models")).json()).toMatchObject({ data: [{ id: "llama3.2:latest" }] });
  expect((await get("/v1/models/llama3.2")).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test.each([
  ["POST", "/api/llm//v1/chat/completions", "/api/llm/v1/chat/completions"],
  ["POST", "/api/llm/chat/completions", "/api/llm/v1/chat/completions"],
  ["POST", "/api/llm/v1/v1/chat/completions", "/api/llm/v1/chat/completions"],
  ["POST", "/v1/chat/completions", "/api/llm/v1/chat/completions"],
  ["POST", "/chat/completions", "/api/llm/v1/chat/completions"],
  ["GET", "/v1/models", "/api/llm/v1/models"],
])("%s %s is no route, and names %s", async (method, path, meant) => {
  await using world = new World();
  const answer = await fetch(world.origin + path, { method });
  expect(answer.status).toBe(404);
  expect(await answer.json()).toMatchObject({ error: { message: `no route ${path}; did you mean ${meant}?` } });
});

test("a path that is like nothing names nothing", async () => {
  await using world = new World();
  for (const path of ["/nothing", "/api/llm/v1/nothing", `/v1/models/${"x".repeat(600)}`])
    expect(await (await fetch(world.origin + path)).json()).toMatchObject({ error: { message: `no route ${path}` } });
});

test("a Docling server says how it is, beside its slots", async () => {
  await using world = new World({ module: "docling" });
  const get = (path: string): Promise<Response> => fetch(`${world.origin}/api/docling${path}`, { headers });
  expect((await get("/health")).status).toBe(503);
  const { backend } = await world.worker({ clientId: "one" });
  backend.probe = () => json({ status: "ok" });
  backend.respond = status(200, { here: true });
  for (const path of ["/health", "/ready", "/version", "/id/one/health"]) expect((await get(path)).status).toBe(200);
  expect((await fetch(`${world.origin}/api/docling/health`)).status).toBe(401);
  expect(world.pool.registry.get("one")?.inflight).toBe(0);
  expect(await world.leftovers()).toEqual({});
});

test("a transcription without a model is for the usual one", async () => {
  for (const usual of [undefined, "large"]) {
    await using world = new World({ module: "asr", pool: { ...(usual && { defaultModel: usual }) } });
    const { backend } = await world.worker({ models: usual === undefined ? ["small"] : ["small", usual] });
    backend.respond = status(200, { text: "hello" });
    const { body, type } = form([{ name: "file", content: "sound", filename: "a.wav" }]);
    const ask = (): Promise<Response> =>
      fetch(`${world.url}/audio/transcriptions`, {
        method: "POST",
        headers: { ...headers, "content-type": type },
        body,
      });
    const answer = await ask();
    expect([answer.status, answer.headers.get("x-nfrx-model")]).toEqual([200, usual ?? "small"]);
    const sent = await new Response(backend.requests[0]?.body, { headers: { "content-type": type } }).formData();
    expect([sent.get("model"), (sent.get("file") as File).size]).toEqual([usual ?? "small", 5]);
    await world.worker({ models: ["third"] });
    expect((await ask()).status).toBe(usual === undefined ? 400 : 200);
    expect(await world.leftovers()).toEqual({});
  }
});

test("voices of all servers that have some", async () => {
  await using world = new World({ module: "asr" });
  const lists = [{ voices: ["af", "bm"] }, [{ id: "bm" }, { name: "zoe" }]];
  for (const list of lists) {
    const { backend } = await world.worker();
    backend.respond = (_, recorded) =>
      recorded.path === "/v1/audio/voices" ? json(list) : json({ detail: "Not Found" }, 404);
  }
  const voices = await fetch(`${world.url}/audio/voices`, { headers });
  expect(await voices.json()).toEqual({ voices: ["af", { id: "bm" }, { name: "zoe" }] });
  expect((await fetch(`${world.url}/audio/models`, { headers })).status).toBe(404);
  expect(await world.leftovers()).toEqual({});
});
