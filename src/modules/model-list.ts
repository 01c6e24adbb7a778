// Parses model lists of servers and keeps the usable entries.
import { z } from "zod";
import { MODEL_FIELDS, MODEL_NAME_MAX, type ModelDetails } from "../lib/model-details.ts";

/** The usable entries of a list. */
export interface ModelList {
  readonly models: string[];
  readonly details: Record<string, ModelDetails>;
  /** Entries without a usable name. */
  readonly skipped: number;
}

const entries = z.array(z.unknown());
const lists = z.union([
  entries,
  z.looseObject({ data: entries }).transform(({ data }) => data),
  z.looseObject({ models: entries }).transform(({ models }) => models),
  // An empty list, as some servers write it.
  z.looseObject({ data: z.null() }).transform(() => []),
  z.looseObject({ models: z.null() }).transform(() => []),
]);
const name = z.string().min(1).max(MODEL_NAME_MAX);
const entry = z.union([
  name.transform(id => ({ id })),
  z.looseObject({ id: name }),
  z.looseObject({ name }).transform(({ name: id, ...rest }) => ({ ...rest, id })),
]);

/** Reads a list: OpenAI's or Ollama's, or a bare array, of objects or of names. Undefined when it is no list. */
export function readModelList(json: unknown): ModelList | undefined {
  const list = lists.safeParse(json);
  if (!list.success) return undefined;
  const details = new Map<string, ModelDetails>();
  let skipped = 0;
  for (const item of list.data) {
    const parsed = entry.safeParse(item);
    if (parsed.success) details.set(parsed.data.id, detailsOf(parsed.data));
    else skipped++;
  }
  const models = [...details.keys()].sort();
  const known = models.flatMap(model => {
    const found = details.get(model) ?? {};
    return Object.keys(found).length > 0 ? [[model, found] as const] : [];
  });
  return { models, details: Object.fromEntries(known), skipped };
}

function detailsOf(item: object): ModelDetails {
  const found: Record<string, number> = {};
  for (const field of MODEL_FIELDS) {
    const value: unknown = Reflect.get(item, field);
    if (typeof value === "number" && Number.isSafeInteger(value) && value > 0) found[field] = value;
  }
  return found;
}
