// The official clients of Anthropic's and Ollama's APIs against a broker and workers whose backends have those routes.

import { expect, test } from "bun:test";
import Anthropic from "@anthropic-ai/sdk";
import { Ollama } from "ollama";
import type { PoolSettings } from "../../src/modules/module.ts";
import { bytes, cut, type Respond, status } from "../kit/backend/answers.ts";
import { json, serveDefault } from "../kit/backend/backend.ts";
import { otherApis } from "../kit/backend/other-apis.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, World } from "../kit/world.ts";

const WORDS = ["Tomorrow ", "it ", "rains."];
const TEXT = WORDS.join("");
const model = "test-model";
const messages = [{ role: "user" as const, content: "Will it rain?" }];

async function worldWith(gate?: Gate, pool: Partial<PoolSettings> = {}): Promise<World> {
  const world = new World({ pool });
  const { backend } = await world.worker();
  backend.respond = otherApis(WORDS, gate);
  return world;
}

const anthropic = (world: World, apiKey = API_KEY): Anthropic =>
  new Anthropic({ baseURL: `${world.origin}/api/llm`, apiKey, maxRetries: 0 });
const ollama = (world: World): Ollama =>
  new Ollama({ host: `${world.origin}/api/llm/ollama`, headers: { Authorization: `Bearer ${API_KEY}` } });

/** Tokens of the one model, as the metrics have them. */
async function tokens(world: World): Promise<string[]> {
  const text = await (await fetch(`${world.origin}/metrics`)).text();
  return ["in", "out"].map(
    kind =>
      new RegExp(`^nfrx_model_tokens_total\\{model="${model}",kind="${kind}"\\} (\\d+)$`, "m").exec(text)?.[1] ?? "",
  );
}

test("a message of Anthropic's, plain", async () => {
  await using world = await worldWith();
  const message = await anthropic(world).messages.create({ model, max_tokens: 50, messages });
  expect(message.content).toMatchObject([{ type: "text", text: TEXT }]);
  expect(message.usage).toMatchObject({ input_tokens: 11, output_tokens: 3 });
  expect(world.backends[0]?.requests[0]?.headers.get("anthropic-version")).toMatch(/^\d{4}-/);
  expect(await world.leftovers()).toEqual({});
  expect(await tokens(world)).toEqual(["11", "3"]);
});

test("a message of Anthropic's as a stream, each piece as it comes", async () => {
  const gate = new Gate();
  await using world = await worldWith(gate);
  const heard: string[] = [];
  const stream = anthropic(world).messages.stream({ model, max_tokens: 50, messages });
  stream.on("text", text => {
    heard.push(text);
    gate.release();
  });
  // The two events before the first word, and that word.
  gate.release(3);
  await stream.emitted("contentBlock").then(() => gate.open());
  const final = await stream.finalMessage();
  expect(heard).toEqual(WORDS);
  expect(final.usage).toMatchObject({ input_tokens: 11, output_tokens: 3 });
  expect(await world.leftovers()).toEqual({});
  expect(await tokens(world)).toEqual(["11", "3"]);
});

test("tokens counted in Anthropic's way", async () => {
  await using world = await worldWith();
  expect(await anthropic(world).messages.countTokens({ model, messages })).toEqual({ input_tokens: 42 });
});

test("errors are those of Anthropic's SDK", async () => {
  await using world = await worldWith();
  const ask = (sdk: Anthropic, name = model) => sdk.messages.create({ model: name, max_tokens: 1, messages });
  const refused = await ask(anthropic(world, "wrong")).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(Anthropic.AuthenticationError);
  expect(refused).toMatchObject({ status: 401, error: { type: "error", error: { type: "authentication_error" } } });
  const unknown = await ask(anthropic(world), "nobody-has-it").catch((error: unknown) => error);
  expect(unknown).toBeInstanceOf(Anthropic.NotFoundError);
  expect(unknown).toMatchObject({
    error: { error: { type: "not_found_error", message: expect.stringMatching(/^no worker/) } },
  });
});

