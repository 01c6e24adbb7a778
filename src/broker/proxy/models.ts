import { z } from "zod";
import { NfrxError } from "../../lib/errors.ts";
import type { Pool } from "../pool/pool.ts";

export const modelObject = z
  .looseObject({
    id: z.string(),
    object: z.literal("model"),
    created: z
      .int()
      .describe("As the backend reports it, else the time it was first seen, in seconds since the epoch."),
    owned_by: z.string().describe("`nfrx`; with EXPOSE_ROUTING the names of its workers, comma-separated."),
  })
  .meta({
    id: "Model",
    description: "Model, with fields of its backend such as `max_model_len` or `context_length`.",
  });
export const modelList = z
  .object({ object: z.literal("list"), data: z.array(modelObject) })
  .meta({ id: "ModelList", description: "Model list in OpenAI's format." });

type ModelObject = z.infer<typeof modelObject>;

/** Which models are listed, and how. */
export interface Listing {
  readonly pool: Pool;
  /** Clients get the names of workers. */
  readonly expose: boolean;
  /** True for a model that the caller may use; not given, all models are allowed. */
  readonly allows?: ((model: string) => boolean) | undefined;
  /** The worker whose models are requested. */
  readonly workerId?: string | undefined;
}

/** OpenAI's list of the models a pool serves, or one worker of it. Throws `no_worker` for a worker that is not here. */
export function listModels(listing: Listing): z.infer<typeof modelList> {
  return { object: "list", data: models(listing) };
}

/** One model. Throws `model_not_found`, or `no_worker` when it is expected back. */
export function findModel(listing: Listing, id: string): ModelObject {
  const { pool, workerId, allows } = listing;
  const served = pool.directory.listedAs(id);
  if (allows !== undefined && served !== undefined && !allows(served))
    throw new NfrxError("model_not_found", `no worker serves model ${id}`, { param: "model" });
  const model = models(listing).find(candidate => candidate.id === served);
  if (model !== undefined) return { ...model, id };
  const absence = pool.absence(id, workerId);
  throw absence.detail.temporary
    ? absence
    : new NfrxError("model_not_found", `no worker serves model ${id}${pool.whatIsThere}`, { param: "model" });
}

function models({ pool, expose, workerId, allows }: Listing): ModelObject[] {
  const worker = workerId === undefined ? undefined : pool.directory.get(workerId);
  if (workerId !== undefined && worker === undefined) throw pool.absence(undefined, workerId);
  return pool.directory
    .models()
    .filter(({ id }) => (worker === undefined || worker.models.has(id)) && (allows?.(id) ?? true))
    .map(
      ({ id, owners, firstSeen, details }): ModelObject => ({
        ...(worker?.details.get(id) ?? details),
        id,
        object: "model",
        created: details.created ?? Math.floor(firstSeen / 1000),
        owned_by: expose ? (worker?.name ?? owners.join(",")) : "nfrx",
      }),
    );
}

const anthropicModel = z
  .object({ type: z.literal("model"), id: z.string(), display_name: z.string(), created_at: z.string() })
  .meta({ id: "AnthropicModel", description: "Model, for clients that send `anthropic-version`." });
const anthropicList = z
  .object({
    data: z.array(anthropicModel),
    has_more: z.literal(false),
    first_id: z.string().nullable(),
    last_id: z.string().nullable(),
  })
  .meta({ id: "AnthropicModelList", description: "Model list, for clients that send `anthropic-version`." });

/** The shapes of Anthropic's answers. */
export const anthropicShapes = { list: anthropicList, one: anthropicModel };

/** A model as Anthropic's API has it. */
export function anthropicModelOf({ id, created }: ModelObject): z.infer<typeof anthropicModel> {
  return { type: "model", id, display_name: id, created_at: new Date(created * 1000).toISOString() };
}

/** A list as Anthropic's API has it, in one page. */
export function anthropicListOf({ data }: z.infer<typeof modelList>): z.infer<typeof anthropicList> {
  const models = data.map(anthropicModelOf);
  return { data: models, has_more: false, first_id: models[0]?.id ?? null, last_id: models.at(-1)?.id ?? null };
}
