import { NfrxError } from "../lib/errors.ts";
import type { Pool } from "./pool/pool.ts";

interface ModelObject {
  id: string;
  object: "model";
  created: number;
  owned_by: string;
}

/** OpenAI's list of the models a pool serves, or one worker of it. Throws `no_worker` for an unknown worker. */
export function listModels(pool: Pool, workerId?: string): { object: "list"; data: ModelObject[] } {
  return { object: "list", data: models(pool, workerId) };
}

/** One model. Throws `model_not_found`. */
export function findModel(pool: Pool, id: string, workerId?: string): ModelObject {
  const model = models(pool, workerId).find(candidate => candidate.id === id);
  if (model === undefined) throw new NfrxError("model_not_found", `no worker serves model ${id}`, { param: "model" });
  return model;
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
  if (worker === undefined) throw new NfrxError("no_worker", `no worker ${workerId}`);
  return all.filter(model => worker.models.has(model.id)).map(model => ({ ...model, owned_by: worker.name }));
}
