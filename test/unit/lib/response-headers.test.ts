// The policy for what workers and relays answer.
import { describe, expect, test } from "bun:test";
import { responseHeaders } from "../../../src/lib/response-headers.ts";

const URL = "http://broker.example/api/mcp/id/x/below?q";
const ALWAYS: [string, string][] = [
  ["x-request-id", "id"],
  ["x-content-type-options", "nosniff"],
];
const SANDBOX: [string, string] = ["content-security-policy", "sandbox; default-src 'none'"];

describe("response headers", () => {
  test("hop-by-hop ones and those the broker answers for stay", () => {
    const dropped = [
      "Connection",
      "Content-Length",
      "Keep-Alive",
      "Proxy-Authenticate",
      "Proxy-Connection",
      "TE",
      "Trailer",
      "Transfer-Encoding",
      "Upgrade",
      "X-Request-Id",
      "Access-Control-Allow-Origin",
      "Access-Control-Allow-Credentials",
    ].map((name): [string, string] => [name, "x"]);
    expect(responseHeaders([...dropped, ["Content-Type", "a/b"], ["x-own", "1"]], "id-1", URL)).toEqual([
      ["Content-Type", "a/b"],
      ["x-own", "1"],
      ["x-request-id", "id-1"],
      ["x-content-type-options", "nosniff"],
      ["content-security-policy", "sandbox; default-src 'none'"],
    ]);
  });

  test.each<[string, string]>([
    ["", "x"],
    ["a b", "x"],
    ["a:b", "x"],
    ["a\r\nb", "x"],
    ["ä", "x"],
    ["a\u0000", "x"],
    ["a", "x\r\nset-cookie: y"],
    ["a", "x\ny"],
    ["a", "\u0000"],
    ["a", "\u007f"],
    ["a", "€"],
    ["a", "😀"],
  ])("the odd pair %p: %p is left out", (name, value) => {
    const pairs = responseHeaders([[name, value]], "id", URL);
    expect(pairs).toEqual(ALWAYS);
  });

  test("what is left is taken by Headers, values of every allowed byte included", () => {
    const all = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
    const pairs = responseHeaders(
      all.flatMap((char): [string, string][] => [
        [char, "value"],
        ["x-value", `a${char}b`],
      ]),
      "id",
      URL,
    );
    expect(pairs.length).toBeGreaterThan(256);
    expect(() => new Headers(pairs)).not.toThrow();
  });

  test("a repeated header is kept", () => {
    const pairs: [string, string][] = [
      ["vary", "a"],
      ["vary", "b"],
    ];
    expect(responseHeaders(pairs, "id", URL).slice(0, 2)).toEqual(pairs);
  });
});

test.each([
  "Set-Cookie",
  "set-cookie2",
  "Clear-Site-Data",
  "Strict-Transport-Security",
  "Alt-Svc",
  "Refresh",
  "NEL",
  "Report-To",
  "Reporting-Endpoints",
  "Service-Worker-Allowed",
  "Link",
  "Content-Security-Policy",
  "Content-Security-Policy-Report-Only",
  "X-Content-Type-Options",
  "Speculation-Rules",
  "Origin-Trial",
  "Access-Control-Allow-Private-Network",
  "Access-Control-Max-Age",
  "Timing-Allow-Origin",
  "Proxy-Status",
  "X-Nfrx-Worker",
])("%s never passes", name => {
  expect(responseHeaders([[name, "x"]], "id", URL)).toEqual(ALWAYS);
});

test.each([
  "text/html",
  "TEXT/HTML; charset=utf-8",
  "application/xhtml+xml",
  "image/svg+xml",
  "text/xml",
  "application/xml",
  "application/rss+xml",
  "text/javascript",
  "application/javascript",
  "text/ecmascript",
  "multipart/x-mixed-replace; boundary=x",
  "application/pdf",
  "text/xsl",
  "",
  "nonsense",
  // Browsers take the last of a list.
  "application/json, text/html",
  "application/json;x=y, text/html",
])("%p is sandboxed", type => {
  expect(responseHeaders([["content-type", type]], "id", URL)).toEqual([["content-type", type], ...ALWAYS, SANDBOX]);
});

test.each([
  "application/json",
  "application/json; charset=utf-8",
  "application/problem+json",
  "application/x-ndjson",
  "text/event-stream",
  "text/event-stream;charset=utf-8",
  "text/plain",
  "audio/mpeg",
  "image/png",
  "application/octet-stream",
])("%p needs no sandbox", type => {
  expect(responseHeaders([["content-type", type]], "id", URL)).toEqual([["content-type", type], ...ALWAYS]);
});

test("two types are sandboxed, and none needs it", () => {
  const twice: [string, string][] = [
    ["content-type", "application/json"],
    ["Content-Type", "application/json"],
  ];
  expect(responseHeaders(twice, "id", URL)).toEqual([...twice, ...ALWAYS, SANDBOX]);
  expect(responseHeaders([], "id", URL)).toEqual(ALWAYS);
});

describe("Location", () => {
  const passes = (value: string, url = URL): boolean =>
    responseHeaders([["Location", value]], "id", url).some(([name]) => name === "Location");

  test.each([
    "deeper",
    "/api/mcp/id/x",
    "/api/mcp/id/x/",
    "/api/mcp/id/x/y?z#f",
    "?page=2",
    "http://broker.example/api/mcp/id/x/y",
    "https://broker.example/api/mcp/id/x/y",
  ])("%p stays below the relay and passes", value => {
    expect(passes(value)).toBeTrue();
  });

  test.each([
    "/",
    "/state",
    "/api/mcp/id/xy",
    "/api/mcp/id/y",
    "/api/mcp/id/x/../../../state",
    "/api/mcp/id/x/%2e%2e/y",
    "/api/mcp/id/x/..%2f..%2fy",
    "../y",
    "//evil.example/api/mcp/id/x",
    "\\\\evil.example/api/mcp/id/x",
    "https://evil.example/api/mcp/id/x",
    "http://10.0.0.1:5001/mcp/",
    "javascript:alert(1)",
    "data:text/html,x",
    "http://",
  ])("%p leads elsewhere and does not", value => {
    expect(passes(value)).toBeFalse();
  });

  test("a worker module's prefix is the module, or the worker when the request named it", () => {
    const shared = "http://b/api/docling/v1/convert/file";
    expect(passes("/api/docling/v1/result/1", shared)).toBeTrue();
    expect(passes("/api/llm/v1/models", shared)).toBeFalse();
    expect(passes("/api/docling/id/other/v1/result/1", "http://b/api/docling/id/w/v1/result/1")).toBeFalse();
  });
});
