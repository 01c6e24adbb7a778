/** Commands to a load generator and their results: one JSON object a line, both ways. */
import { z } from "zod";

const targetSchema = z.object({ port: z.number(), path: z.string(), token: z.string().optional() });

const jobSchema = z.discriminatedUnion("kind", [
  /** A fixed number of requests: each connection sends its next one when the response has arrived. */
  z.object({
    kind: z.literal("requests"),
    target: targetSchema,
    body: z.string(),
    connections: z.number(),
    requests: z.number(),
    deadlineMs: z.number(),
    /** A response with fewer body bytes counts as an error. */
    minBytes: z.number(),
  }),
  /** Every stream once, their starts spread evenly over `spreadMs`. */
  z.object({
    kind: z.literal("streams"),
    target: targetSchema,
    streams: z.number(),
    chunks: z.number(),
    intervalMs: z.number(),
    spreadMs: z.number(),
    deadlineMs: z.number(),
  }),
  /** Streams one after the other on every connection until `stop`; answers once all of them flow. */
  z.object({
    kind: z.literal("flow"),
    target: targetSchema,
    streams: z.number(),
    intervalMs: z.number(),
    deadlineMs: z.number(),
  }),
  /** From here on the flow's chunk times are collected anew; answers with what was collected until here. */
  z.object({ kind: z.literal("mark") }),
  z.object({ kind: z.literal("stop") }),
  /** Opens streams that stay silent after their first chunk; answers when all are open. */
  z.object({
    kind: z.literal("hold"),
    target: targetSchema,
    streams: z.number(),
    parallel: z.number(),
    deadlineMs: z.number(),
  }),
  z.object({ kind: z.literal("release") }),
  /** Connects idle workers to a broker; answers when all have registered. */
  z.object({
    kind: z.literal("fleet"),
    target: targetSchema,
    workers: z.number(),
    models: z.number(),
    deadlineMs: z.number(),
  }),
  z.object({ kind: z.literal("dismiss") }),
  /** Listens to a stream of events; answers when each listener has had its first. */
  z.object({ kind: z.literal("listen"), target: targetSchema, listeners: z.number(), deadlineMs: z.number() }),
  /** Answers with the events and bytes since it was last asked. */
  z.object({ kind: z.literal("received") }),
  z.object({ kind: z.literal("unlisten") }),
  /** Sends one body of `bytes` bytes. */
  z.object({ kind: z.literal("push"), target: targetSchema, bytes: z.number(), deadlineMs: z.number() }),
  /** One answer of `bytes` bytes. */
  z.object({ kind: z.literal("pull"), target: targetSchema, bytes: z.number(), deadlineMs: z.number() }),
  /** One valid JSON body of `bytes` bytes; the backend answers with the count it has read. */
  z.object({ kind: z.literal("upload"), target: targetSchema, bytes: z.number(), deadlineMs: z.number() }),
]);

const summarySchema = z.object({
  count: z.number(),
  p50: z.number().nullable(),
  p99: z.number().nullable(),
  max: z.number().nullable(),
});

/** Every job answers with the same shape; what a kind does not measure is absent. */
const resultSchema = z.object({
  /** Complete and correct answers, warm-up included. */
  answered: z.number(),
  errors: z.number(),
  /** Reason → how often. */
  reasons: z.record(z.string(), z.number()),
  perSecond: z.number().optional(),
  seconds: z.number().optional(),
  bytes: z.number().optional(),
  latency: summarySchema.optional(),
  firstByte: summarySchema.optional(),
  chunk: summarySchema.optional(),
  stream: summarySchema.optional(),
});

export const lineToLoad = z.object({ id: z.number(), job: jobSchema });
export const lineFromLoad = z.union([
  z.object({ hello: z.number() }),
  z.object({ id: z.number(), result: resultSchema }),
  z.object({ id: z.number(), failure: z.string() }),
]);

export type Target = { port: number; path: string; token?: string | undefined };
export type Job = z.infer<typeof jobSchema>;
export type JobOf<K extends Job["kind"]> = Extract<Job, { kind: K }>;
export type Result = z.infer<typeof resultSchema>;
