/** The same bytes as a Buffer, for its fast searches; not a copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

const decoder = new TextDecoder();

/** UTF-8 bytes as text. */
export function asText(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}
