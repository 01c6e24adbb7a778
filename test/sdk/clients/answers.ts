// What a backend answers that has every API: the words of its answer, and its errors, in the shape of each.
import { z } from "zod";
import { chatJson, chatStream, cut, json, type Respond } from "../../kit/backend/backend.ts";
import { otherApis } from "../../kit/backend/other-apis.ts";
import type { RecordedRequest } from "../../kit/backend/record.ts";
import type { Gate } from "../../kit/time/gate.ts";
import type { Api } from "./client.ts";

const WORDS = ["Tomorrow ", "it ", "rains."];
export const TEXT = WORDS.join("");

/** What backends say of a prompt that is too long. */
export const MESSAGE = "the context is 512 tokens too long";

const asked = z.looseObject({ model: z.string(), stream: z.boolean().optional() });

/** The answer in the words of the API that was asked. */
export const everyApi: Respond = (request, recorded) => answer(request, recorded, true);

/** The same in one piece, also for a request that asks for a stream. */
export const wholeAnswer: Respond = (request, recorded) => answer(request, recorded, false);

const answer = (request: Request, recorded: RecordedRequest, streams: boolean): Response | Promise<Response> => {
  const { pathname } = new URL(request.url);
  const { model, ...body } = asked.parse(recorded.json());
  const stream = streams && body.stream === true;
  if (pathname === "/v1/responses") return stream ? responseEvents(model) : json(response(model, "completed"));
  if (pathname === "/v1/chat/completions") return (stream ? chatStream(WORDS) : chatJson(TEXT))(request, recorded);
  return otherApis(WORDS, undefined, streams)(request, recorded);
};

/** The error of a backend of this API. */
export function rejected(api: Api): Respond {
  return () => {
    if (api === "anthropic")
      return json({ type: "error", error: { type: "invalid_request_error", message: MESSAGE } }, 400);
    if (api === "ollama") return json({ error: MESSAGE }, 400);
    const type = "invalid_request_error";
    return json({ error: { message: MESSAGE, type, param: "messages", code: "context_length_exceeded" } }, 400);
  };
}

/** A stream that breaks off after its first event or line, once the gate opens. */
export const cutShort =
  (gate: Gate): Respond =>
  async (request, recorded) => {
    const whole = await everyApi(request, recorded);
    const contentType = whole.headers.get("content-type") ?? "";
    const end = contentType.startsWith("text/event-stream") ? "\n\n" : "\n";
    const text = await whole.text();
    const first = text.slice(0, text.indexOf(end) + end.length);
    return cut(first, { gate, headers: { "content-type": contentType } })(request, recorded);
  };

const part = (text: string) => ({ type: "output_text", text, annotations: [], logprobs: [] });
const message = (status: string, content: object[]) => ({
  id: "msg_test",
  type: "message",
  role: "assistant",
  status,
  content,
});

function response(model: string, status: "in_progress" | "completed"): object {
  const done = status === "completed";
  const details = { input_tokens_details: { cached_tokens: 0 }, output_tokens_details: { reasoning_tokens: 0 } };
  return {
    id: "resp_test",
    object: "response",
    created_at: 1_700_000_000,
    status,
    model,
    error: null,
    incomplete_details: null,
    instructions: null,
    metadata: {},
    parallel_tool_calls: true,
    temperature: 1,
    tool_choice: "auto",
    tools: [],
    top_p: 1,
    output: done ? [message("completed", [part(TEXT)])] : [],
    usage: done ? { input_tokens: 3, output_tokens: 3, total_tokens: 6, ...details } : null,
  };
}

function responseEvents(model: string): Response {
  const at = { output_index: 0, item_id: "msg_test", content_index: 0 };
  const events = [
    { type: "response.created", response: response(model, "in_progress") },
    { type: "response.output_item.added", output_index: 0, item: message("in_progress", []) },
    { type: "response.content_part.added", ...at, part: part("") },
    ...WORDS.map(delta => ({ type: "response.output_text.delta", ...at, delta, logprobs: [] })),
    { type: "response.output_text.done", ...at, text: TEXT, logprobs: [] },
    { type: "response.content_part.done", ...at, part: part(TEXT) },
    { type: "response.output_item.done", output_index: 0, item: message("completed", [part(TEXT)]) },
    { type: "response.completed", response: response(model, "completed") },
  ];
  const text = events.map((event, sequence_number) => {
    return `event: ${event.type}\ndata: ${JSON.stringify({ ...event, sequence_number })}\n\n`;
  });
  return new Response(text.join(""), { headers: { "content-type": "text/event-stream" } });
}
