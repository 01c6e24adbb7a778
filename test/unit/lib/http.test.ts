import { describe, expect, test } from "bun:test";
import {
  bearerToken,
  hasContentType,
  headerOf,
  requestIdOf,
  splitList,
  TrustedProxies,
} from "../../../src/lib/http.ts";
import { requestHeaders } from "../../../src/lib/request-headers.ts";

describe("TrustedProxies", () => {
  const proxies = new TrustedProxies(["10.0.0.0/8", "192.168.1.7", "fc00::/7", "2001:db8::1", "0.0.0.0/32"]);

  test.each([
    ["10.0.0.0", true],
    ["10.255.255.255", true],
    ["11.0.0.0", false],
    ["192.168.1.7", true],
    ["192.168.1.8", false],
    ["fc00::1", true],
    ["FDFF::1", true],
    ["fe00::1", false],
    ["2001:db8::1", true],
    ["2001:0db8:0:0::0001", true],
    ["2001:db8::2", false],
    ["::ffff:10.1.2.3", true],
    ["::ffff:11.1.2.3", false],
    ["", false],
    ["localhost", false],
    ["10.0.0.1:80", false],
    ["10.0.0", false],
    ["010.0.0.1", false],
  ])("%s: %p", (address, trusted) => {
    expect(proxies.has(address)).toBe(trusted);
  });

  test.each([
    ["203.0.113.9", null, "203.0.113.9"],
    ["::ffff:203.0.113.9", null, "203.0.113.9"],
    ["10.0.0.1", null, "10.0.0.1"],
    // Not trusted: what it says of others does not count.
    ["203.0.113.9", "198.51.100.1", "203.0.113.9"],
    ["10.0.0.1", "198.51.100.1", "198.51.100.1"],
    ["::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"],
    ["fc00::1", "2001:db8::9", "2001:db8::9"],
    // A caller may write anything to the left; the last hop that is not ours counts.
    ["10.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"],
    ["10.0.0.1", "1.2.3.4, 198.51.100.1, 10.0.0.2, 192.168.1.7", "198.51.100.1"],
    ["10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"],
    ["10.0.0.1", " , ,198.51.100.1 ,", "198.51.100.1"],
    ["10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"],
    // Words that are no addresses end the search.
    ["10.0.0.1", "unknown", "10.0.0.1"],
    ["10.0.0.1", "198.51.100.1, unknown, 10.0.0.2", "10.0.0.1"],
    ["10.0.0.1", "", "10.0.0.1"],
  ])("from %s with %p comes %s", (peer, forwarded, address) => {
    expect(proxies.clientAddress(peer, forwarded)).toBe(address);
  });

  test("trusts nobody unless told", () => {
    const nobody = new TrustedProxies([]);
    expect(nobody.has("127.0.0.1")).toBe(false);
    expect(nobody.clientAddress("127.0.0.1", "1.2.3.4")).toBe("127.0.0.1");
  });

  test.each([
    "",
    "proxy.example",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0/",
    "10.0.0.0/8/8",
    "fc00::/129",
    "10.0.0.0/x",
  ])("%p is refused", cidr => {
    expect(() => new TrustedProxies([cidr])).toThrow();
  });
});

describe("request headers", () => {
  test("only what is on the list travels", () => {
    const pairs = requestHeaders(
      new Headers({
        authorization: "Bearer secret",
        cookie: "session=1",
        "x-forwarded-for": "1.2.3.4",
        "x-forwarded-host": "a",
        "x-real-ip": "1.2.3.4",
        "x-user-roles": "admin",
        "x-api-key": "secret",
        "proxy-authorization": "secret",
        forwarded: "for=1.2.3.4",
        host: "broker.example",
        connection: "x-secret",
        "content-length": "12",
        "x-anything": "else",
        "cache-control": "max-age=100",
        "x-request-id": "the client's",
        "Content-Type": "application/json",
        Accept: "text/event-stream",
        "accept-encoding": "gzip",
        "accept-language": "de",
        "user-agent": "test",
        "idempotency-key": "k",
        "openai-beta": "assistants=v2",
        traceparent: "00-a-b-01",
        tracestate: "c=d",
      }),
      "id-1",
    );
    expect(Object.fromEntries(pairs)).toEqual({
      "content-type": "application/json",
      accept: "text/event-stream",
      "accept-encoding": "gzip",
      "accept-language": "de",
      "user-agent": "test",
      "idempotency-key": "k",
      "openai-beta": "assistants=v2",
      traceparent: "00-a-b-01",
      tracestate: "c=d",
      "cache-control": "no-store",
      "x-request-id": "id-1",
    });
    expect(pairs).toHaveLength(11);
  });
});

test.each([
  ["Bearer abc", "abc"],
  ["bearer abc", "abc"],
  ["BEARER  abc", "abc"],
  ["Bearer a b", "a b"],
  ["Bearer", undefined],
  ["Bearer ", undefined],
  ["Bearerabc", undefined],
  ["Basic abc", undefined],
  ["abc", undefined],
  ["", undefined],
])("the bearer token of %p is %p", (authorization, token) => {
  expect(bearerToken(new Headers({ authorization }))).toBe(token);
});

test("no authorization, no token", () => {
  expect(bearerToken(new Headers())).toBeUndefined();
});

test.each(["a", "abc-DEF_1.2:3", "x".repeat(128)])("the request id %p is taken", id => {
  expect(requestIdOf(new Headers({ "x-request-id": id }))).toBe(id);
});

test.each(["", " ", "a b", "x".repeat(129), "a,b", "<script>", "é", 'a"b', "a/b"])(
  "the request id %p is replaced",
  id => {
    expect(requestIdOf(new Headers({ "x-request-id": id }))).toMatch(/^[0-9a-f-]{36}$/);
  },
);

test("a fresh request id each time", () => {
  expect(requestIdOf(new Headers())).not.toBe(requestIdOf(new Headers()));
});

test("headers are found by their lower-case name", () => {
  const pairs: [string, string][] = [
    ["Content-Type", "Text/Event-Stream ; charset=utf-8"],
    ["content-type", "second"],
  ];
  expect(headerOf(pairs, "content-type")).toBe("Text/Event-Stream ; charset=utf-8");
  expect(headerOf(pairs, "accept")).toBeUndefined();
  expect(hasContentType(pairs, "text/event-stream")).toBe(true);
  expect(hasContentType(pairs, "text/event")).toBe(false);
  expect(hasContentType([], "text/event-stream")).toBe(false);
});

test("splitList", () => {
  expect(splitList(" a, b ,,c c, ")).toEqual(["a", "b", "c c"]);
  expect(splitList("")).toEqual([]);
});
