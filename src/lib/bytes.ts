/** The same bytes as a Buffer, for its fast searches; not a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const decoder = new TextDecoder();

/** UTF-8 bytes as text. */
export function asText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/** The text, truncated to at most `most` bytes of UTF-8. */
export function cutText(text: string, most: number): string {
  if (text.length * 3 <= most) return text;
  const bytes = Buffer.from(text.slice(0, most));
  if (bytes.length <= most) return text.length <= most ? text : bytes.toString("utf8");
  let end = most;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return bytes.toString("utf8", 0, end);
}

/** All bytes of a stream, or undefined if they exceed `most`; the stream is then canceled. */
export async function bytesUpTo(
  most: number,
  stream: ReadableStream<Uint8Array> | null,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream ?? []) {
    length += chunk.length;
    if (length > most) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/** Minimum size of a chunk whose memory is released before the garbage collector runs, in bytes. */
const DISCARDED_BYTES = 16 * 1024;

/**
 * Frees the memory of bytes immediately; they must not be used afterwards. An upload consists of chunks of up to a MiB,
 * of which about eighty would wait for the garbage collector.
 */
export function discard(bytes: Uint8Array): void {
  const { byteLength } = bytes;
  // A small one, as the events of a stream are, costs more than it gives.
  if (byteLength < DISCARDED_BYTES) return;
  const { buffer } = bytes;
  // A larger buffer is shared.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
