// The control messages of a worker's connection: JSON text, the same in both versions of the wire.
import { z } from "zod";
import { MODEL_FIELDS, type ModelDetails } from "../lib/model-details.ts";
import { CONFIG_ENTRIES, CONFIG_KEY_MAX, CONFIG_MAX, MODELS_MAX, NAME_MAX } from "./limits.ts";

/** A string from the other end, cut at NAME_MAX characters and cleared of control characters. */
const name = z.string().transform(text => text.replace(/\p{Cc}/gu, "").slice(0, NAME_MAX));
const count = z.number().int().min(0).max(1_000_000);
const models = z.array(name).transform(list => [...new Set(list)].filter(model => model !== "").slice(0, MODELS_MAX));
/** Properties of an agent, within CONFIG_ENTRIES, CONFIG_KEY_MAX and CONFIG_MAX. */
const agentConfig = z.record(z.string(), name).transform(bounded);

function bounded(map: Record<string, string>): Record<string, string> {
  const kept: [string, string][] = [];
  let length = 0;
  for (const [key, value] of Object.entries(map)) {
    if (kept.length >= CONFIG_ENTRIES) break;
    if (key.length > CONFIG_KEY_MAX || length + key.length + value.length > CONFIG_MAX) continue;
    length += key.length + value.length;
    kept.push([key, value]);
  }
  return Object.fromEntries(kept);
}
const fieldNames = z.enum(MODEL_FIELDS);
/** Known numeric model details; others are dropped. */
const modelDetails = z
  .record(z.string(), z.unknown())
  .catch({})
  .transform(
    map =>
      new Map(
        Object.entries(map)
          .slice(0, MODELS_MAX)
          .map(([model, given]) => [model, numbersOf(given)]),
      ),
  );

function numbersOf(given: unknown): ModelDetails {
  if (typeof given !== "object" || given === null) return {};
  const kept = Object.entries(given).flatMap(([key, value]: [string, unknown]) => {
    const field = fieldNames.safeParse(key);
    return field.success && typeof value === "number" && Number.isSafeInteger(value) && value > 0
      ? [[field.data, value] as const]
      : [];
  });
  return Object.fromEntries(kept);
}

/** Go writes an empty list, map or string as null or leaves it out. */
const optional = <T extends z.ZodType>(type: T) => type.nullish().transform(value => value ?? undefined);

export const registerMessage = z.object({
  type: z.literal("register"),
  worker_id: optional(name),
  worker_name: optional(name),
  client_key: optional(z.string()),
  token: optional(z.string()),
  models: optional(models),
  model_details: optional(modelDetails),
  max_concurrency: count.default(0),
  version: optional(name),
  build_sha: optional(name),
  build_date: optional(name),
  agent_config: optional(agentConfig),
  /** MCP relays: the SHA-256 digest, in hex, of the callers' token; `open` if they need none. */
  auth_token_sha256: optional(z.string().regex(/^[0-9a-f]{64}$/)),
  open: optional(z.boolean()),
});

export const heartbeatMessage = z.object({
  type: z.literal("heartbeat"),
  ts: optional(z.number()),
  host_cpu_percent: optional(z.number()),
  host_ram_used_percent: optional(z.number()),
});

/** Free slots of an agent that several brokers share. */
export const freeSlotsMessage = z.object({ type: z.literal("free_slots"), free: count });

const workerStatus = z.enum(["idle", "working", "not_ready", "draining"]);

export const statusMessage = z.object({
  type: z.literal("status_update"),
  max_concurrency: count,
  models: optional(models),
  model_details: optional(modelDetails),
  status: optional(workerStatus.catch("idle")),
  agent_config: optional(agentConfig),
});

export type Register = z.infer<typeof registerMessage>;
export type StatusUpdate = z.infer<typeof statusMessage>;
/** A control message as it goes out. */
export type ControlMessage = { type: string; [field: string]: unknown };
