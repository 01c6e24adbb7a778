// What a certificate says of itself, and what speaks TLS at an address.
import { X509Certificate } from "node:crypto";
import { connect } from "node:tls";
import { codeOf, messageOf } from "./errors.ts";

/** Milliseconds that a handshake may take. */
const HANDSHAKE_MS = 5_000;

/** When a PEM certificate is valid, in milliseconds since 1970. Throws when it is none. */
export function validity(pem: string): { from: number; to: number } {
  const { validFrom, validTo } = new X509Certificate(pem);
  return { from: Date.parse(validFrom), to: Date.parse(validTo) };
}

/** A day as people write it. */
export const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);

export interface TlsHandshake {
  /** Why the certificate is not to be trusted, in the words of OpenSSL; undefined when it is. */
  readonly distrust: string | undefined;
  /** When the certificate ends. */
  readonly validTo: string;
}

/** Shakes hands with whatever listens there; undefined when that speaks no TLS. `ca` is trusted besides the system's. */
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
