// The fields that the broker reads from requests that are routed by model, for the OpenAPI document.
import { z } from "zod";
import type { Parameter } from "../route.ts";

export const model = z.string().min(1).describe("Model, or an alias of one; selects the worker.");
export const STREAM = z.boolean().nullish().describe("Respond with server-sent events.");
export const THROUGH = "All other fields are forwarded to the backend unchanged.";

/** The header by which a request chooses how it learns its place in the queue. */
export const QUEUE: Parameter = {
  name: "x-nfrx-queue",
  in: "header",
  description:
    "How a queued stream gets its position: `event`, `comment` or `off`. By default the broker sends an event, or a comment to clients that fail on unknown events.",
  schema: z.enum(["event", "comment", "off"]),
  example: "event",
};