test("who waits in the queue hears that the worker is lost in Anthropic's words", async () => {
  const gate = new Gate();
  await using world = await worldWith(gate, { graceMs: 0 });
  const ask = () =>
    anthropic(world)
      .messages.stream({ model, max_tokens: 1, messages })
      .finalMessage()
      .catch((error: unknown) => error);
  const asked = [ask(), ask()];
  await world.backends[0]?.arrived(2);
  const waiting = ask();
  await world.when(() => world.pool.waiting === 1, "one waits");
  await world.agents[0]?.shutdown(0);
  for (const failed of [...asked, waiting]) expect(await failed).toBeInstanceOf(Anthropic.APIError);
  expect(await waiting).toMatchObject({ error: { type: "error", error: { type: "overloaded_error" } } });
});

test("a chat of Ollama's, as a stream and whole", async () => {
  const gate = new Gate();
  await using world = await worldWith(gate);
  const client = ollama(world);
  const heard: string[] = [];
  gate.release();
  for await (const part of await client.chat({ model, messages, stream: true })) {
    if (!part.done) heard.push(part.message.content);
    else expect(part.eval_count).toBe(3);
    gate.release();
  }
  expect(heard).toEqual(WORDS);
  const whole = await client.chat({ model, messages });
  expect(whole.message.content).toBe(TEXT);
  expect(await world.leftovers()).toEqual({});
  expect(await tokens(world)).toEqual(["26", "6"]);
});

test("prompts, embeddings and a description in Ollama's way", async () => {
  await using world = await worldWith();
  const client = ollama(world);
  expect((await client.generate({ model, prompt: "Will it rain?" })).response).toBe(TEXT);
  expect((await client.embed({ model, input: "rain" })).embeddings).toEqual([[0.1, 0.2]]);
  expect((await client.show({ model })).model_info).toMatchObject({ "general.name": model });
});

test("Ollama's lists are those of all backends that have them", async () => {
  await using world = new World();
  for (const models of [
    ["a", "both"],
    ["both", "c"],
  ]) {
    const { backend } = await world.worker({ models });
    backend.respond = otherApis(WORDS);
  }
  const { backend: other } = await world.worker({ models: ["openai-only"] });
  const probe = other.probe;
  other.probe = (request, recorded) =>
    request.url.endsWith("/api/tags") ? new Response("no", { status: 404 }) : probe(request, recorded);
  const client = ollama(world);
  expect((await client.list()).models.map(({ name }) => name).sort()).toEqual(["a", "both", "c"]);
  expect((await client.ps()).models).toMatchObject([{ name: "loaded", size_vram: 7 }]);
  expect(await world.leftovers()).toEqual({});
});

test("a model that nobody has is an error of Ollama's client", async () => {
  await using world = await worldWith();
  const error = await ollama(world)
    .chat({ model: "nobody-has-it", messages })
    .catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ name: "ResponseError", status_code: 404, error: expect.stringMatching(/^no worker/) });
});

test("a caller of Ollama's that leaves stops the backend", async () => {
  const gate = new Gate();
  await using world = await worldWith(gate);
  const client = ollama(world);
  gate.release();
  const stream = await client.chat({ model, messages, stream: true });
  for await (const part of stream) {
    expect(part.message.content).toBe(WORDS[0] ?? "");
    break;
  }
  client.abort();
  await world.backends[0]?.aborted(1);
  expect(await world.leftovers()).toEqual({});
});

/** A world whose only worker is busy until the gate opens; its backend then answers with `next`. */
async function busyWorld(next: Respond): Promise<{ world: World; letIn: () => Promise<void> }> {
  const world = new World();
  const { backend } = await world.worker({ maxConcurrency: 1 });
  const gate = new Gate();
  backend.respond = bytes(["{}"], {}, 200, gate);
  const first = world.chat();
  await backend.arrived(1);
  const letIn = async (): Promise<void> => {
    await world.when(() => world.pool.waiting === 1, "one waits");
    backend.respond = next;
    gate.open();
    await (await first).text();
  };
  return { world, letIn };
}

