// Reads certificates, and the certificate of a TLS server.
import { X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import { codeOf, messageOf } from "./errors.ts";

/** Milliseconds that a handshake may take. */
const HANDSHAKE_MS = 5_000;

/** Validity of a PEM certificate, in milliseconds since the epoch. Throws if it is not one. */
export function validity(pem: string): { from: number; to: number } {
  const { validFrom, validTo } = new X509Certificate(pem);
  return { from: Date.parse(validFrom), to: Date.parse(validTo) };
}

/** A date, formatted. */
export const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

export interface TlsHandshake {
  /** OpenSSL's reason why the certificate is not trusted; undefined if it is. */
  readonly distrust: string | undefined;
  /** Expiry time of the certificate. */
  readonly validTo: string;
}

/**
 * Performs a TLS handshake; undefined if the server does not use TLS. `ca` is trusted in addition to the system's CAs.
 */
export function shakeHands(host: string, port: number, ca: string | undefined): Promise<TlsHandshake | undefined> {
  const { promise, resolve } = Promise.withResolvers<TlsHandshake | undefined>();
  const servername = /^[\d.]+$|:/.test(host) ? undefined : host;
  const socket = connect({
    host,
    port,
    rejectUnauthorized: false,
    ...(servername !== undefined && { servername }),
    ...(ca !== undefined && { ca }),
  });
  const end = (found: TlsHandshake | undefined): void => {
    clearTimeout(timer);
    socket.destroy();
    resolve(found);
  };
  const timer = setTimeout(() => end(undefined), HANDSHAKE_MS);
  socket.once("secureConnect", () => {
    const { authorizationError: error } = socket;
    const distrust = error ? codeOf(error) || messageOf(error) : undefined;
    end({ distrust, validTo: String(socket.getPeerCertificate().valid_to) });
  });
  socket.once("error", () => end(undefined));
  return promise;
}
