/** The same bytes as a Buffer, for its fast searches; not a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const decoder = new TextDecoder();

/** UTF-8 bytes as text. */
export function asText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

/**
 * Gives the memory of bytes back at once; nobody may look at them any more. An upload passes by in chunks of up to a MiB,
 * of which some eighty would wait for the garbage collector.
 */
export function discard({ buffer, byteLength }: Uint8Array): void {
  // In a larger buffer live others.
  if (byteLength > 0 && buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
