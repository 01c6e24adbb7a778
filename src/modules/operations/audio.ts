// The public operations of the module asr. Bodies pass through as they are: what stands here of them is what the broker
// reads, and what servers with this API know.
import { z } from "zod";
import type { Operation } from "../route.ts";
import { QUEUE } from "./fields.ts";

const model = z.string().min(1).describe("The model: it chooses the worker.");

/** A recording as a form; the part with the model may stand anywhere in it. */
const recording = z
  .looseObject({
    file: z.string().meta({ format: "binary", description: "The recording." }),
    model: model.optional().describe("The model; without it ASR_DEFAULT_MODEL, or the only one that is connected."),
    language: z.string().optional().describe("The language that is spoken, such as `en`."),
    prompt: z.string().optional().describe("Words that are likely to be heard."),
    response_format: z.string().optional().describe("`json`, `text`, `srt`, `verbose_json` or `vtt`."),
    temperature: z.number().optional(),
    stream: z.boolean().optional().describe("Answer as server-sent events, where the backend can."),
  })
  .meta({ id: "RecordingForm", description: "OpenAI's form. All other parts go to the backend as they are." });
const transcription = z
  .looseObject({ text: z.string() })
  .meta({ id: "Transcription", description: "The text, as the backend gave it." });
const speechRequest = z
  .looseObject({
    model,
    input: z.string().describe("The text."),
    voice: z.union([z.string(), z.looseObject({})]).optional(),
    response_format: z.string().optional().describe("`mp3`, `opus`, `aac`, `flac`, `wav` or `pcm`."),
    speed: z.number().optional(),
  })
  .meta({ id: "SpeechRequest", description: "OpenAI's request. All other fields go to the backend as they are." });

const heard = (summary: string): Operation => ({
  summary,
  description:
    "The recording streams through, whatever its size. With `stream=true` the backend's events pass as they come, and a request that has to wait for a worker learns its position in the queue. A backend that answers with the whole text after the stream has opened gets its text through as one delta and `transcript.text.done`.",
  parameters: [QUEUE],
  request: { content: [{ type: "multipart/form-data", schema: recording }] },
  responses: {
    200: {
      description: "The text, in the format that was asked for.",
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

export const transcriptionOperation = heard("Transcribe a recording");
export const translationOperation = heard("Translate a recording into English");

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
  description: "Every worker is asked.",
  responses: {
    200: {
      description: "What all backends that have such a list say, each entry once.",
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
export const audioModelsOperation = list("List the models for speech, as some servers do", "models", { id: "kokoro" });
