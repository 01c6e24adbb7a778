// The operations of the module docling. Bodies are forwarded unchanged, whatever their type: schemas contain the fields
// that Docling servers know.
import { z } from "zod";
import type { Content, Operation, RequestContent } from "../route.ts";

const options = z
  .looseObject({})
  .optional()
  .describe("Conversion options of the Docling server: `to_formats`, `do_ocr`, `image_export_mode` …");
const source = z
  .looseObject({
    sources: z
      .array(z.looseObject({ kind: z.string().describe("`http` or `file`.") }))
      .describe("Documents: `{kind: http, url}`, or `{kind: file, filename, base64_string}`."),
    options,
  })
  .meta({ id: "DoclingSources", description: "Documents by URL, or inline." });
const batch = z
  .looseObject({
    sources: z.array(z.looseObject({})).describe("Documents; each becomes a part of the task."),
    options,
  })
  .meta({ id: "DoclingBatch", description: "A batch of documents." });
const form = z
  .looseObject({ files: z.array(z.string().meta({ format: "binary" })).describe("The documents.") })
  .meta({ id: "DoclingFiles", description: "Documents as form parts; the other parts are options." });
const answer = z.looseObject({}).meta({ id: "DoclingAnswer", description: "As the backend sent it." });
const task = z
  .looseObject({ task_id: z.string(), task_status: z.string() })
  .meta({ id: "DoclingTask", description: "Task, as the backend sent it." });

const BODIES: Readonly<Record<"source" | "file" | "batch", RequestContent>> = {
  source: {
    content: [
      {
        type: "application/json",
        schema: source,
        example: {
          sources: [{ kind: "http", url: "https://example.com/report.pdf" }],
          options: { to_formats: ["md"] },
        },
      },
    ],
  },
  file: { content: [{ type: "multipart/form-data", schema: form }] },
  batch: {
    content: [
      {
        type: "application/json",
        schema: batch,
        example: { sources: [{ kind: "http", url: "https://example.com/report.pdf" }] },
      },
    ],
  },
};

const converted: Content = {
  type: "application/json",
  schema: answer,
  example: { document: { filename: "report.pdf", md_content: "# Report" }, status: "success", processing_time: 1.2 },
};
const started: Content = {
  type: "application/json",
  schema: task,
  example: { task_id: "b1946ac9-2b5c-4f3a-9d50-7a1f1a2c3d4e", task_status: "pending", task_position: 1 },
};
const zip: Content = { type: "application/zip", schema: z.string().meta({ format: "binary" }) };

const AT_A_TASK = "Requests about the task go to the worker that has it and do not use a slot.";
const chunker = { name: "chunker", in: "path", description: "`hybrid` or `hierarchical`.", example: "hybrid" } as const;
const taskId = { name: "task", in: "path", description: "The task's id." } as const;

/** Work on documents: at once, or as a task. */
export function workOperation(verb: "Convert" | "Chunk", body: keyof typeof BODIES, asTask: boolean): Operation {
  const what = body === "file" ? "uploaded documents" : body === "batch" ? "a batch of documents" : "documents";
  return {
    summary: `${verb} ${what}${asTask ? ", as a task" : ""}`,
    ...(asTask && { description: `The response names a task that continues in the background. ${AT_A_TASK}` }),
    ...(verb === "Chunk" && { parameters: [chunker] }),
    request: BODIES[body],
    responses: {
      200: asTask
        ? { description: "The task.", content: [started] }
        : {
            description: "The converted documents; several documents may come as a ZIP file.",
            content: [converted, zip],
          },
    },
  };
}

export const pollOperation: Operation = {
  summary: "Get a task's status",
  description: AT_A_TASK,
  parameters: [
    taskId,
    { name: "wait", in: "query", description: "Seconds to wait for a change.", schema: z.number(), example: 5 },
  ],
  responses: { 200: { description: "The task.", content: [started] } },
};

export const watchOperation: Operation = {
  summary: "Follow a task over a WebSocket",
  description:
    'The request is upgraded to a WebSocket, as with Docling\'s server. Each text message is `{"message": "connection" | "update" | "error", "task": …, "error": …}`, with the task as `/v1/status/poll` returns it. The broker sends the status at the start and after each change. It closes the socket with 1000 when the task has ended, with 1011 after an error, and with 1012 when the broker restarts. It ignores messages from the client.',
  parameters: [
    taskId,
    {
      name: "api_key",
      in: "query",
      description: "The API key, for clients that cannot send headers. Proxies may log it.",
    },
    { name: "tenant_id", in: "query", description: "Same as the header `X-Tenant-Id`." },
  ],
  responses: { 101: { description: "The connection is upgraded to a WebSocket." } },
};

export const resultOperation: Operation = {
  summary: "Get a task's result",
  description: AT_A_TASK,
  parameters: [taskId],
  responses: { 200: { description: "The result.", content: [converted, zip] } },
};

/** Self-description of a server. */
export const healthOperation = (path: string): Operation => ({
  summary: path === "/version" ? "Get a Docling server's versions" : `Get a Docling server's ${path}`,
  description: "Queries one connected server without using a slot; a pinned request queries the named one.",
  responses: {
    200: {
      description: "The server's response.",
      content: [
        {
          type: "application/json",
          schema: answer,
          example: path === "/version" ? { docling: "2.60.0" } : { status: "ok" },
        },
      ],
    },
  },
});
