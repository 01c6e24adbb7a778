import { z } from "zod";
import { sseEvent } from "../lib/sse.ts";
import { parseBody } from "./body.ts";
import type { DemoContext } from "./context.ts";
import { ECHO_MODEL, requireModel } from "./models.ts";
import { sseResponse } from "./sse.ts";
import { contentSchema, countWords, echo, speak, textOf } from "./words.ts";

const responsesSchema = z.looseObject({
  model: z.string(),
  input: z.union([
    z.string(),
    z.array(z.looseObject({ role: z.string().optional(), content: contentSchema.nullish() })).min(1),
  ]),
  instructions: z.string().nullish(),
  stream: z.boolean().nullish(),
});

/** POST /v1/responses */
export async function respond(request: Request, context: DemoContext): Promise<Response> {
  const { model, input, instructions, stream } = await parseBody(request, responsesSchema);
  requireModel(model, ECHO_MODEL);
  const items = typeof input === "string" ? [{ role: "user", content: input }] : input;
  const text = echo(items);
  const read = countWords(instructions ?? "", ...items.map(({ content }) => textOf(content)));
  const reply = new DemoResponse(model, instructions ?? null, text, read);
  if (!stream) return Response.json(reply.completed());
  context.streams();
  return sseResponse(events(reply, speak(text, context.wordMs, request.signal)), request.signal);
}

/** One response, in the states that a client sees. */
class DemoResponse {
  readonly itemId = `msg_${crypto.randomUUID()}`;
  readonly #id = `resp_${crypto.randomUUID()}`;
  readonly #createdAt = Math.floor(Date.now() / 1000);

  constructor(
    readonly model: string,
    readonly instructions: string | null,
    readonly text: string,
    readonly inputTokens: number,
  ) {}

  inProgress(): object {
    return this.#response("in_progress", [], null);
  }

  completed(): object {
    const written = countWords(this.text);
    return this.#response("completed", [this.item("completed", [this.part(this.text)])], {
      input_tokens: this.inputTokens,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: written,
      output_tokens_details: { reasoning_tokens: 0 },
      total_tokens: this.inputTokens + written,
    });
  }

  item(status: "in_progress" | "completed", content: object[]): object {
    return { id: this.itemId, type: "message", role: "assistant", status, content };
  }

  part(text: string): object {
    return { type: "output_text", text, annotations: [], logprobs: [] };
  }

  #response(status: string, output: object[], usage: object | null): object {
    return {
      id: this.#id,
      object: "response",
      created_at: this.#createdAt,
      status,
      error: null,
      incomplete_details: null,
      instructions: this.instructions,
      max_output_tokens: null,
      metadata: {},
      model: this.model,
      output,
      parallel_tool_calls: false,
      previous_response_id: null,
      reasoning: { effort: null, summary: null },
      store: false,
      temperature: null,
      text: { format: { type: "text" } },
      tool_choice: "auto",
      tools: [],
      top_p: null,
      truncation: "disabled",
      usage,
    };
  }
}

async function* events(reply: DemoResponse, words: AsyncIterable<string>): AsyncGenerator<string> {
  let sequence_number = 0;
  const event = (type: string, fields: object) =>
    sseEvent(JSON.stringify({ type, sequence_number: sequence_number++, ...fields }), { event: type });
  const item = { output_index: 0 };
  const part = { item_id: reply.itemId, output_index: 0, content_index: 0 };

  yield event("response.created", { response: reply.inProgress() });
  yield event("response.in_progress", { response: reply.inProgress() });
  yield event("response.output_item.added", { ...item, item: reply.item("in_progress", []) });
  yield event("response.content_part.added", { ...part, part: reply.part("") });
  for await (const delta of words) yield event("response.output_text.delta", { ...part, delta, logprobs: [] });
  yield event("response.output_text.done", { ...part, text: reply.text, logprobs: [] });
  yield event("response.content_part.done", { ...part, part: reply.part(reply.text) });
  yield event("response.output_item.done", { ...item, item: reply.item("completed", [reply.part(reply.text)]) });
  yield event("response.completed", { response: reply.completed() });
}
