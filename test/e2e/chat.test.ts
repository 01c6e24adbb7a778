import { expect, test } from "bun:test";
import { chatJson, chatStream } from "../kit/backend/backend.ts";
import { World } from "../kit/world.ts";

test("a chat completion goes to the backend and comes back unchanged", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  backend.respond = chatJson("good day", { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 });
  const response = await world.chat();
  expect(response.status).toBe(200);
  expect(await response.json()).toMatchObject({ choices: [{ message: { content: "good day" } }] });
  expect(backend.requests[0]?.json()).toMatchObject({
    model: "test-model",
    messages: [{ role: "user", content: "hello" }],
  });
  expect(backend.requests[0]?.headers.get("authorization")).toBeNull();
  await world.when(() => world.quiet, "nothing is left");
  const metrics = await (await fetch(`${world.origin}/metrics`)).text();
  expect(metrics).toContain('nfrx_model_tokens_total{model="test-model",kind="out"} 2');
});

test("the query of a request reaches the backend, behind that of the backend's own address", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  expect((await world.post("/chat/completions?api-version=2", { model: "test-model", messages: [] })).status).toBe(200);
  expect(backend.requests.map(({ search }) => search)).toEqual(["?api-version=2"]);
});

test("a streamed answer arrives chunk by chunk", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  backend.respond = chatStream(["one ", "two ", "three"], {
    usage: { prompt_tokens: 1, completion_tokens: 3, total_tokens: 4 },
  });
  const response = await world.chat({ stream: true });
  expect(response.headers.get("content-type")).toStartWith("text/event-stream");
  const text = await response.text();
  expect(text).toContain("two ");
  expect(text).toEndWith("data: [DONE]\n\n");
  await world.when(() => world.quiet, "nothing is left");
});
