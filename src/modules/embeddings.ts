import { z } from "zod";
import { NfrxError } from "../lib/errors.ts";
import type { Fanout, PartAnswer, SplitRequest } from "./module.ts";

const request = z.looseObject({ input: z.array(z.unknown()) });
const answer = z.looseObject({
  model: z.string().optional(),
  data: z.array(z.looseObject({ index: z.number().int().optional(), embedding: z.unknown() })),
  usage: z.looseObject({ prompt_tokens: z.number().default(0), total_tokens: z.number().default(0) }).optional(),
});

type Content = { model: string | undefined; data: { index?: number | undefined; [field: string]: unknown }[] };

/** Splits an OpenAI embeddings request by its inputs. A single text, or one list of tokens, goes through whole. */
export const embeddingsFanout: Fanout = {
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
    json = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8"));
  } catch {
    throw new NfrxError("upstream_error", "the backend's embeddings are not JSON");
  }
  const parsed = answer.safeParse(json);
  if (!parsed.success) throw new NfrxError("upstream_error", "the backend's answer is not a list of embeddings");
  const { data, usage, model } = parsed.data;
  if (data.length !== count)
    throw new NfrxError("upstream_error", `the backend gave ${data.length} embeddings for ${count} inputs`);
  const content: Content = { model, data: data.map((item, at) => ({ ...item, index: item.index ?? at })) };
  const tokens = usage?.prompt_tokens ?? 0;
  return { items: count, usage: { in: tokens, out: 0, total: usage?.total_tokens || tokens }, content };
}

function merge(parts: readonly PartAnswer[]): Uint8Array {
  const data: object[] = [];
  const usage = { prompt_tokens: 0, total_tokens: 0 };
  let model: string | undefined;
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
