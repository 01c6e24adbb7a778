import type { DemoContext } from "./context.ts";
import { ApiError } from "./errors.ts";

export const ECHO_MODEL = "demo-echo";
export const EMBED_MODEL = "demo-embed";

const models = [ECHO_MODEL, EMBED_MODEL].map(id => ({ id, object: "model", created: 0, owned_by: "nfrx-demo" }));

/** GET /v1/models */
export function listDemoModels(): Response {
  return Response.json({ object: "list", data: models });
}

/** GET /v1/models/{id} */
export function getModel(_request: Request, { name }: DemoContext): Response {
  const model = models.find(({ id }) => id === name);
  if (!model) throw unknownModel(name);
  return Response.json(model);
}

/** Throws unless `model` supports the request. */
export function requireModel(model: string, wanted: typeof ECHO_MODEL | typeof EMBED_MODEL): void {
  if (model === wanted) return;
  if (!models.some(({ id }) => id === model)) throw unknownModel(model);
  throw new ApiError(400, `The model '${model}' cannot do this; use '${wanted}'.`, "model_not_supported", "model");
}

function unknownModel(model: string): ApiError {
  return new ApiError(404, `The model '${model}' does not exist.`, "model_not_found", "model");
}
