import { expect, test } from "bun:test";
import { isErrorCode, messageOf, NfrxError, toNfrxError } from "../../../src/lib/errors.ts";

test.each([
  ["no_worker", 404],
  ["worker_busy", 503],
  ["timeout", 504],
  ["upstream_error", 502],
  ["draining", 503],
  ["unauthorized", 401],
  ["invalid_request", 400],
  ["too_large", 413],
  ["headers_too_large", 431],
  ["canceled", 499],
  ["refused", 503],
  ["link_lost", 502],
  ["internal", 500],
] as const)("%s is %d", (code, status) => {
  expect(new NfrxError(code, "why").status).toBe(status);
  expect(isErrorCode(code)).toBe(true);
});

test.each(["", "toString", "constructor", "__proto__", "hasOwnProperty", "worker_draining", "TIMEOUT"])(
  "%p is no code of ours",
  word => {
    expect(isErrorCode(word)).toBe(false);
  },
);

test("an unknown error is internal and keeps its words to itself", () => {
  const cause = new Error("the password is 1234");
  const error = toNfrxError(cause);
  expect([error.code, error.status, error.message, error.cause]).toEqual(["internal", 500, "internal error", cause]);
  expect(toNfrxError(undefined).code).toBe("internal");
  const own = new NfrxError("timeout", "slow", { param: "model", retryAfterSeconds: 5 });
  expect(toNfrxError(own)).toBe(own);
  expect(own.detail).toEqual({ param: "model", retryAfterSeconds: 5 });
  expect(own).toBeInstanceOf(Error);
  expect("cause" in own).toBe(false);
});

test("messageOf takes anything", () => {
  expect([messageOf(new Error("a")), messageOf("b"), messageOf(null), messageOf({})]).toEqual([
    "a",
    "b",
    "null",
    "[object Object]",
  ]);
});
