import { expect, test } from "bun:test";
import { lacksRoute, mayHave } from "../../../src/broker/pool/backend-routes.ts";

test.each([
  [404, "", true],
  [404, "404 page not found", true],
  [404, "<html><head><title>404 Not Found</title></head></html>", true],
  [404, '{"detail":"Not Found"}', true],
  [404, '{"error":{"code":404,"message":"File Not Found","type":"not_found_error"}}', true],
  [404, '{"error":{"message":"Invalid URL (POST /v1/foo)","type":"invalid_request_error"}}', true],
  [404, '{"error":{"message":"Unknown request URL: POST /v1/foo"}}', true],
  [405, "whatever", true],
  [501, '{"error":"not supported"}', true],
  [404, '{"error":"model \'x\' not found"}', false],
  [404, '{"error":{"message":"model \\"x\\" not found, try pulling it first"}}', false],
  [404, '{"object":"error","message":"The model `x` does not exist.","type":"NotFoundError","code":404}', false],
  [404, '{"error":{"message":"Response with id resp_1 not found."}}', false],
  [404, "{}", false],
  [404, "no such model", false],
  [400, "", false],
  [500, "404 page not found", false],
])("status %i with %p lacks the route: %p", (status, body, expected) => {
  expect(lacksRoute(status, body)).toBe(expected);
});

const facts = (family?: string, version?: string, complete = true) => ({ family, version, complete });

test("what a family and a version say", () => {
  const families = { families: ["ollama"] };
  expect(mayHave(facts("ollama"), families)).toBeTrue();
  expect(mayHave(facts("llama.cpp"), families)).toBeFalse();
  expect(mayHave(facts(), families)).toBeFalse();
  // Agents of the 0.9 series may not know.
  expect(mayHave(facts(undefined, undefined, false), families)).toBeTrue();
  const since = { since: { ollama: "0.14.0" } };
  for (const [version, expected] of [
    ["0.13.9", false],
    ["0.14.0", true],
    ["0.14.0-rc1", true],
    ["v1.0.0", true],
    ["0.9.10", false],
    ["main", true],
    [undefined, true],
  ] as const)
    expect([version, mayHave(facts("ollama", version), since)]).toEqual([version, expected]);
  expect(mayHave(facts("vllm", "0.1.0"), since)).toBeTrue();
  expect(mayHave(facts(), since)).toBeTrue();
});
