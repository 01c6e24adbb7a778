import { z } from "zod";
import { NfrxError } from "../lib/errors.ts";
import type { Pool } from "./pool/pool.ts";

export const modelObject = z
  .object({
    id: z.string(),
    object: z.literal("model"),
    created: z.int().describe("When it was first seen, in seconds since 1970."),
    owned_by: z.string().describe("The names of the workers that serve it, with commas."),
  })
  .meta({ id: "Model", description: "A model." });
export const modelList = z
  .object({ object: z.literal("list"), data: z.array(modelObject) })
  .meta({ id: "ModelList", description: "OpenAI's list of models." });

type ModelObject = z.infer<typeof modelObject>;

/** OpenAI's list of the models a pool serves, or one worker of it. Throws `no_worker` for a worker that is not here. */
export function listModels(pool: Pool, workerId?: string): z.infer<typeof modelList> {
  return { object: "list", data: models(pool, workerId) };
}

/** One model. Throws `model_not_found`, or `no_worker` when it is expected back. */
export function findModel(pool: Pool, id: string, workerId?: string): ModelObject {
  const served = pool.registry.listedAs(id);
  const model = models(pool, workerId).find(candidate => candidate.id === served);
  if (model !== undefined) return { ...model, id };
  const absence = pool.absence(id, workerId);
  throw absence.detail.temporary
    ? absence
    : new NfrxError("model_not_found", `no worker serves model ${id}`, { param: "model" });
}

function models(pool: Pool, workerId: string | undefined): ModelObject[] {
  const all = pool.registry.models().map(
    ({ id, owners, created }): ModelObject => ({
      id,
      object: "model",
      created: Math.floor(created / 1000),
      owned_by: owners.join(","),
    }),
  );
  if (workerId === undefined) return all;
  const worker = pool.registry.get(workerId);
  if (worker === undefined) throw pool.absence(undefined, workerId);
  return all.filter(model => worker.models.has(model.id)).map(model => ({ ...model, owned_by: worker.name }));
}
