// The official SDK for JavaScript against a broker, its workers and their backends.
import { expect, test } from "bun:test";
import OpenAI from "openai";
import { type DemoBackend, startDemoBackend } from "../../src/demo/backend.ts";
import { bytes, type Respond, status } from "../kit/backend/answers.ts";
import { chatJson, chatStream } from "../kit/backend/backend.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, World } from "../kit/world.ts";
import { type Story, startStory } from "./story.ts";

const client = ({ world }: { world: World }, apiKey = API_KEY): OpenAI =>
  new OpenAI({ baseURL: world.url, apiKey, maxRetries: 0 });

const messages = [{ role: "user" as const, content: "one two three" }];

async function failure(run: () => PromiseLike<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  try {
    await run();
  } catch (thrown) {
    if (thrown instanceof OpenAI.APIError) return thrown;
    throw thrown;
  }
  throw new Error("it did not fail");
}

const SSE = { "content-type": "text/event-stream" };
const USAGE = { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 };

/** A response of the demo's backend, as events and whole. */
async function demoResponse(): Promise<{ demo: DemoBackend; events: string; whole: object }> {
  const demo = startDemoBackend({ wordMs: 1 });
  const ask = (stream: boolean): Promise<Response> =>
    fetch(`${demo.url}/responses`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "demo-echo", input: "one two three", stream }),
    });
  const events = await (await ask(true)).text();
  const whole: unknown = await (await ask(false)).json();
  if (typeof whole !== "object" || whole === null) throw new Error("no response");
  return { demo, events, whole };
}

/** Nothing is left when the SDK is done. */
async function expectQuiet({ world }: Story): Promise<void> {
  expect(await world.leftovers()).toEqual({});
}

test("models", async () => {
  await using story = await startStory();
  const sdk = client(story);
  const ids: string[] = [];
  for await (const model of sdk.models.list()) ids.push(model.id);
  // That of a worker without a seat is not among them.
  expect(ids).toEqual(["broken", "demo-echo", "demo-embed", "embed", "endless", "invalid", "limited", "silent"]);
  expect(await sdk.models.retrieve("demo-echo")).toMatchObject({ id: "demo-echo", object: "model", owned_by: "nfrx" });
  await expectQuiet(story);
});

test("a chat, plain and streamed", async () => {
  await using story = await startStory();
  const sdk = client(story);
  const plain = await sdk.chat.completions.create({ model: "demo-echo", messages });
  expect(plain.choices[0]?.message.content).toContain("one two three");
  expect(plain.usage?.completion_tokens).toBeGreaterThan(0);
  const stream = await sdk.chat.completions.create({
    model: "demo-echo",
    messages,
    stream: true,
    stream_options: { include_usage: true },
  });
  let text = "";
  let usage: unknown;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  expect(text).toBe(plain.choices[0]?.message.content ?? "");
  expect(usage).toEqual(plain.usage!);
  await expectQuiet(story);
});

