import { expect, test } from "bun:test";
import { below } from "../../../src/lib/below.ts";

test("a path below an address: the query of both is kept", () => {
  expect(below("http://h/v1", "/chat?b=2")).toBe("http://h/v1/chat?b=2");
  expect(below("http://h/v1?a=1", "/chat")).toBe("http://h/v1/chat?a=1");
  expect(below("http://h/v1/?a=1", "/chat?b=2?c")).toBe("http://h/v1/chat?a=1&b=2?c");
});
