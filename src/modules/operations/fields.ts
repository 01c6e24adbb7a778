// What the broker reads of the requests that are routed by their model, as the API's document has it.
import { z } from "zod";

export const model = z.string().min(1).describe("The model, or an alias of one: it chooses the worker.");
export const STREAM = z.boolean().nullish().describe("Answer as server-sent events.");
export const THROUGH = "All other fields go to the backend as they are.";
