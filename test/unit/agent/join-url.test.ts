import { expect, test } from "bun:test";
import { declares } from "../../../src/agent/endpoints.ts";
import { joinUrl } from "../../../src/lib/join-url.ts";

const BASE = "http://h:5001";

test.each([
  [BASE, "/v1/x", "http://h:5001/v1/x"],
  [BASE, "", "http://h:5001"],
  [`${BASE}/v1`, "/chat", "http://h:5001/v1/chat"],
  [`${BASE}/v1`, "", "http://h:5001/v1"],
  [`${BASE}/v1/`, "/x/", "http://h:5001/v1/x/"],
  [`${BASE}/mcp?key=1`, "", "http://h:5001/mcp?key=1"],
  [`${BASE}/mcp?key=1`, "/x?y=2", "http://h:5001/mcp/x?key=1&y=2"],
  [`${BASE}/v1?a=1`, "/chat?b=2?c", "http://h:5001/v1/chat?a=1&b=2?c"],
  [`${BASE}/mcp`, "?y=%2f..", "http://h:5001/mcp?y=%2f.."],
  ["http://u:p@h/v1", "/x", "http://u:p@h/v1/x"],
  [BASE, "//other/x", "http://h:5001//other/x"],
])("%p and %p make %p", (base, rest, url) => {
  expect(joinUrl(base, rest)).toBe(url);
});

test.each([
  [BASE, "@other/x"],
  [BASE, ".other/x"],
  [BASE, "0/x"],
  [BASE, "v1/x"],
  [BASE, "/../x"],
  [`${BASE}/v1`, "/../admin"],
  [`${BASE}/v1`, "/%2e%2e/admin"],
  [`${BASE}/v1`, "/..%2fadmin"],
  [`${BASE}/v1`, "/\t../admin"],
  [`${BASE}/v1`, "/.\n./admin"],
  [`${BASE}/v1`, "/x\r\nHost: other"],
  [`${BASE}/v1`, "/a b"],
  [BASE, "/\\other/x"],
  [BASE, "\\\\other/x"],
  [BASE, "#@other"],
  [BASE, "/x#y"],
])("%p and %p are refused", (base, rest) => {
  expect(() => joinUrl(base, rest)).toThrow("the path leads outside the backend's base URL");
});

test("an agent serves what its module declares", () => {
  const serves = declares([
    { method: "POST", backendPath: "/v1/convert/source" },
    { method: "GET", backendPath: "/v1/status/poll/:task" },
    { method: "GET", backendPath: "/files/*" },
  ]);
  for (const [method, path] of [
    ["POST", "/v1/convert/source"],
    ["POST", "/v1/convert/source?x=1"],
    ["GET", "/v1/status/poll/abc?wait=1"],
    ["GET", "/files/a/b"],
  ] as const)
    expect([path, serves({ method, path })]).toEqual([path, true]);
  for (const [method, path] of [
    ["GET", "/v1/convert/source"],
    ["POST", "/v1/convert/source/x"],
    ["POST", "@other/v1/convert/source"],
    ["GET", "/v1/status/poll/a/b"],
    ["GET", "/v1/status/poll/"],
    ["GET", "/admin"],
    ["DELETE", "/files/a"],
  ] as const)
    expect([path, serves({ method, path })]).toEqual([path, false]);
});
