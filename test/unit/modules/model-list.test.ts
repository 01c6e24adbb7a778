import { expect, test } from "bun:test";
import { StatusError } from "../../../src/lib/status-error.ts";
import { readModelList } from "../../../src/modules/model-list.ts";
import type { Ask } from "../../../src/modules/module.ts";
import { probeOpenai } from "../../../src/modules/openai.ts";

test.each([
  ["OpenAI's", { object: "list", data: [{ id: "b" }, { id: "a" }] }, ["a", "b"], 0],
  ["a bare array", [{ id: "a" }], ["a"], 0],
  ["names alone", ["a", "b"], ["a", "b"], 0],
  ["Ollama's", { models: [{ name: "a:latest", model: "a:latest" }] }, ["a:latest"], 0],
  ["entries without an id, or with a number", { data: [{ id: "a" }, {}, { id: 7 }, null, 7, { id: "" }] }, ["a"], 5],
  ["the same twice", { data: [{ id: "a" }, { id: "a" }] }, ["a"], 0],
  ["a name that is too long", { data: [{ id: "m".repeat(257) }] }, [], 1],
  ["nothing", { data: null }, [], 0],
])("%s", (_, json, models, skipped) => {
  expect(readModelList(json)).toMatchObject({ models, skipped });
});

test.each([[{}], [{ data: "x" }], ["x"], [7], [null], [{ error: "no" }]])("%j is no list", json => {
  expect(readModelList(json)).toBeUndefined();
});

/** A backend whose answers are these, by the end of their address. */
const answering =
  (answers: Record<string, string>): Ask =>
  async url => {
    const found = Object.entries(answers).find(([end]) => url.endsWith(end));
    if (found === undefined) throw new StatusError(url, 404);
    return found[1];
  };

test("a mark of the byte order is passed over, and what is left out is said once", async () => {
  const ask = answering({ "/v1/models": '\uFEFF{"data":[{"id":"a","created":5,"context_length":9},{},{"id":1}]}' });
  expect(await probeOpenai("http://b/v1", { models: [] }, ask)).toEqual({
    models: ["a"],
    details: { a: { created: 5, context_length: 9 } },
    facts: {},
    warning: "GET http://b/v1/models: skipped 2 entries without a usable id",
  });
});

test("without a list of OpenAI's the one of Ollama's is taken, and without any the option is named", async () => {
  expect(
    await probeOpenai("http://b/v1", { models: [] }, answering({ "/api/tags": '{"models":[{"name":"a"}]}' })),
  ).toMatchObject({
    models: ["a"],
  });
  await expect(probeOpenai("http://b/v1", { models: [] }, answering({}))).rejects.toThrow(
    "GET http://b/v1/models responded with status 404: the backend does not list its models; set MODELS",
  );
});

test("models that are named by hand need no backend", async () => {
  const ask: Ask = () => Promise.reject(new Error("nobody is asked"));
  expect(await probeOpenai("http://b/v1", { models: ["a", "b"] }, ask)).toEqual({ models: ["a", "b"], facts: {} });
  expect(await probeOpenai("http://b/v1", { models: ["a"], style: "ollama" }, ask)).toEqual({
    models: ["a"],
    facts: { backend_family: "ollama" },
  });
});
