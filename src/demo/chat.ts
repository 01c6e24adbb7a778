import { z } from "zod";
import { sseEvent } from "../lib/sse.ts";
import { parseBody } from "./body.ts";
import type { DemoContext } from "./context.ts";
import { ECHO_MODEL, requireModel } from "./models.ts";
import { sseResponse } from "./sse.ts";
import { contentSchema, countWords, echo, speak, textOf } from "./words.ts";

const chatSchema = z.looseObject({
  model: z.string(),
  messages: z.array(z.looseObject({ role: z.string(), content: contentSchema.nullish() })).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
});

/** POST /v1/chat/completions */
export async function chat(request: Request, context: DemoContext): Promise<Response> {
  const { model, messages, stream, stream_options } = await parseBody(request, chatSchema);
  requireModel(model, ECHO_MODEL);
  const text = echo(messages);
  const head = { id: `chatcmpl-${crypto.randomUUID()}`, created: Math.floor(Date.now() / 1000), model };
  const prompt = countWords(...messages.map(({ content }) => textOf(content)));
  const completion = countWords(text);
  const usage = { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
  if (stream) {
    context.streams();
    const words = speak(text, context.wordMs, request.signal);
    return sseResponse(chunks(head, words, stream_options?.include_usage ? usage : undefined), request.signal);
  }
  const message = { role: "assistant", content: text, refusal: null };
  const choices = [{ index: 0, message, logprobs: null, finish_reason: "stop" }];
  return Response.json({ ...head, object: "chat.completion", choices, usage });
}

async function* chunks(head: object, words: AsyncIterable<string>, usage: object | undefined): AsyncGenerator<string> {
  // With include_usage every chunk but the last carries `usage: null`, as OpenAI sends it.
  const chunk = (choices: object[], value: object | null = null) =>
    sseEvent(JSON.stringify({ ...head, object: "chat.completion.chunk", choices, ...(usage && { usage: value }) }));
  const choice = (delta: object, finish_reason: "stop" | null = null) => [
    { index: 0, delta, logprobs: null, finish_reason },
  ];
  yield chunk(choice({ role: "assistant", content: "" }));
  for await (const word of words) yield chunk(choice({ content: word }));
  yield chunk(choice({}, "stop"));
  if (usage) yield chunk([], usage);
  yield sseEvent("[DONE]");
}
