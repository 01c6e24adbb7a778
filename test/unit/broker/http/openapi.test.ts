// The document of routes that somebody else declares, as a plugin does.
import { expect, test } from "bun:test";
import { z } from "zod";
import { openapiDocument } from "../../../../src/broker/http/document/openapi.ts";
import type { Operation, Route } from "../../../../src/modules/route.ts";

const route = (more: Partial<Route>, operation?: Partial<Operation>): Route => ({
  method: "POST",
  path: "/api/tool/:id/*rest",
  tag: "tool",
  scopes: ["llm"],
  errors: "plain",
  operation: { summary: "Use the tool", responses: { 200: { description: "Used." } }, ...operation },
  answer: () => new Response(),
  ...more,
});

test("a part of the API that nobody has described is named all the same", () => {
  const tags = [
    { name: "jobs", description: "The queue." },
    { name: "llm", description: "Models." },
  ];
  expect(openapiDocument([route({}), route({ tag: "llm", path: "/a" })], tags)).toMatchObject({
    tags: [{ name: "llm", description: "Models." }, { name: "tool" }],
  });
});

test("schemas are zod's or JSON Schema's; those with a name are written down once", () => {
  const thing = z.strictObject({ size: z.int() }).meta({ id: "Thing" });
  const content = [{ type: "application/json", schema: z.object({ things: z.array(thing) }) }];
  const plain = { type: "object", required: ["a"] };
  const document = openapiDocument(
    [
      route({}, { request: { content }, responses: { 200: { description: "Used.", content } } }),
      route({ method: "PUT" }, { request: { content: [{ type: "application/json", schema: plain }], optional: true } }),
    ],
    [],
  );
  const ref = { $ref: "#/components/schemas/Thing" };
  const things = { type: "object", properties: { things: { type: "array", items: ref } }, required: ["things"] };
  expect(document).toMatchObject({
    paths: {
      "/api/tool/{id}/{rest}": {
        post: {
          operationId: "post_api_tool_id_rest",
          security: [{ API_KEY: [] }, { "X-Api-Key": [] }, { "Api-Key": [] }],
          parameters: [
            { name: "id", in: "path", required: true },
            { name: "rest", in: "path", required: true },
          ],
          requestBody: { required: true, content: { "application/json": { schema: things } } },
          responses: { 200: { content: { "application/json": { schema: things } } } },
        },
        put: { requestBody: { required: false, content: { "application/json": { schema: plain } } } },
      },
    },
    // Fields that are not named may be there too.
    components: {
      schemas: { Thing: { type: "object", properties: { size: { type: "integer" } }, required: ["size"] } },
    },
  });
  expect(JSON.stringify(document)).not.toContain("additionalProperties");
});

test("failures are told by status, each word with a body in the route's shape", () => {
  const failures = ["overloaded", "draining", "unauthorized"] as const;
  const own = { 503: { description: "In its own words." } };
  const document = openapiDocument(
    [
      route({ path: "/a" }, { failures }),
      route({ path: "/b", scopes: ["admin"], errors: "word" }, { failures, responses: own }),
    ],
    [],
  );
  expect(document).toMatchObject({
    paths: {
      "/a": {
        post: {
          responses: {
            401: { content: { "application/json": { examples: { unauthorized: {} } } } },
            503: {
              headers: { "Retry-After": {} },
              content: {
                "application/json": { examples: { overloaded: { value: { error: "overloaded" } }, draining: {} } },
              },
            },
          },
        },
      },
      "/b": {
        post: {
          responses: {
            403: { content: { "application/json": { examples: { forbidden: { value: { error: "forbidden" } } } } } },
            503: own[503],
          },
        },
      },
    },
  });
});

test("what exists to refuse a method is not described", () => {
  expect(openapiDocument([route({ operation: undefined })], [])).toMatchObject({ paths: {} });
});