test("a response, plain and streamed", async () => {
  await using story = await startStory();
  const sdk = client(story);
  const plain = await sdk.responses.create({ model: "demo-echo", input: "one two three" });
  expect(plain.output_text).toContain("one two three");
  const stream = await sdk.responses.create({ model: "demo-echo", input: "one two three", stream: true });
  let text = "";
  const types: string[] = [];
  for await (const event of stream) {
    types.push(event.type);
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  expect(text).toBe(plain.output_text);
  expect([types[0], types.at(-1)]).toEqual(["response.created", "response.completed"]);
  await expectQuiet(story);
});

test("500 embeddings over three workers", async () => {
  await using story = await startStory();
  const input = Array.from({ length: 500 }, (_, i) => `text${i}`);
  // The SDK asks for base64 and decodes it.
  const answer = await client(story).embeddings.create({ model: "embed", input });
  expect(answer.data.map(({ index }) => index)).toEqual(input.map((_, i) => i));
  expect(answer.data.map(({ embedding }) => embedding[0])).toEqual(input.map((_, i) => i));
  expect(answer.usage).toEqual({ prompt_tokens: 500, total_tokens: 500 });
  expect(story.embedders.every(({ requests }) => requests.length > 1)).toBeTrue();
  const plain = await client(story).embeddings.create({ model: "embed", input, encoding_format: "float" });
  expect(plain.data.map(({ embedding }) => embedding)).toEqual(input.map((_, i) => [i, 0.5]));
  const real = await client(story).embeddings.create({ model: "demo-embed", input: "one text" });
  expect(real.data[0]?.embedding.length).toBeGreaterThan(10);
  await expectQuiet(story);
});

test("an abort in mid-stream reaches the backend", async () => {
  await using story = await startStory();
  story.words.release(3);
  const stream = await client(story).chat.completions.create({ model: "endless", messages, stream: true });
  let words = 0;
  for await (const chunk of stream) {
    words += chunk.choices.length;
    if (words === 3) break;
  }
  await story.odd.aborted(1);
  await expectQuiet(story);
  const controller = new AbortController();
  const silent = client(story).chat.completions.create({ model: "silent", messages }, { signal: controller.signal });
  silent.catch(() => undefined);
  await story.odd.arrived(2);
  controller.abort();
  expect(await failure(() => silent)).toBeInstanceOf(OpenAI.APIUserAbortError);
  await story.odd.aborted(2);
  await expectQuiet(story);
});

test("every failure is the exception that a program expects", async () => {
  await using story = await startStory();
  const chat = (model: string, sdk = client(story)) => failure(() => sdk.chat.completions.create({ model, messages }));
  const unauthorized = await chat("demo-echo", client(story, "wrong"));
  expect(unauthorized).toBeInstanceOf(OpenAI.AuthenticationError);
  expect(unauthorized.status).toBe(401);

  const unknown = await chat("nobody");
  expect(unknown).toBeInstanceOf(OpenAI.NotFoundError);
  expect([unknown.status, unknown.code, unknown.param]).toEqual([404, "no_worker", "model"]);
  expect(unknown.message).toContain("no worker");
  const missing = await failure(() => client(story).models.retrieve("nobody"));
  expect(missing).toBeInstanceOf(OpenAI.NotFoundError);

  const limited = await chat("limited");
  expect(limited).toBeInstanceOf(OpenAI.RateLimitError);
  expect([limited.status, limited.code, limited.headers?.get("retry-after")]).toEqual([
    429,
    "rate_limit_exceeded",
    "1",
  ]);
  expect(limited.message).toContain("slow down");
  expect(await chat("invalid")).toBeInstanceOf(OpenAI.BadRequestError);

  const busy = await chat("busy");
  expect(busy).toBeInstanceOf(OpenAI.InternalServerError);
  expect([busy.status, busy.code]).toEqual([503, "worker_busy"]);
  expect(busy.headers?.get("retry-after")).not.toBeNull();

  const late = await chat("silent");
  expect(late).toBeInstanceOf(OpenAI.InternalServerError);
  expect([late.status, late.code]).toEqual([504, "timeout"]);
  expect(late.requestID).toBeString();
  await expectQuiet(story);
});

test("a stream that breaks is an exception, not an end", async () => {
  await using story = await startStory();
  const broken = await failure(async () => {
    const stream = await client(story).chat.completions.create({ model: "broken", messages, stream: true });
    for await (const chunk of stream) {
      expect(chunk.model).toBe("broken");
      story.words.open();
    }
  });
  expect(broken.code).toBe("upstream_error");
  await expectQuiet(story);
});

/** Takes the world's only seat; `letIn` gives it to the one that waits, whom the backend answers with `next`. */
async function busy(world: World, next: Respond): Promise<{ letIn: () => Promise<void> }> {
  const { backend } = await world.worker({ maxConcurrency: 1 });
  const gate = new Gate();
  backend.respond = chatStream(["first"], { gate });
  const first = world.chat({ stream: true });
  await backend.arrived(1);
  const letIn = async (): Promise<void> => {
    await world.when(() => world.pool.waiting === 1, "one waits");
    backend.respond = next;
    gate.open();
    await (await first).text();
  };
  return { letIn };
}

test("a stream that waits in the queue is as any other for the plain loop", async () => {
  await using world = new World();
  const { letIn } = await busy(world, chatStream(["a", "b"]));
  const stream = client({ world }).chat.completions.create({ model: "test-model", messages, stream: true });
  await letIn();
  let text = "";
  for await (const chunk of await stream) text += chunk.choices[0]!.delta.content ?? "";
  expect(text).toBe("ab");
  expect(await world.leftovers()).toEqual({});
});

test("a client that asks for it hears of its place as an event", async () => {
  await using world = new World();
  const { letIn } = await busy(world, chatStream(["a"]));
  const headers = { "x-nfrx-queue": "event" };
  const body = { model: "test-model", messages, stream: true } as const;
  const stream = await client({ world }).chat.completions.create(body, { headers });
  await letIn();
  const seen: unknown[] = [];
  for await (const chunk of stream) seen.push(Reflect.get(chunk, "type") ?? chunk.choices[0]?.delta.content);
  expect(seen.slice(0, 2)).toEqual(["nfrx.queue", "a"]);
  expect(await world.leftovers()).toEqual({});
});

test("a response that waits in the queue is as any other for the SDK's own reader, whole answers too", async () => {
  const { demo, events, whole } = await demoResponse();
  for (const next of [bytes([events], SSE), status(200, whole)]) {
    await using world = new World();
    const { letIn } = await busy(world, next);
    const stream = client({ world }).responses.stream({ model: "test-model", input: "one two three" });
    await letIn();
    let text = "";
    for await (const event of stream) if (event.type === "response.output_text.delta") text += event.delta;
    expect(text).toContain("one two three");
    expect((await stream.finalResponse()).output_text).toBe(text);
    expect(await world.leftovers()).toEqual({});
  }
  await demo.stop();
});

test("a whole answer to a stream that waited reaches the SDK as a stream, tool calls included", async () => {
  await using world = new World();
  const call = { id: "call_1", type: "function", function: { name: "f", arguments: '{"a":1}' } };
  const choice = {
    index: 0,
    message: { role: "assistant", content: null, tool_calls: [call] },
    finish_reason: "tool_calls",
  };
  const answer = { id: "c", object: "chat.completion", created: 1, model: "m", choices: [choice], usage: USAGE };
  const { letIn } = await busy(world, status(200, answer));
  const stream = client({ world }).chat.completions.stream({ model: "test-model", messages });
  await letIn();
  expect(await stream.finalChatCompletion()).toMatchObject({ id: "c", choices: [choice], usage: USAGE });
  expect(await world.leftovers()).toEqual({});
});

test("a backend's error after a wait is an exception with the backend's code", async () => {
  const refused = { error: { message: "too long", type: "invalid_request_error", code: "context_length_exceeded" } };
  for (const ask of [
    (sdk: OpenAI) => sdk.chat.completions.stream({ model: "test-model", messages }).finalChatCompletion(),
    (sdk: OpenAI) => sdk.responses.stream({ model: "test-model", input: "x" }).finalResponse(),
  ]) {
    await using world = new World();
    const { letIn } = await busy(world, status(400, refused));
    const failed = failure(() => ask(client({ world })));
    await letIn();
    expect(await failed).toMatchObject({ code: "context_length_exceeded" });
    expect((await failed).message).toContain("too long");
    expect(await world.leftovers()).toEqual({});
  }
});

test("the SDK's own retries get through when a worker comes", async () => {
  await using world = new World({ pool: { queueSize: 0 } });
  const busy = await HandWorker.connect(world.connectUrl);
  busy.register({ max_concurrency: 0 });
  await world.when(() => world.pool.registry.size === 1, "the busy worker is registered");
  let tries = 0;
  const sdk = new OpenAI({
    baseURL: world.url,
    apiKey: API_KEY,
    maxRetries: 1,
    fetch: async (url, init) => {
      tries++;
      const answer = await fetch(url, init);
      if (tries === 1) {
        const { backend } = await world.worker();
        backend.respond = chatJson("at last");
        // The broker asks for seconds; the test has them pass at once.
        answer.headers.set("retry-after-ms", "1");
      }
      return answer;
    },
  });
  const answer = await sdk.chat.completions.create({ model: "test-model", messages });
  expect(answer.choices[0]?.message.content).toBe("at last");
  expect(tries).toBe(2);
  busy.close();
});
