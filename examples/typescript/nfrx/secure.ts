// What a secure client and worker say to each other around CMS: doc/secure-jobs.md is the description of it.
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { bytesOf, type Incoming } from "./api.ts";
import * as cms from "./cms.ts";
import { CmsError, type Identity, type Peer } from "./cms.ts";

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

/** Of every certificate, for it shows to the broker: what counts is the fingerprint. */
const NAME = "nfrx example";
const EPHEMERAL_DAYS = 7;
const KEPT_DAYS = 365;
/** All of it is in memory while it is sealed or opened, more than once. */
const LARGEST_SEALED = 256 * 1024 * 1024;

/** The identity in a file, which is made when there is none; without a file, one for this run only. */
export async function loadIdentity(path: string | undefined): Promise<Identity> {
  if (path === undefined) return cms.newIdentity(NAME, EPHEMERAL_DAYS);
  if (existsSync(path)) {
    const identity = cms.identityFromPem(readFileSync(path, "utf8"));
    cms.peerFromPem(identity.certificatePem); // what the other side would refuse, is refused here
    return identity;
  }
  const identity = await cms.newIdentity(NAME, KEPT_DAYS);
  writeFileSync(path, cms.identityToPem(identity), { mode: 0o600, flag: "wx" });
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
  const peer = cms.peerFromPem(certificate);
  const known = pins.map(pin => pin.replaceAll(":", "").toLowerCase());
  if (known.length > 0 && !known.includes(peer.fingerprint)) {
    throw new CmsError(`the other side's certificate is none of the pinned ones: ${peer.fingerprint}`);
  }
  return { peer, nonce };
}

/** Seals one line of JSON, the context, the sender's fingerprint and the content type, and after it the body. */
export async function sealFor(
  identity: Identity,
  peer: Peer,
  context: Context,
  contentType: string,
  body: Uint8Array,
): Promise<Uint8Array> {
  const header = { ...context, from: identity.fingerprint, content_type: contentType };
  const sealed = await cms.seal(identity, peer, Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), body]));
  if (sealed.length > LARGEST_SEALED) throw new CmsError(`sealed, it is more than ${LARGEST_SEALED} bytes`);
  return sealed;
}

/** Opens what `peer` sealed in this context for `identity`, and nothing else. */
export async function openFrom(
  identity: Identity,
  peer: Peer,
  context: Context,
  incoming: Incoming,
): Promise<{ contentType: string; body: Uint8Array }> {
  const enveloped = await cms.verify(peer, await bytesOf(incoming, LARGEST_SEALED));
  try {
    const plain = await cms.decrypt(identity, enveloped);
    const end = plain.indexOf(0x0a);
    if (end < 0) throw new CmsError("no header");
    const header: Record<string, unknown> = JSON.parse(Buffer.from(plain.subarray(0, end)).toString());
    // The sender is named inside too, for whoever takes the signature off can put another one in its place.
    const expected = Object.entries({ ...context, from: peer.fingerprint });
    if (!expected.every(([name, value]) => header[name] === value)) throw new CmsError("another context");
    return { contentType: String(header["content_type"]), body: plain.subarray(end + 1) };
  } catch {
    // One refusal for all that can be wrong. Told apart, wrong padding and a wrong header would help somebody who signs
    // another's envelopes as his own, with bits changed, to decrypt them (a padding oracle).
    throw new CmsError("not sealed by the peer for this certificate and this job");
  }
}
