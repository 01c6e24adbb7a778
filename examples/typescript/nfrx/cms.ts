// CMS (RFC 5652) as doc/secure-jobs.md lays it down: EnvelopedData for the recipient inside SignedData by the sender.
import { createHash, type KeyObject, X509Certificate } from "node:crypto";
import * as asn1 from "asn1js";
import * as pki from "pkijs";

/** Something is not as it must be; what came is to be refused. */
export class CmsError extends Error {
  override readonly name = "CmsError";
}

/** A certificate with its private key, which both signs and decrypts. */
export interface Identity {
  certificate: pki.Certificate;
  certificatePem: string;
  fingerprint: string;
  /** The private key as PKCS #8. */
  pkcs8: Uint8Array<ArrayBuffer>;
}

export interface Peer {
  certificate: pki.Certificate;
  fingerprint: string;
}

const OID = {
  commonName: "2.5.4.3",
  basicConstraints: "2.5.29.19",
  keyUsage: "2.5.29.15",
  data: "1.2.840.113549.1.7.1",
  signedData: "1.2.840.113549.1.7.2",
  envelopedData: "1.2.840.113549.1.7.3",
  contentType: "1.2.840.113549.1.9.3",
  messageDigest: "1.2.840.113549.1.9.4",
  sha256: "2.16.840.1.101.3.4.2.1",
  rsa: "1.2.840.113549.1.1.1",
  sha256WithRsa: "1.2.840.113549.1.1.11",
  rsaOaep: "1.2.840.113549.1.1.7",
  aes256Cbc: "2.16.840.1.101.3.4.1.42",
};

const SIGNING = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
const DECRYPTING = { name: "RSA-OAEP", hash: "SHA-256" };
const KEY_BITS = 3072;
const SHORTEST_KEY_BITS = 2048;
/** Of a certificate's key usage, in its first byte: digitalSignature and keyEncipherment. */
const SIGN_AND_ENCRYPT = 0b1010_0000;
const DAY_MS = 86_400_000;

const { subtle } = globalThis.crypto;

/** A new key with a certificate that it signs itself. */
export async function newIdentity(name: string, days: number): Promise<Identity> {
  const keys = await subtle.generateKey(
    { ...SIGNING, modulusLength: KEY_BITS, publicExponent: new Uint8Array([1, 0, 1]) },
    true,
    ["sign", "verify"],
  );
  const certificate = new pki.Certificate();
  certificate.version = 2;
  const serial = globalThis.crypto.getRandomValues(new Uint8Array(16));
  serial[0] = (serial[0]! & 0x3f) | 0x40; // positive, and always of the same length
  certificate.serialNumber = new asn1.Integer({ valueHex: serial.buffer });
  for (const party of [certificate.subject, certificate.issuer]) {
    const value = new asn1.Utf8String({ value: name });
    party.typesAndValues.push(new pki.AttributeTypeAndValue({ type: OID.commonName, value }));
  }
  certificate.notBefore.value = new Date(Date.now() - DAY_MS); // for clocks that are late
  certificate.notAfter.value = new Date(Date.now() + days * DAY_MS);
  certificate.extensions = [
    extension(OID.basicConstraints, new pki.BasicConstraints({ cA: false }).toSchema()),
    extension(OID.keyUsage, new asn1.BitString({ valueHex: new Uint8Array([SIGN_AND_ENCRYPT]).buffer, unusedBits: 5 })),
  ];
  await certificate.subjectPublicKeyInfo.importKey(keys.publicKey);
  await certificate.sign(keys.privateKey, "SHA-256");
  return identityOf(certificate, new Uint8Array(await subtle.exportKey("pkcs8", keys.privateKey)));
}

/** An identity from PEM: one PRIVATE KEY (PKCS #8) and one CERTIFICATE, in any order. */
export function identityFromPem(pem: string): Identity {
  return identityOf(pki.Certificate.fromBER(fromPem(pem, "CERTIFICATE")), fromPem(pem, "PRIVATE KEY"));
}

export function identityToPem({ pkcs8, certificatePem }: Identity): string {
  return toPem(pkcs8, "PRIVATE KEY") + certificatePem;
}

/** The other side's certificate, when it is one that this form can work with today. */
export function peerFromPem(pem: string): Peer {
  const der = fromPem(pem, "CERTIFICATE");
  let certificate: pki.Certificate;
  let publicKey: KeyObject;
  try {
    certificate = pki.Certificate.fromBER(der);
    publicKey = new X509Certificate(der).publicKey;
  } catch {
    throw new CmsError("not a certificate");
  }
  if (publicKey.asymmetricKeyType !== "rsa") throw new CmsError("the certificate's key is not an RSA key");
  const bits = publicKey.asymmetricKeyDetails?.modulusLength ?? 0;
  if (bits < SHORTEST_KEY_BITS) throw new CmsError(`the certificate's key has only ${bits} bits`);
  const now = new Date();
  const { notBefore, notAfter } = certificate;
  if (!(notBefore.value <= now && now <= notAfter.value)) throw new CmsError("the certificate is not valid now");
  const usage: unknown = certificate.extensions?.find(({ extnID }) => extnID === OID.keyUsage)?.parsedValue;
  const bitsOfUsage = usage instanceof asn1.BitString ? (usage.valueBlock.valueHexView[0] ?? 0) : 0;
  if ((bitsOfUsage & SIGN_AND_ENCRYPT) !== SIGN_AND_ENCRYPT) {
    throw new CmsError("the certificate is not for signing and encrypting");
  }
  return { certificate, fingerprint: fingerprintOf(der) };
}

