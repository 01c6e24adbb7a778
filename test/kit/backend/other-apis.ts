// A backend that has Anthropic's and Ollama's routes beside OpenAI's, in their published shapes.
import { z } from "zod";
import type { Gate } from "../time/gate.ts";
import { bytes, json, type Respond, serveDefault } from "./answers.ts";

const asked = z.looseObject({ model: z.string(), stream: z.boolean().optional() });

/** What it says, a word a piece; a gate lets each piece of a stream out. With `streams` false it answers whole, whatever it is asked for. */
export function otherApis(words: readonly string[], gate?: Gate, streams = true): Respond {
  const text = words.join("");
  const routes: Record<string, Respond> = {
    "/v1/messages": messages(words, gate, streams),
    "/v1/messages/count_tokens": () => json({ input_tokens: 42 }),
    "/v1/completions": () => json({ object: "text_completion", choices: [{ text }] }),
    "/v1/rerank": () => json({ results: [{ index: 1, relevance_score: 0.9 }] }),
    "/v1/moderations": () => json({ id: "modr", results: [{ flagged: false }] }),
    "/v1/images/generations": () => json({ created: 1, data: [{ b64_json: "aGk=" }] }),
    "/api/chat": ollama(words, gate, streams, content => ({ message: { role: "assistant", content } })),
    "/api/generate": ollama(words, gate, streams, response => ({ response })),
    "/api/embed": (_, recorded) =>
      json({ model: asked.parse(recorded.json()).model, embeddings: [[0.1, 0.2]], prompt_eval_count: 4 }),
    "/api/show": (_, recorded) => json({ model_info: { "general.name": asked.parse(recorded.json()).model } }),
    "/api/ps": () => json({ models: [{ name: "loaded", model: "loaded", size_vram: 7 }] }),
  };
  return (request, recorded) => (routes[new URL(request.url).pathname] ?? serveDefault)(request, recorded);
}

/** Anthropic's messages: 11 tokens in, a word a token out. */
function messages(words: readonly string[], gate: Gate | undefined, streams: boolean): Respond {
  return (request, recorded) => {
    const { model, stream } = asked.parse(recorded.json());
    const message = { id: "msg_test", type: "message", role: "assistant", model, stop_sequence: null };
    const usage = { input_tokens: 11, output_tokens: words.length };
    if (stream !== true || !streams)
      return json({
        ...message,
        content: [{ type: "text", text: words.join("") }],
        stop_reason: "end_turn",
        usage,
      });
    const begun = { ...message, content: [], stop_reason: null, usage: { ...usage, output_tokens: 1 } };
    const delta = { stop_reason: "end_turn", stop_sequence: null };
    const events = [
      { type: "message_start", message: begun },
      { type: "content_block_start", index: 0, content_block: { type: "text", text: "" } },
      ...words.map(text => ({ type: "content_block_delta", index: 0, delta: { type: "text_delta", text } })),
      { type: "content_block_stop", index: 0 },
      { type: "message_delta", delta, usage: { output_tokens: words.length } },
      { type: "message_stop" },
    ];
    const pieces = events.map(event => `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    return bytes(pieces, { "content-type": "text/event-stream" }, 200, gate)(request, recorded);
  };
}

/** Ollama's lines, which stream unless told not to: 13 tokens in, a word a token out. */
function ollama(
  words: readonly string[],
  gate: Gate | undefined,
  streams: boolean,
  say: (text: string) => object,
): Respond {
  return (request, recorded) => {
    const { model, stream = true } = asked.parse(recorded.json());
    const line = (more: object): string =>
      `${JSON.stringify({ model, created_at: "2030-01-01T00:00:00Z", ...more })}\n`;
    const counts = { prompt_eval_count: 13, prompt_eval_duration: 5, eval_count: words.length, eval_duration: 6 };
    const end = { done: true, done_reason: "stop", total_duration: 11, ...counts };
    if (!stream || !streams) return json({ model, ...say(words.join("")), ...end });
    const lines = [...words.map(word => line({ ...say(word), done: false })), line({ ...say(""), ...end })];
    return bytes(lines, { "content-type": "application/x-ndjson" }, 200, gate)(request, recorded);
  };
}
