import { z } from "zod";
import { asText } from "../lib/bytes.ts";
import { NfrxError } from "../lib/errors.ts";
import { elementsOf, replaceValues, spanOf } from "../lib/json-span.ts";
import type { Fanout, PartAnswer, SplitRequest } from "./module.ts";

const request = z.looseObject({ input: z.array(z.unknown()) });
const answer = z.looseObject({
  model: z.string().nullish(),
  data: z.array(z.looseObject({ index: z.unknown().optional() })),
  usage: z.unknown().optional(),
});
const counts = z.looseObject({ prompt_tokens: z.number(), total_tokens: z.number().nullish() });

/** One part's items, in the order of its inputs, as the text that they came as. */
interface Content {
  model: string | null | undefined;
  items: string[];
}

/**
 * Splits an OpenAI embeddings request by its inputs. A single text, or one list of tokens, is not split. Forwarded
 * values keep their text, so that numbers lose no digits.
 */
export const embeddingsFanout: Fanout = {
  items(body) {
    const parsed = request.safeParse(body);
    return parsed.success && typeof parsed.data.input[0] !== "number" ? parsed.data.input.length : 1;
  },
  split(body, text): SplitRequest | undefined {
    const parsed = request.safeParse(body);
    if (!parsed.success) return undefined;
    const { input } = parsed.data;
    if (input.length < 2 || typeof input[0] === "number") return undefined;
    let inputs: string[] | undefined;
    return {
      items: input.length,
      part: (start, end) => {
        inputs ??= elementsAt(text(), "input");
        return Buffer.from(replaceValues(text(), [[["input"], `[${inputs.slice(start, end).join()}]`]]));
      },
      parse: parsePart,
      merge,
    };
  },
};

function elementsAt(text: string, key: string): string[] {
  const span = spanOf(text, [key]);
  return span === undefined ? [] : elementsOf(text.slice(...span));
}

function parsePart(bytes: Uint8Array, count: number): PartAnswer {
  const text = asText(bytes);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new NfrxError("upstream_error", "the backend's embeddings are not JSON");
  }
  const parsed = answer.safeParse(json);
  if (!parsed.success) throw new NfrxError("upstream_error", "the backend's response is not a list of embeddings");
  const { data, usage, model } = parsed.data;
  if (data.length !== count)
    throw new NfrxError("upstream_error", `the backend returned ${data.length} embeddings for ${count} inputs`);
  const order = orderOf(data.map(({ index }) => index));
  const items = elementsAt(text, "data");
  const content: Content = { model, items: order.map(at => items[at] ?? "{}") };
  const tokens = counts.safeParse(usage);
  if (!tokens.success) return { items: count, usage: undefined, content };
  const { prompt_tokens, total_tokens } = tokens.data;
  return { items: count, usage: { in: prompt_tokens, out: 0, total: total_tokens || prompt_tokens }, content };
}

/** Where the item of each input stands: by the items' indices when they number all inputs, else as they stand. */
function orderOf(indices: readonly unknown[]): number[] {
  const places = new Map(indices.map((index, at) => [index, at]));
  const order = indices.map((_, index) => places.get(index) ?? -1);
  return order.includes(-1) ? indices.map((_, at) => at) : order;
}

function merge(parts: readonly PartAnswer[]): Uint8Array {
  const data: string[] = [];
  let usage: { prompt_tokens: number; total_tokens: number } | undefined = { prompt_tokens: 0, total_tokens: 0 };
  let model: Content["model"];
  for (const part of parts) {
    const content = part.content as Content;
    model ??= content.model;
    for (const item of content.items) data.push(numbered(item, data.length));
    // A sum without one of its parts would be wrong.
    if (part.usage === undefined) usage = undefined;
    if (usage === undefined || part.usage === undefined) continue;
    usage.prompt_tokens += part.usage.in;
    usage.total_tokens += part.usage.total;
  }
  const rest = JSON.stringify({ model, usage });
  return Buffer.from(`{"object":"list","data":[${data.join()}]${rest === "{}" ? "" : `,${rest.slice(1, -1)}`}}`);
}

/** An item with its place among all. */
function numbered(item: string, index: number): string {
  if (spanOf(item, ["index"]) !== undefined) return replaceValues(item, [[["index"], String(index)]]);
  const fields = item.slice(1, -1).trim();
  return `{"index":${index}${fields === "" ? "" : `,${fields}`}}`;
}
