// Messages as Anthropic streams them.
import { z } from "zod";
import type { EventStreamApi } from "../module.ts";
import { jsonOf, typedEvent } from "./sse.ts";

const text = z.looseObject({ type: z.literal("text"), text: z.string() });
const thinking = z.looseObject({
  type: z.literal("thinking"),
  thinking: z.string(),
  signature: z.string().optional(),
});
const toolUse = z.looseObject({ type: z.enum(["tool_use", "server_tool_use"]), input: z.unknown() });
const other = z.looseObject({ type: z.string() });
const message = z.looseObject({
  type: z.literal("message"),
  content: z.array(z.union([text, thinking, toolUse, other])),
  usage: z.looseObject({}).nullish(),
});

type Block = z.infer<typeof message>["content"][number];
interface Delta {
  readonly type: string;
  readonly [field: string]: unknown;
}

/** Streams of `/messages`. */
export const messageStream: EventStreamApi = {
  closed: true,
  toEvents(answer) {
    const parsed = message.safeParse(jsonOf(answer));
    if (!parsed.success) return undefined;
    const { content, stop_reason = null, stop_sequence = null, ...rest } = parsed.data;
    const usage = rest.usage ?? { input_tokens: 0, output_tokens: 0 };
    const begun = { ...rest, content: [], stop_reason: null, stop_sequence: null, usage };
    const events = content.flatMap((block, index) => {
      const { start, deltas } = split(block);
      return [
        { type: "content_block_start", index, content_block: start },
        ...deltas.map(delta => ({ type: "content_block_delta", index, delta })),
        { type: "content_block_stop", index },
      ];
    });
    return [
      { type: "message_start", message: begun },
      ...events,
      { type: "message_delta", delta: { stop_reason, stop_sequence }, usage },
      { type: "message_stop" },
    ]
      .map(typedEvent)
      .join("");
  },
};

/** A content block at its start, and its deltas. A block type without deltas starts complete. */
function split(block: Block): { start: Block; deltas: Delta[] } {
  const written = text.safeParse(block);
  if (written.success) {
    const { citations, ...start } = written.data;
    const cited = Array.isArray(citations) ? citations : [];
    return {
      start: { ...start, text: "" },
      deltas: [
        { type: "text_delta", text: written.data.text },
        ...cited.map(citation => ({ type: "citations_delta", citation })),
      ],
    };
  }
  const thought = thinking.safeParse(block);
  if (thought.success) {
    const { signature } = thought.data;
    return {
      start: { ...thought.data, thinking: "", signature: "" },
      deltas: [
        { type: "thinking_delta", thinking: thought.data.thinking },
        ...(signature === undefined ? [] : [{ type: "signature_delta", signature }]),
      ],
    };
  }
  const used = toolUse.safeParse(block);
  if (!used.success) return { start: block, deltas: [] };
  return {
    start: { ...used.data, input: {} },
    deltas: [{ type: "input_json_delta", partial_json: JSON.stringify(used.data.input ?? {}) }],
  };
}
