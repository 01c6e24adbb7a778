import { timingSafeEqual } from "node:crypto";

/** The SHA-256 digest of a text. */
export function sha256(text: string): Buffer {
  const bytes = Buffer.alloc(32);
  Bun.SHA256.hash(text, bytes);
  return bytes;
}

/** True for the text of this digest. Every guess takes the same time. */
export function matchesDigest(text: string, digest: Uint8Array): boolean {
  return timingSafeEqual(digest, sha256(text));
}
