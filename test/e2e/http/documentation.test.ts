// The API's document: complete, valid, and true.
import { afterAll, expect, test } from "bun:test";
import { Validator } from "@seriousme/openapi-schema-validator";
import { wholeBroker } from "../../kit/broker/whole.ts";
import { ApiDocument } from "../../kit/http/api-document.ts";

const broker = wholeBroker();
afterAll(() => broker.stop());
const origin = `http://127.0.0.1:${broker.port}`;
const get = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${origin}/api/client${path}`, { headers, redirect: "manual" });

const api = await ApiDocument.of(origin);
const { operations, document } = api;

test("is an OpenAPI document", async () => {
  const validator = new Validator();
  expect(await validator.validate(structuredClone(api.raw))).toEqual({ valid: true });
  expect(validator.version).toBe("3.1");
});

test("has every route that the broker serves, and no other", () => {
  const refusals = new Set(
    broker.routes.filter(route => route.operation === undefined).map(({ method, path }) => `${method} ${path}`),
  );
  const again = new Set(broker.routes.flatMap(({ path, orSlash }) => (orSlash ? [`${path}/`] : [])));
  const names = new Map(broker.routes.map(({ path }) => [path.replace(/\*\w+$/, "*"), path]));
  const served = broker.app.table
    .filter(({ method, path }) => !refusals.has(`${method} ${path}`) && !again.has(path))
    .map(({ method, path }) => `${method} ${(names.get(path) ?? path).replace(/[:*](\w+)/g, "{$1}")}`);
  expect(operations.map(({ place }) => place).toSorted()).toEqual(served.toSorted());
});

test("names every operation once, and every part of the API", () => {
  const ids = operations.map(({ operationId }) => operationId);
  expect(new Set(ids).size).toBe(ids.length);
  const tags = document.tags.map(({ name }) => name);
  expect(new Set(operations.flatMap(one => one.tags))).toEqual(new Set(tags));
  const schemes = Object.keys(document.components.securitySchemes);
  for (const { security } of operations)
    for (const choice of security) for (const scheme of Object.keys(choice)) expect(schemes).toContain(scheme);
});

test("explains every segment of a path, and no other", () => {
  for (const { place, parameters } of operations) {
    const segments = [...place.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name);
    const explained = parameters.filter(one => one.in === "path").map(({ name }) => name);
    expect([place, explained.toSorted()]).toEqual([place, segments.toSorted()]);
  }
});

test("has examples that its schemas take", () => {
  let examples = 0;
  const check = (where: string, schema: Record<string, unknown> | undefined, example: unknown): void => {
    if (example === undefined) return;
    examples++;
    expect([where, api.objection(schema, example)]).toEqual([where, undefined]);
  };
  for (const { place, parameters, requestBody, responses } of operations) {
    for (const { name, schema, example } of parameters) check(`${place} ${name}`, schema, example);
    const contents = [
      requestBody?.content ?? {},
      ...Object.values(responses).map(response => response.content ?? {}),
    ].flatMap(content => Object.entries(content));
    for (const [type, { schema, example, examples: several }] of contents) {
      check(`${place} ${type}`, schema, example);
      for (const [name, { value }] of Object.entries(several ?? {})) check(`${place} ${type} ${name}`, schema, value);
    }
  }
  expect(examples).toBeGreaterThan(200);
});

test("a body that is JSON or text has an example", () => {
  for (const { place, requestBody } of operations)
    for (const [type, { example }] of Object.entries(requestBody?.content ?? {}))
      if (type === "application/json") expect([place, example === undefined]).toEqual([place, false]);
});

test("the page and its files come from the broker, and may be kept as long as they are the same", async () => {
  const page = await get("/");
  expect(page.status).toBe(200);
  expect(page.headers.get("cache-control")).toBe("no-cache");
  expect(page.headers.get("content-security-policy")).toStartWith("default-src 'none'; script-src 'self';");
  const text = await page.text();
  expect(text).not.toMatch(/https?:/);
  const files = [...text.matchAll(/(?:src|href)="([\w.-]+\?v=\w+)"/g)].map(([, file = ""]) => file);
  expect(files).toHaveLength(4);
  for (const file of files) {
    const asset = await get(`/${file}`);
    expect([file, asset.status]).toEqual([file, 200]);
    expect(asset.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
    const etag = asset.headers.get("etag") ?? "";
    expect(file).toEndWith(`?v=${etag.slice(1, -1)}`);
    expect((await get(`/${file}`, { "if-none-match": `W/"x", W/${etag}` })).status).toBe(304);
    // A version that is not this one says nothing of how long it may be kept.
    expect((await get(`/${file}0`)).headers.get("cache-control")).toBe("no-cache");
    await asset.body?.cancel();
  }
});

test("a file is compressed for those who can read it so", async () => {
  const plain = await get("/start.js", { "accept-encoding": "identity" });
  const small = await get("/start.js", { "accept-encoding": "gzip" });
  expect([plain.headers.get("content-encoding"), small.headers.get("content-encoding")]).toEqual([null, "gzip"]);
  expect(await small.text()).toBe(await plain.text());
});

test("without its slash the page is a redirect, and a file it does not have is none", async () => {
  const bare = await get("");
  expect([bare.status, bare.headers.get("location")]).toEqual([308, "client/"]);
  expect((await get("/..%2Fclient%2Fstart.js")).status).toBe(404);
  expect((await get("/package.json")).status).toBe(404);
});
