/** A fresh key: 144 random bits in 24 letters, digits, dashes and underscores. */
export function randomKey(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(18))).toString("base64url");
}
