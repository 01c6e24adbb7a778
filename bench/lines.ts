/** Splits a byte stream into lines. */

/** Calls `onLine` for every complete line until the stream ends. */
export async function readLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder();
  let tail = "";
  for await (const bytes of stream) {
    const lines = (tail + decoder.decode(bytes, { stream: true })).split("\n");
    tail = lines.pop() ?? "";
    for (const line of lines) if (line !== "") onLine(line);
  }
}
