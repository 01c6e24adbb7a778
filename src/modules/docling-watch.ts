// The WebSocket by which Docling's servers report the status of a task.
import { z } from "zod";
import { watchOperation } from "./operations/documents.ts";
import type { Watch } from "./watch.ts";

const task = z.looseObject({ task_id: z.string(), task_status: z.string() });

/** Statuses of an unfinished task; servers have several names for the final one. */
const UNFINISHED: ReadonlySet<string> = new Set(["pending", "started"]);

const message = (kind: "connection" | "update", answer: unknown): string =>
  JSON.stringify({ message: kind, task: task.parse(answer), error: null });

export const doclingWatch: Watch = {
  path: "/v1/status/ws/:task",
  queryHeaders: { api_key: "x-api-key", tenant_id: "x-tenant-id" },
  // Docling's servers send the same status twice at the start.
  opening: answer => [message("connection", answer), message("update", answer)],
  update: answer => message("update", answer),
  // Docling's client knows this one by its text.
  failure: (error, status) =>
    JSON.stringify({ message: "error", task: null, error: status === 404 ? "Task not found." : error }),
  isOver: answer => !UNFINISHED.has(task.parse(answer).task_status),
  operation: watchOperation,
};