test("a message that waits in the queue is as any other, as a stream and whole", async () => {
  const said = { id: "msg", type: "message", role: "assistant", model, content: [{ type: "text", text: TEXT }] };
  const end = { stop_reason: "end_turn", stop_sequence: null, usage: { input_tokens: 11, output_tokens: 3 } };
  for (const next of [otherApis(WORDS), status(200, { ...said, ...end })]) {
    const { world, letIn } = await busyWorld(next);
    await using _ = world;
    const stream = anthropic(world).messages.stream({ model, max_tokens: 50, messages });
    await letIn();
    const final = await stream.finalMessage();
    expect(final.content).toMatchObject([{ type: "text", text: TEXT }]);
    expect(final).toMatchObject(end);
    expect(await world.leftovers()).toEqual({});
    expect(await tokens(world)).toEqual(["11", "3"]);
  }
});

test("a backend's error after a wait is an error of Anthropic's SDK, with the backend's type", async () => {
  const error = { type: "overloaded_error", message: "Overloaded" };
  const { world, letIn } = await busyWorld(status(529, { type: "error", error }));
  await using _ = world;
  const failed = anthropic(world)
    .messages.stream({ model, max_tokens: 50, messages })
    .finalMessage()
    .catch((thrown: unknown) => thrown);
  await letIn();
  expect(await failed).toBeInstanceOf(Anthropic.APIError);
  expect(await failed).toMatchObject({ type: "overloaded_error", error: { type: "error", error } });
});

test("a chat of Ollama's that waits in the queue is as any other, and a break is an error", async () => {
  const gate = new Gate();
  const { world, letIn } = await busyWorld(otherApis(WORDS));
  await using _ = world;
  const asked = ollama(world).chat({ model, messages, stream: true });
  await letIn();
  let text = "";
  for await (const part of await asked) text += part.message.content;
  expect(text).toBe(TEXT);
  const [backend] = world.backends;
  const line = `${JSON.stringify({ model, message: { role: "assistant", content: "To" }, done: false })}\n`;
  if (backend !== undefined) backend.respond = cut(line, { headers: { "content-type": "application/x-ndjson" }, gate });
  const broken = async (): Promise<void> => {
    for await (const part of await ollama(world).chat({ model, messages, stream: true })) {
      expect(part.message.content).toBe("To");
      gate.open();
    }
  };
  expect(await broken().catch((thrown: unknown) => String(thrown))).toContain("the backend failed");
  expect(await world.leftovers()).toEqual({});
});

test("a fleet of Ollama and another server, by each client, and a model without its tag", async () => {
  await using world = new World();
  const plain = await world.backend({ models: ["llama3.2:latest"] });
  const { probe } = plain;
  plain.probe = (request, recorded) =>
    request.url.endsWith("/models") ? probe(request, recorded) : json({ detail: "Not Found" }, 404);
  plain.respond = (request, recorded) =>
    recorded.path.endsWith("/chat/completions") ? serveDefault(request, recorded) : json({ detail: "Not Found" }, 404);
  await world.agent(plain);
  const { backend } = await world.worker({ models: ["llama3.2:latest"] });
  backend.respond = otherApis(WORDS);
  for (let round = 0; round < 4; round++) {
    const chat = await ollama(world).chat({ model: "llama3.2", messages });
    expect(chat.message.content).toBe(TEXT);
    const message = await anthropic(world).messages.create({ model: "llama3.2:latest", max_tokens: 50, messages });
    expect(message.content).toMatchObject([{ type: "text", text: TEXT }]);
  }
  expect((await ollama(world).list()).models.map(({ name }) => name)).toEqual(["llama3.2:latest"]);
  expect(await ollama(world).version()).toEqual({ version: "0.0-test" });
  const ids: string[] = [];
  for await (const { id } of anthropic(world).models.list()) ids.push(id);
  expect(ids).toEqual(["llama3.2:latest"]);
  expect((await anthropic(world).models.retrieve("llama3.2")).id).toBe("llama3.2");
  expect(await world.leftovers()).toEqual({});
});
