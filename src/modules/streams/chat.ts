// Chat completions and completions as OpenAI streams them.
import { z } from "zod";
import { sseEvent } from "../../lib/sse.ts";
import type { EventStreamApi } from "../module.ts";
import { jsonOf } from "./sse.ts";

const DONE = sseEvent("[DONE]");

const chat = z.looseObject({
  choices: z
    .array(
      z.looseObject({
        index: z.int().optional(),
        message: z.looseObject({ tool_calls: z.array(z.looseObject({})).nullish() }),
      }),
    )
    .min(1),
});
const completion = z.looseObject({ choices: z.array(z.looseObject({ text: z.string() })).min(1) });

/** Streams of `/chat/completions`. */
export const chatStream: EventStreamApi = {
  toEvents(answer) {
    const parsed = chat.safeParse(jsonOf(answer));
    if (!parsed.success) return undefined;
    const { choices, usage, ...rest } = parsed.data;
    const chunkOf = (choices: object[], more = {}): string =>
      sseEvent(JSON.stringify({ ...rest, object: "chat.completion.chunk", choices, ...more }));
    const events: string[] = [];
    for (const [at, choice] of choices.entries()) {
      const { message, index = at, finish_reason, ...more } = choice;
      // In chunks a tool call is found by its index.
      const calls = message.tool_calls?.map((call, position) => ({ index: position, ...call }));
      const delta = { ...message, ...(calls && { tool_calls: calls }) };
      events.push(chunkOf([{ ...more, index, delta, finish_reason: null }]));
      const last = at === choices.length - 1;
      const end = { index, delta: {}, finish_reason: finish_reason ?? "stop" };
      // A chunk of its own for the usage would have no choices, which only a client that asks for it expects.
      events.push(chunkOf([end], last && usage !== undefined ? { usage } : {}));
    }
    return events.join("") + DONE;
  },
};

/** Streams of `/completions`, whose chunks look like complete responses. */
export const completionStream: EventStreamApi = {
  toEvents(answer) {
    const parsed = completion.safeParse(jsonOf(answer));
    return parsed.success ? sseEvent(JSON.stringify(parsed.data)) + DONE : undefined;
  },
};
