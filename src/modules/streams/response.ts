// Responses as OpenAI streams them.
import { z } from "zod";
import type { EventStreamApi } from "../module.ts";
import { jsonOf, typedEvent } from "./sse.ts";

const part = z.looseObject({ type: z.string() });
const item = z.looseObject({ id: z.string().optional(), type: z.string() });
const response = z.looseObject({ object: z.literal("response"), status: z.string(), output: z.array(item) });
const written = z.looseObject({ type: z.literal("message"), content: z.array(part) });
const called = z.looseObject({ type: z.literal("function_call"), arguments: z.string() });
const outputText = z.looseObject({ type: z.literal("output_text"), text: z.string() });
const refusal = z.looseObject({ type: z.literal("refusal"), refusal: z.string() });

/** The statuses that end a response; each has its event. */
const ENDS = new Set(["completed", "incomplete", "failed"]);

interface Event {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Streams of `/responses`. */
export const responseStream: EventStreamApi = {
  closed: true,
  errorEvent: "response",
  toEvents(answer) {
    const parsed = response.safeParse(jsonOf(answer));
    if (!parsed.success || !ENDS.has(parsed.data.status)) return undefined;
    const whole = parsed.data;
    const { usage: _, ...begun } = whole;
    const events: Event[] = [
      { type: "response.created", response: { ...begun, status: "in_progress", output: [] } },
      ...whole.output.flatMap(itemEvents),
      { type: `response.${whole.status}`, response: whole },
    ];
    return events.map((event, sequence_number) => typedEvent({ ...event, sequence_number })).join("");
  },
};

/** An item at its start, its deltas and its end. An item of unknown type starts complete. */
function itemEvents(whole: z.infer<typeof item>, output_index: number): Event[] {
  const at = { output_index, item_id: whole.id };
  const added = (begun: object): Event => ({
    type: "response.output_item.added",
    output_index,
    item: { ...whole, ...begun },
  });
  const done = { type: "response.output_item.done", output_index, item: whole };
  const message = written.safeParse(whole);
  if (message.success) {
    const parts = message.data.content.flatMap((one, index) => partEvents(one, { ...at, content_index: index }));
    return [added({ status: "in_progress", content: [] }), ...parts, done];
  }
  const call = called.safeParse(whole);
  if (!call.success) return [added({}), done];
  const name = "response.function_call_arguments";
  return [
    added({ status: "in_progress", arguments: "" }),
    { type: `${name}.delta`, ...at, delta: call.data.arguments },
    { type: `${name}.done`, ...at, name: call.data["name"], arguments: call.data.arguments },
    done,
  ];
}

function partEvents(whole: z.infer<typeof part>, at: object): Event[] {
  const added = (begun: object): Event => ({ type: "response.content_part.added", ...at, part: begun });
  const done = { type: "response.content_part.done", ...at, part: whole };
  const text = outputText.safeParse(whole);
  if (text.success) {
    const { logprobs = [] } = text.data;
    return [
      added({ ...whole, text: "", annotations: [] }),
      { type: "response.output_text.delta", ...at, delta: text.data.text, logprobs },
      { type: "response.output_text.done", ...at, text: text.data.text, logprobs },
      done,
    ];
  }
  const refused = refusal.safeParse(whole);
  if (!refused.success) return [added(whole), done];
  return [
    added({ ...whole, refusal: "" }),
    { type: "response.refusal.delta", ...at, delta: refused.data.refusal },
    { type: "response.refusal.done", ...at, refusal: refused.data.refusal },
    done,
  ];
}
