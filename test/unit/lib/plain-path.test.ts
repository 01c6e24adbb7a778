import { expect, test } from "bun:test";
import { isPlainPath } from "../../../src/lib/plain-path.ts";

test.each([
  "",
  "/",
  "/a/b",
  "/a//b",
  "/a.b/..c/c../...",
  "/.well-known/x",
  "/a%20b/%C3%A9",
  "/a%25b",
  "/100%",
  "/%zz",
  "/a;v=1/b",
  "/a:b@c",
])("%p is plain", path => {
  expect(isPlainPath(path)).toBeTrue();
});

test.each([
  "/..",
  "/.",
  "/a/../b",
  "/a/./b",
  "/..%2f..%2fadmin",
  "/..%2F",
  "/a%2fb",
  "/a%2Fb",
  "/a%5cb",
  "/a%5Cb",
  "/a\\b",
  "/%2e%2e/x",
  "/%2e%2E%2fx",
  "/.%2e/x",
  "/%2e",
  "/%252e%252e/x",
  "/..%252f..%252fadmin",
  "/%25252f/../x",
  "/a%255cb",
  "/..;/x",
  "/..;a=b/x",
  "/%2e%2e;/x",
  "/.;/x",
  "/%2e%2e%3b/x",
  "/%c0%ae%c0%ae/x",
  "/%c1%9c",
])("%p climbs", path => {
  expect(isPlainPath(path)).toBeFalse();
});
