import { z } from "zod";

/** Content of chat messages and response items: text, or parts of which only those with text count. */
export const contentSchema = z.union([z.string(), z.array(z.looseObject({ text: z.string().optional() }))]);

export type ChatContent = z.infer<typeof contentSchema>;

/** The plain text of a message's content. */
export function textOf(content: ChatContent | null | undefined): string {
  if (typeof content === "string") return content;
  return (content ?? []).flatMap(part => part.text ?? []).join("\n");
}

/** The toy model's response: the last user message. */
export function echo(
  messages: readonly { role?: string | undefined; content?: ChatContent | null | undefined }[],
): string {
  return textOf(messages.findLast(({ role }) => role === "user")?.content) || "(there was no user message to echo)";
}

/** Splits a text into words with their trailing space; joined, they are the text again. */
function splitWords(text: string): string[] {
  return text.match(/^\s+|\S+\s*/g) ?? [];
}

/** The toy's idea of a token count: words. */
export function countWords(...texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + (text.match(/\S+/g)?.length ?? 0), 0);
}

/** Yields the words of `text`, `ms` apart; throws when `signal` aborts. */
export async function* speak(text: string, ms: number, signal: AbortSignal): AsyncGenerator<string> {
  let first = true;
  for (const word of splitWords(text)) {
    if (!first) await pause(ms, signal);
    first = false;
    signal.throwIfAborted();
    yield word;
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const gone = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", gone);
      resolve();
    }, ms);
    signal.addEventListener("abort", gone, { once: true });
  });
}
