// The operations of the transfer channels.
import { z } from "zod";
import type { Operation, Parameter } from "../../modules/route.ts";

const channel = z
  .object({
    channel_id: z.string(),
    expires_at: z.string().meta({ format: "date-time", description: "Time by which both ends must connect." }),
  })
  .meta({ id: "Channel", description: "Transfer channel." });

/** Bytes that mean nothing to the broker. */
const bytes = { type: "application/octet-stream", schema: z.string().meta({ format: "binary" }) } as const;

const id: Parameter = {
  name: "id",
  in: "path",
  description: "Channel ID.",
  example: "5b0c7a52-4f0e-4c55-8d8e-2f6f4f1c9a10",
};

const ENDS = [
  "transfer_not_found",
  "transfer_in_use",
  "transfer_expired",
  "transfer_closed",
  "transfer_failed",
  "draining",
] as const;

export const OPEN: Operation = {
  summary: "Open a channel",
  description: "A channel streams the body of one request to another, once. The broker stores nothing.",
  responses: {
    200: {
      description: "The channel.",
      content: [
        {
          type: "application/json",
          schema: channel,
          example: { channel_id: "5b0c7a52-4f0e-4c55-8d8e-2f6f4f1c9a10", expires_at: "2026-01-01T12:00:00.000Z" },
        },
      ],
    },
  },
  failures: ["overloaded", "limit_exceeded", "draining"],
};

export const READ: Operation = {
  summary: "Read from a channel",
  description: "Waits for the writer. A response that ends abnormally is incomplete.",
  parameters: [id],
  responses: {
    200: {
      description: "The writer's bytes as they arrive, with the writer's content type.",
      headers: { "X-Transfer-Length": "Length of the data, if the writer stated it." },
      content: [bytes],
    },
  },
  failures: ENDS,
};

export const WRITE: Operation = {
  summary: "Write to a channel",
  description: "Waits for the reader, which determines the speed.",
  parameters: [id],
  request: { optional: true, content: [bytes] },
  responses: {
    200: {
      description: "The last byte was sent to the reader.",
      content: [{ type: "application/json", schema: z.object({ status: z.literal("ok") }), example: { status: "ok" } }],
    },
  },
  failures: ENDS,
};

/** The same as POST, as `curl -T` sends it. */
export const PUT: Operation = { ...WRITE, summary: "Write to a channel with PUT" };
