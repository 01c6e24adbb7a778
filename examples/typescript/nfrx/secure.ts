// What a secure client and worker say to each other around CMS: doc/secure-jobs.md is the description of it.
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import {
  CmsError,
  type Identity,
  identityFromPem,
  identityToPem,
  newIdentity,
  type Peer,
  peerFromPem,
  seal,
  unseal,
} from "./cms.ts";

export const SCHEME = "cms-x509-signed-v1";
export const MEDIA_TYPE = "application/cms";

/** Stands as `secure_transfer` in a job's metadata and in a channel's properties: how to seal something for me. */
export interface Offer {
  scheme: string;
  certificate: string;
  /** To be repeated in what is sealed, so that nothing old can be put in its place. */
  nonce: string;
}

/** What something sealed is for. Sealed along with it, and compared when it is opened. */
export interface Context {
  job_id: string;
  type: string;
  part: "payload" | "result";
  key: string;
  nonce: string;
}

const EPHEMERAL_DAYS = 7;
const KEPT_DAYS = 365;

/** The identity in a file, which is made when there is none; without a file, one for this run only. */
export async function loadIdentity(path: string | undefined, name: string): Promise<Identity> {
  if (path === undefined) return newIdentity(name, EPHEMERAL_DAYS);
  if (existsSync(path)) return identityFromPem(readFileSync(path, "utf8"));
  const identity = await newIdentity(name, KEPT_DAYS);
  writeFileSync(path, identityToPem(identity), { mode: 0o600, flag: "wx" });
  return identity;
}

export function makeOffer(identity: Identity): Offer {
  return { scheme: SCHEME, certificate: identity.certificatePem, nonce: randomBytes(16).toString("hex") };
}

/** The other side's offer. With `pins`, fingerprints as `openssl x509 -fingerprint -sha256` prints them, only from these. */
export function takeOffer(from: Record<string, unknown> | undefined, pins: string[]): { peer: Peer; nonce: string } {
  const { scheme, certificate, nonce } = (from?.["secure_transfer"] ?? {}) as Partial<Offer>;
  if (scheme !== SCHEME) throw new CmsError(`the other side does not offer ${SCHEME}`);
  if (typeof certificate !== "string" || typeof nonce !== "string") throw new CmsError("the offer is not complete");
  const peer = peerFromPem(certificate);
  const known = pins.map(pin => pin.replaceAll(":", "").toLowerCase());
  if (known.length > 0 && !known.includes(peer.fingerprint)) {
    throw new CmsError(`the other side's certificate is none of the pinned ones: ${peer.fingerprint}`);
  }
  return { peer, nonce };
}

/** Seals one line of JSON, the context and the content type, and after it the body. */
export function sealFor(
  identity: Identity,
  peer: Peer,
  context: Context,
  contentType: string,
  body: Uint8Array,
): Promise<Uint8Array> {
  const header = `${JSON.stringify({ ...context, content_type: contentType })}\n`;
  return seal(identity, peer, Buffer.concat([Buffer.from(header), body]));
}

export async function openFrom(
  identity: Identity,
  peer: Peer,
  context: Context,
  sealed: Uint8Array,
): Promise<{ contentType: string; body: Uint8Array }> {
  const plain = await unseal(identity, peer, sealed);
  const end = plain.indexOf(0x0a);
  if (end < 0) throw new CmsError("no header in what was sealed");
  const header: Record<string, unknown> = JSON.parse(new TextDecoder().decode(plain.subarray(0, end)));
  for (const [name, value] of Object.entries(context)) {
    if (header[name] !== value) throw new CmsError(`sealed for another ${name}`);
  }
  return { contentType: String(header["content_type"]), body: plain.subarray(end + 1) };
}
