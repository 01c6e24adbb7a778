// Transcriptions as OpenAI streams them.
import { z } from "zod";
import type { EventStreamApi } from "../module.ts";
import { jsonOf, typedEvent } from "./sse.ts";

const transcription = z.looseObject({ text: z.string() });

/** Streams of `/audio/transcriptions` and `/audio/translations`. */
export const transcriptStream: EventStreamApi = {
  toEvents(answer) {
    const parsed = transcription.safeParse(jsonOf(answer));
    if (parsed.success) return done(parsed.data);
    // The formats `text`, `srt` and `vtt` are not JSON.
    return answer.contentType.startsWith("text/") && answer.contentType !== "text/html"
      ? done({ text: answer.text })
      : undefined;
  },
};

/** One delta with all of the text, for clients that show deltas, and the end. */
function done(transcript: { readonly text: string }): string {
  const delta = { type: "transcript.text.delta", delta: transcript.text };
  return typedEvent(delta) + typedEvent({ ...transcript, type: "transcript.text.done" });
}
