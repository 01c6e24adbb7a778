import { z } from "zod";
import { asText } from "../lib/bytes.ts";
import { NfrxError } from "../lib/errors.ts";
import type { Fanout, PartAnswer, SplitRequest } from "./module.ts";

const request = z.looseObject({ input: z.array(z.unknown()) });
const answer = z.looseObject({
  model: z.string().nullish(),
  data: z.array(z.looseObject({ index: z.number().int().optional(), embedding: z.unknown() })),
  usage: z.looseObject({ prompt_tokens: z.number().default(0), total_tokens: z.number().default(0) }).nullish(),
});

type Content = { model: string | null | undefined; data: { index?: number | undefined; [field: string]: unknown }[] };

/** Splits an OpenAI embeddings request by its inputs. A single text, or one list of tokens, goes through whole. */
export const embeddingsFanout: Fanout = {
  items(body) {
    const parsed = request.safeParse(body);
    return parsed.success && typeof parsed.data.input[0] !== "number" ? parsed.data.input.length : 1;
  },
  split(body): SplitRequest | undefined {
    const parsed = request.safeParse(body);
    if (!parsed.success) return undefined;
    const { input } = parsed.data;
    if (input.length < 2 || typeof input[0] === "number") return undefined;
    return {
      items: input.length,
      part: (start, end) => Buffer.from(JSON.stringify({ ...parsed.data, input: input.slice(start, end) })),
      parse: parsePart,
      merge,
    };
  },
};

function parsePart(bytes: Uint8Array, count: number): PartAnswer {
  let json: unknown;
  try {
    json = JSON.parse(asText(bytes));
  } catch {
    throw new NfrxError("upstream_error", "the backend's embeddings are not JSON");
  }
  const parsed = answer.safeParse(json);
  if (!parsed.success) throw new NfrxError("upstream_error", "the backend's answer is not a list of embeddings");
  const { data, usage, model } = parsed.data;
  if (data.length !== count)
    throw new NfrxError("upstream_error", `the backend gave ${data.length} embeddings for ${count} inputs`);
  const content: Content = { model, data: inOrder(data) };
  const tokens = usage?.prompt_tokens ?? 0;
  return { items: count, usage: { in: tokens, out: 0, total: usage?.total_tokens || tokens }, content };
}

/** The items by their index, for clients read the list in the order in which it stands. Throws unless there is one for every input. */
function inOrder(items: Content["data"]): Content["data"] {
  const byIndex = new Map(items.map((item, at) => [item.index ?? at, item]));
  return items.map((_, index) => {
    const item = byIndex.get(index);
    if (item === undefined)
      throw new NfrxError("upstream_error", "the backend's embeddings are not numbered as the inputs are");
    return { ...item, index };
  });
}

function merge(parts: readonly PartAnswer[]): Uint8Array {
  const data: object[] = [];
  const usage = { prompt_tokens: 0, total_tokens: 0 };
  let model: Content["model"];
  let offset = 0;
  for (const part of parts) {
    const content = part.content as Content;
    model ??= content.model;
    for (const item of content.data) data.push({ ...item, index: offset + (item.index ?? 0) });
    usage.prompt_tokens += part.usage.in;
    usage.total_tokens += part.usage.total;
    offset += part.items;
  }
  return Buffer.from(JSON.stringify({ object: "list", data, model, usage }));
}