/** Encrypts for `peer`, then signs as `identity`. */
export async function seal(identity: Identity, peer: Peer, plain: Uint8Array): Promise<Uint8Array> {
  const enveloped = new pki.EnvelopedData({ disableSplit: true });
  enveloped.addRecipientByCertificate(peer.certificate, { oaepHashAlgorithm: "SHA-256" });
  await enveloped.encrypt({ name: "AES-CBC", length: 256 }, new Uint8Array(plain).buffer);
  const content = contentInfo(OID.envelopedData, enveloped.toSchema());

  const digest = await subtle.digest("SHA-256", content);
  const attribute = (type: string, value: object): pki.Attribute => new pki.Attribute({ type, values: [value] });
  const signed = new pki.SignedData({
    version: 1,
    encapContentInfo: new pki.EncapsulatedContentInfo({ eContentType: OID.data }),
    signerInfos: [
      new pki.SignerInfo({
        version: 1,
        sid: new pki.IssuerAndSerialNumber({
          issuer: identity.certificate.issuer,
          serialNumber: identity.certificate.serialNumber,
        }),
        signedAttrs: new pki.SignedAndUnsignedAttributes({
          type: 0,
          attributes: [
            attribute(OID.contentType, new asn1.ObjectIdentifier({ value: OID.data })),
            attribute(OID.messageDigest, new asn1.OctetString({ valueHex: digest })),
          ],
        }),
      }),
    ],
  });
  // Set here, for the constructor would cut it into pieces, as BER allows and DER does not.
  signed.encapContentInfo.eContent = new asn1.OctetString({ valueHex: content });
  await signed.sign(await subtle.importKey("pkcs8", identity.pkcs8, SIGNING, false, ["sign"]), 0, "SHA-256");
  return new Uint8Array(contentInfo(OID.signedData, signed.toSchema(true)));
}

/** What is inside the signature. Throws when that is not `peer`'s, or has another form. */
export async function verify(peer: Peer, sealed: Uint8Array): Promise<Uint8Array> {
  try {
    return await verified(peer, sealed);
  } catch (cause) {
    // Parsers fail in many ways; to the caller they are one.
    throw new CmsError("the signature is not the peer's", { cause });
  }
}

async function verified(peer: Peer, sealed: Uint8Array): Promise<Uint8Array> {
  const signed = new pki.SignedData({ schema: contentOf(sealed, OID.signedData) });
  const [signer, ...more] = signed.signerInfos;
  const eContent = signed.encapContentInfo.eContent;
  const attributes = signer?.signedAttrs?.attributes ?? [];
  const type = attributes.find(attribute => attribute.type === OID.contentType)?.values[0];
  // The library accepts more than this form allows. Without signed attributes, for one, another message's attributes
  // could be passed off as the content.
  const form =
    more.length === 0 &&
    signer?.digestAlgorithm.algorithmId === OID.sha256 &&
    [OID.rsa, OID.sha256WithRsa].includes(signer.signatureAlgorithm.algorithmId) &&
    signed.encapContentInfo.eContentType === OID.data &&
    type instanceof asn1.ObjectIdentifier &&
    type.getValue() === OID.data;
  if (!form || !(eContent instanceof asn1.OctetString)) throw new CmsError("another form");
  // Whatever certificates came along, only the peer's counts.
  signed.certificates = [peer.certificate];
  if (!(await signed.verify({ signer: 0 }))) throw new CmsError("wrong signature");
  return new Uint8Array(eContent.getValue());
}

/**
 * What is inside the envelope. To be called with what `verify` gave only. Throws in many ways when it is not encrypted for
 * `identity`; which of them it was, nobody else may learn.
 */
export async function decrypt(identity: Identity, content: Uint8Array): Promise<Uint8Array> {
  const enveloped = new pki.EnvelopedData({ schema: contentOf(content, OID.envelopedData) });
  const [recipient, ...more] = enveloped.recipientInfos;
  const info = recipient?.value;
  const form =
    more.length === 0 &&
    info instanceof pki.KeyTransRecipientInfo &&
    info.keyEncryptionAlgorithm.algorithmId === OID.rsaOaep &&
    enveloped.encryptedContentInfo.contentEncryptionAlgorithm.algorithmId === OID.aes256Cbc;
  if (!form) throw new CmsError("another form");
  const recipientPrivateKey = await subtle.importKey("pkcs8", identity.pkcs8, DECRYPTING, false, ["decrypt"]);
  return new Uint8Array(await enveloped.decrypt(0, { recipientPrivateKey }));
}

function contentInfo(contentType: string, content: object): ArrayBuffer {
  return new pki.ContentInfo({ contentType, content }).toSchema().toBER();
}

function contentOf(der: Uint8Array, contentType: string): unknown {
  const info = pki.ContentInfo.fromBER(der);
  if (info.contentType !== contentType) throw new CmsError("another form");
  return info.content;
}

function extension(extnID: string, value: asn1.BaseBlock): pki.Extension {
  return new pki.Extension({ extnID, critical: true, extnValue: value.toBER() });
}

function identityOf(certificate: pki.Certificate, pkcs8: Uint8Array<ArrayBuffer>): Identity {
  const der = new Uint8Array(certificate.toSchema().toBER());
  return { certificate, certificatePem: toPem(der, "CERTIFICATE"), fingerprint: fingerprintOf(der), pkcs8 };
}

function fingerprintOf(der: Uint8Array): string {
  return createHash("sha256").update(der).digest("hex");
}

function toPem(der: Uint8Array, label: string): string {
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}

function fromPem(pem: string, label: string): Uint8Array<ArrayBuffer> {
  const base64 = new RegExp(`-----BEGIN ${label}-----([^-]+)-----END ${label}-----`).exec(pem)?.[1];
  if (base64 === undefined) throw new CmsError(`no ${label} in PEM`);
  return new Uint8Array(Buffer.from(base64, "base64"));
}
