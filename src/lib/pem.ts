// Reads certificate and key files; errors name the option and the problem.
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { messageOf } from "./errors.ts";

export interface TlsFiles {
  certFile: string;
  keyFile: string;
}

export interface TlsMaterial {
  cert: string;
  key: string;
}

const CERTIFICATE = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]+-----END (?:TRUSTED )?CERTIFICATE-----/g;
const PRIVATE_KEY = /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----/;
const ENCRYPTED = /-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m;

/** Reads certificate and key. Throws, naming the option, when they cannot be read or do not belong together. */
export function readTls({ certFile, keyFile }: TlsFiles): TlsMaterial {
  const cert = readCertificates("TLS_CERT_FILE", certFile);
  const key = readOption("TLS_KEY_FILE", keyFile);
  if (ENCRYPTED.test(key)) throw new Error(`TLS_KEY_FILE: the key in ${keyFile} is encrypted; remove its passphrase`);
  if (!PRIVATE_KEY.test(key))
    throw new Error(`TLS_KEY_FILE: ${keyFile} contains ${what(key)}, not a private key in PEM format`);
  const belongs = (pem: string | undefined): boolean =>
    pem !== undefined && new X509Certificate(pem).checkPrivateKey(privateKey(keyFile, key));
  const [first, ...rest] = cert.match(CERTIFICATE) ?? [];
  if (belongs(first)) return { cert, key };
  throw new Error(
    rest.some(belongs)
      ? `TLS_CERT_FILE: in ${certFile}, put the server's own certificate first, then the CA certificates`
      : `TLS_KEY_FILE: the key in ${keyFile} does not belong to the certificate in ${certFile} (TLS_CERT_FILE)`,
  );
}

/** Reads a certificate file. Throws an error with the option if it is unreadable or contains no certificate. */
export function readCertificates(option: string, path: string): string {
  const text = readOption(option, path);
  const certificates = text.match(CERTIFICATE) ?? [];
  if (certificates.length === 0)
    throw new Error(`${option}: ${path} contains ${what(text)}, not a certificate in PEM format`);
  for (const [index, pem] of certificates.entries()) {
    try {
      new X509Certificate(pem);
    } catch {
      throw new Error(`${option}: certificate ${index + 1} in ${path} is damaged`);
    }
  }
  return text;
}

function privateKey(path: string, pem: string) {
  try {
    return createPrivateKey(pem);
  } catch {
    throw new Error(`TLS_KEY_FILE: the private key in ${path} is damaged`);
  }
}

function readOption(option: string, path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT") throw new Error(`${option}: file ${path} not found`);
    if (code === "EACCES" || code === "EPERM")
      throw new Error(`${option}: this user has no permission to read ${path}`);
    if (code === "EISDIR") throw new Error(`${option}: ${path} is a directory, not a file`);
    throw new Error(`${option}: ${path} cannot be read: ${messageOf(error)}`);
  }
}

function what(text: string): string {
  if (text.trim() === "") return "nothing";
  if (PRIVATE_KEY.test(text)) return "a private key";
  if (CERTIFICATE.exec(text) !== null) return "a certificate";
  return /-----BEGIN CERTIFICATE REQUEST-----/.test(text) ? "a certificate request" : "something else";
}
