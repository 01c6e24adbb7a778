// The operations of the module asr. Bodies are forwarded unchanged: schemas contain only the fields that the broker
// reads or that servers with this API know.
import { z } from "zod";
import type { Operation } from "../route.ts";
import { QUEUE } from "./fields.ts";

const model = z.string().min(1).describe("Model; selects the worker.");

/** A recording as a form; the part with the model may stand anywhere in it. */
const recording = z
  .looseObject({
    file: z.string().meta({ format: "binary", description: "The recording." }),
    model: model.optional().describe("Model. Default: ASR_DEFAULT_MODEL, or the connected model if there is only one."),
    language: z.string().optional().describe("Spoken language, such as `en`."),
    prompt: z.string().optional().describe("Text that guides the transcription, such as likely words."),
    response_format: z.string().optional().describe("`json`, `text`, `srt`, `verbose_json` or `vtt`."),
    temperature: z.number().optional(),
    stream: z.boolean().optional().describe("Respond with server-sent events, if the backend supports it."),
  })
  .meta({ id: "RecordingForm", description: "OpenAI form. All other parts are forwarded to the backend unchanged." });
const transcription = z
  .looseObject({ text: z.string() })
  .meta({ id: "Transcription", description: "Text, as the backend sent it." });
const speechRequest = z
  .looseObject({
    model,
    input: z.string().describe("The text."),
    voice: z.union([z.string(), z.looseObject({})]).optional(),
    response_format: z.string().optional().describe("`mp3`, `opus`, `aac`, `flac`, `wav` or `pcm`."),
    speed: z.number().optional(),
  })
  .meta({
    id: "SpeechRequest",
    description: "OpenAI request. All other fields are forwarded to the backend unchanged.",
  });

const audioOperation = (summary: string): Operation => ({
  summary,
  description:
    "The recording is streamed to the worker, whatever its size. With `stream=true` the backend's events are forwarded unchanged, and a queued request gets its position in the queue. If the backend sends the whole text after the stream has started, it is forwarded as one delta and `transcript.text.done`.",
  parameters: [QUEUE],
  request: { content: [{ type: "multipart/form-data", schema: recording }] },
  responses: {
    200: {
      description: "The text, in the requested format.",
      content: [
        { type: "application/json", schema: transcription, example: { text: "Hello from the other side." } },
        { type: "text/plain", schema: z.string(), example: "Hello from the other side." },
        {
          type: "text/event-stream",
          schema: z.string(),
          example: 'data: {"type":"transcript.text.delta","delta":"Hello"}\n\n',
        },
      ],
    },
  },
});

export const transcriptionOperation = audioOperation("Transcribe a recording");
export const translationOperation = audioOperation("Translate a recording into English");

export const speechOperation: Operation = {
  summary: "Speak a text",
  request: {
    content: [
      {
        type: "application/json",
        schema: speechRequest,
        example: { model: "kokoro", input: "Hello from the other side.", voice: "af_heart" },
      },
    ],
  },
  responses: {
    200: {
      description: "The recording.",
      content: [
        { type: "audio/mpeg", schema: z.string().meta({ format: "binary" }) },
        { type: "audio/wav", schema: z.string().meta({ format: "binary" }) },
      ],
    },
  },
};

const list = (summary: string, name: string, entry: unknown): Operation => ({
  summary,
  description: "Queries every worker.",
  responses: {
    200: {
      description: "The merged lists of all backends that have one, without duplicates.",
      content: [
        {
          type: "application/json",
          schema: z.looseObject({ [name]: z.array(z.unknown()) }),
          example: { [name]: [entry] },
        },
      ],
    },
  },
});

export const voicesOperation = list("List the voices", "voices", "af_heart");
export const audioModelsOperation = list("List the speech models, as some servers do", "models", { id: "kokoro" });
