import { describe, expect, test } from "bun:test";
import {
  backendErrorEvent,
  type ErrorForm,
  errorEvent,
  messageIn,
} from "../../../src/broker/proxy/response/stream-error.ts";
import { NfrxError } from "../../../src/lib/errors.ts";

const failure = new NfrxError("upstream_error", "the backend responded with status 400");

/** The data of the error event for a backend's answer of status 400. */
function dataOf(body: unknown, form: ErrorForm): unknown {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const event = Buffer.from(backendErrorEvent({ failure, status: 400, text }, form)).toString();
  expect(event).toMatch(/^event: error\ndata: .*\n\n$/);
  return JSON.parse(event.slice("event: error\ndata: ".length));
}

describe("a backend's error", () => {
  const openai = { error: { message: "a", type: "t", param: "p", code: "c", more: { x: 1 } } };
  const vllm = { object: "error", message: "a", type: "t", param: null, code: 400 };
  const detail = { detail: [{ loc: ["body", "model"], msg: "a", type: "missing" }] };
  const anthropic = { type: "error", error: { type: "overloaded_error", message: "a" }, request_id: "r" };
  const own = { type: "invalid_request_error", code: "upstream_error", param: null };

  test("for clients of OpenAI has an object `error`, and all of its own fields", () => {
    const form: ErrorForm = { errors: "openai" };
    expect(dataOf(openai, form)).toEqual(openai);
    expect(dataOf(anthropic, form)).toEqual(anthropic);
    expect(dataOf(vllm, form)).toEqual({ ...vllm, error: { message: "a", type: "t", param: null, code: 400 } });
    expect(dataOf(detail, form)).toEqual({ ...detail, error: { message: JSON.stringify(detail.detail), ...own } });
    expect(dataOf({ detail: "a" }, form)).toEqual({ detail: "a", error: { message: "a", ...own } });
    expect(dataOf({ error: "a" }, form)).toEqual({ error: { message: "a", ...own } });
  });

  test("for clients of the Responses API is that API's event", () => {
    const form: ErrorForm = { errors: "openai", stream: { errorEvent: "response" } };
    const event = { type: "error", message: "a", sequence_number: 0 };
    expect(dataOf(openai, form)).toEqual({ ...event, ...openai, code: "c", param: "p", more: { x: 1 } });
    const coded = { code: "400", param: null };
    const error = { message: "a", type: "t", ...coded };
    expect(dataOf(vllm, form)).toEqual({ ...event, object: "error", ...coded, error });
    const { type, ...known } = own;
    expect(dataOf({ error: "a" }, form)).toEqual({ ...event, ...known, error: { message: "a", type, ...known } });
  });

  test("for clients of Anthropic has a type of theirs", () => {
    const form: ErrorForm = { errors: "anthropic" };
    expect(dataOf(anthropic, form)).toEqual(anthropic);
    expect(dataOf({ error: "a" }, form)).toEqual({
      type: "error",
      error: { type: "invalid_request_error", message: "a" },
    });
  });

  test("that says nothing is the status", () => {
    for (const body of ["", "<html>", "{}", "[]", { error: null }, { error: "" }, { detail: null }])
      expect(dataOf(body, { errors: "openai" })).toMatchObject({ error: { message: failure.message } });
    expect(messageIn('{"choices":[],"error":null}')).toBeUndefined();
  });
});

test("an error of ours counts on from the events before it, where an API counts", () => {
  const event = Buffer.from(errorEvent(failure, { errors: "openai", stream: { errorEvent: "response" } }, 7));
  const said = { code: "upstream_error", message: failure.message, param: null };
  const [name, data = ""] = event.toString().split("\ndata: ");
  expect(name).toBe("event: error");
  expect(JSON.parse(data)).toEqual({
    type: "error",
    ...said,
    error: { type: "server_error", ...said },
    sequence_number: 7,
  });
});
