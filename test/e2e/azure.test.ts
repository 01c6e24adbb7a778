// Azure's SDK: its key header, its deployment paths and its api-version.
import { expect, test } from "bun:test";
import { AzureOpenAI } from "openai";
import { API_KEY, World } from "../kit/world.ts";

test("Azure's SDK chats, streams and embeds below the base of the llm module", async () => {
  await using world = new World();
  const { backend } = await world.worker({ models: ["test-model", "llama3.2:latest"] });
  const endpoint = `${world.origin}/api/llm`;
  const client = new AzureOpenAI({ endpoint, apiKey: API_KEY, apiVersion: "2024-10-21", maxRetries: 0 });
  const messages = [{ role: "user" as const, content: "hello" }];
  for (const model of ["test-model", "llama3.2:latest"]) {
    const answer = await client.chat.completions.create({ model, messages });
    expect(answer.choices[0]?.message.content).toBeString();
    let text = "";
    for await (const chunk of await client.chat.completions.create({ model, messages, stream: true }))
      text += chunk.choices[0]?.delta.content ?? "";
    expect(text).not.toBe("");
  }
  const embedded = await client.embeddings.create({ model: "test-model", input: ["a", "b"] });
  expect(embedded.data).toHaveLength(2);
  const paths = backend.requests.map(({ path }) => path.split("?", 1)[0]);
  expect(new Set(paths)).toEqual(new Set(["/v1/chat/completions", "/v1/embeddings"]));
  for (const { headers } of backend.requests) expect(headers.get("api-key")).toBeNull();
  const wrong = new AzureOpenAI({ endpoint, apiKey: "wrong", apiVersion: "2024-10-21", maxRetries: 0 });
  const refused = await wrong.chat.completions.create({ model: "test-model", messages }).catch(error => error.status);
  expect(refused).toBe(401);
  expect(await world.leftovers()).toEqual({});
});
