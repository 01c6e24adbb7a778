import { describe, expect, test } from "bun:test";
import type { EventStreamApi } from "../../../src/modules/module.ts";
import { chatStream, completionStream } from "../../../src/modules/streams/chat.ts";
import { messageStream } from "../../../src/modules/streams/message.ts";
import { responseStream } from "../../../src/modules/streams/response.ts";
import { transcriptStream } from "../../../src/modules/streams/transcript.ts";

/** The events of a whole answer, their data parsed. */
function eventsOf(api: EventStreamApi, answer: unknown): unknown[] {
  const text = api.toEvents?.({ contentType: "application/json", text: JSON.stringify(answer) }) ?? "";
  return text
    .split("\n\n")
    .slice(0, -1)
    .map(event => event.split("data: ").at(-1) ?? "")
    .map(data => (data === "[DONE]" ? data : JSON.parse(data)));
}

describe("a chat completion", () => {
  test("keeps tool calls, several choices and further fields", () => {
    const call = { id: "call_1", type: "function", function: { name: "f", arguments: "{}" } };
    const answer = {
      id: "c",
      object: "chat.completion",
      created: 1,
      model: "m",
      system_fingerprint: "fp",
      choices: [
        { index: 0, message: { role: "assistant", content: "a", reasoning_content: "r" }, finish_reason: "length" },
        { index: 1, message: { role: "assistant", content: null, tool_calls: [call] }, finish_reason: "tool_calls" },
      ],
      usage: { total_tokens: 3 },
    };
    const chunk = { id: "c", object: "chat.completion.chunk", created: 1, model: "m", system_fingerprint: "fp" };
    expect(eventsOf(chatStream, answer)).toEqual([
      {
        ...chunk,
        choices: [
          { index: 0, delta: { role: "assistant", content: "a", reasoning_content: "r" }, finish_reason: null },
        ],
      },
      { ...chunk, choices: [{ index: 0, delta: {}, finish_reason: "length" }] },
      {
        ...chunk,
        choices: [
          {
            index: 1,
            delta: { role: "assistant", content: null, tool_calls: [{ index: 0, ...call }] },
            finish_reason: null,
          },
        ],
      },
      { ...chunk, choices: [{ index: 1, delta: {}, finish_reason: "tool_calls" }], usage: { total_tokens: 3 } },
      "[DONE]",
    ]);
  });

  test("of the older API passes as one chunk", () => {
    const answer = { object: "text_completion", choices: [{ index: 0, text: "a", finish_reason: "stop" }] };
    expect(eventsOf(completionStream, answer)).toEqual([answer, "[DONE]"]);
  });
});

test("a message keeps text, thoughts, calls of tools and what is not known", () => {
  const usage = { input_tokens: 2, output_tokens: 5 };
  const answer = {
    id: "msg",
    type: "message",
    role: "assistant",
    model: "m",
    content: [
      { type: "thinking", thinking: "hm", signature: "s" },
      { type: "text", text: "a", citations: null },
      { type: "tool_use", id: "t", name: "f", input: { a: 1 } },
      { type: "redacted_thinking", data: "x" },
    ],
    stop_reason: "tool_use",
    stop_sequence: null,
    usage,
  };
  const block = (index: number, content_block: object, ...deltas: object[]) => [
    { type: "content_block_start", index, content_block },
    ...deltas.map(delta => ({ type: "content_block_delta", index, delta })),
    { type: "content_block_stop", index },
  ];
  expect(eventsOf(messageStream, answer)).toEqual([
    { type: "message_start", message: { ...answer, content: [], stop_reason: null } },
    ...block(
      0,
      { type: "thinking", thinking: "", signature: "" },
      { type: "thinking_delta", thinking: "hm" },
      { type: "signature_delta", signature: "s" },
    ),
    ...block(1, { type: "text", text: "" }, { type: "text_delta", text: "a" }),
    ...block(
      2,
      { type: "tool_use", id: "t", name: "f", input: {} },
      { type: "input_json_delta", partial_json: '{"a":1}' },
    ),
    ...block(3, { type: "redacted_thinking", data: "x" }),
    { type: "message_delta", delta: { stop_reason: "tool_use", stop_sequence: null }, usage },
    { type: "message_stop" },
  ]);
});

test("a response keeps its items, and each event its number", () => {
  const text = { type: "output_text", text: "a", annotations: [{ type: "url_citation" }] };
  const message = { id: "m", type: "message", role: "assistant", status: "completed", content: [text] };
  const call = { id: "f", type: "function_call", call_id: "c", name: "f", arguments: "{}", status: "completed" };
  const other = { id: "r", type: "reasoning", summary: [] };
  const answer = {
    id: "resp",
    object: "response",
    status: "incomplete",
    output: [other, message, call],
    usage: { total_tokens: 1 },
  };
  const { usage: _, ...begun } = answer;
  const part = { output_index: 1, item_id: "m", content_index: 0 };
  const item = { output_index: 2, item_id: "f" };
  const events = [
    { type: "response.created", response: { ...begun, status: "in_progress", output: [] } },
    { type: "response.output_item.added", output_index: 0, item: other },
    { type: "response.output_item.done", output_index: 0, item: other },
    { type: "response.output_item.added", output_index: 1, item: { ...message, status: "in_progress", content: [] } },
    { type: "response.content_part.added", ...part, part: { ...text, text: "", annotations: [] } },
    { type: "response.output_text.delta", ...part, delta: "a", logprobs: [] },
    { type: "response.output_text.done", ...part, text: "a", logprobs: [] },
    { type: "response.content_part.done", ...part, part: text },
    { type: "response.output_item.done", output_index: 1, item: message },
    { type: "response.output_item.added", output_index: 2, item: { ...call, status: "in_progress", arguments: "" } },
    { type: "response.function_call_arguments.delta", ...item, delta: "{}" },
    { type: "response.function_call_arguments.done", ...item, name: "f", arguments: "{}" },
    { type: "response.output_item.done", output_index: 2, item: call },
    { type: "response.incomplete", response: answer },
  ];
  expect(eventsOf(responseStream, answer)).toEqual(
    events.map((event, sequence_number) => ({ ...event, sequence_number })),
  );
});

test("a transcript in a format that is not JSON is its text", () => {
  const text = "WEBVTT\n\n00:00 --> 00:01\nHello.\n";
  const done = { text, type: "transcript.text.done" };
  const delta = { type: "transcript.text.delta", delta: text };
  expect(transcriptStream.toEvents?.({ contentType: "text/vtt", text })).toBe(
    `event: transcript.text.delta\ndata: ${JSON.stringify(delta)}\n\nevent: transcript.text.done\ndata: ${JSON.stringify(done)}\n\n`,
  );
  expect(transcriptStream.toEvents?.({ contentType: "text/html", text })).toBeUndefined();
});

test.each([
  ["chat", chatStream],
  ["completion", completionStream],
  ["message", messageStream],
  ["response", responseStream],
  ["transcript", transcriptStream],
])("what is no %s has no events", (_, api) => {
  for (const text of [
    "",
    "{",
    "null",
    "[]",
    "{}",
    '{"choices":[]}',
    '{"object":"response","status":"queued","output":[]}',
  ])
    expect(api.toEvents?.({ contentType: "application/json", text })).toBeUndefined();
});
