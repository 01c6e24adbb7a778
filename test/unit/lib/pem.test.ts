// Each mistake with a certificate or key names the option that has it, and says what is wrong.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readCertificates, readTls } from "../../../src/lib/pem.ts";
import { Authority } from "../../kit/http/authority.ts";

let authority: Authority;
let folder = "";
const at = (name: string): string => join(folder, name);
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "nfrx-test-"));
  authority = new Authority(folder);
  for (const name of ["a", "b"]) authority.issue(name);
  const text = (name: string): string => readFileSync(at(name), "utf8");
  writeFileSync(at("chain.pem"), text("a.pem") + text("ca.pem"));
  writeFileSync(at("upside-down.pem"), text("ca.pem") + text("a.pem"));
  writeFileSync(at("damaged.pem"), text("a.pem").replace(/\n.{20}/, "\nAAAAAAAAAAAAAAAAAAAA"));
  writeFileSync(at("empty"), "\n");
  Bun.spawnSync(["openssl", "ec", "-in", at("a.key"), "-aes256", "-passout", "pass:x", "-out", at("secret.key")]);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("a certificate, or a chain of them, and its key are taken", () => {
  for (const cert of ["a.pem", "chain.pem"])
    expect(readTls({ certFile: at(cert), keyFile: at("a.key") }).cert).toBe(readFileSync(at(cert), "utf8"));
});

test.each([
  ["none.pem", "a.key", "TLS_CERT_FILE: file"],
  ["a.pem", "none.key", "TLS_KEY_FILE: file"],
  [".", "a.key", "is a directory, not a file"],
  [
    "a.pem",
    "b.key",
    /^TLS_KEY_FILE: the key in .*b\.key does not belong to the certificate in .*a\.pem \(TLS_CERT_FILE\)$/,
  ],
  ["a.key", "a.key", /^TLS_CERT_FILE: .* contains a private key, not a certificate/],
  ["a.pem", "a.pem", /^TLS_KEY_FILE: .* contains a certificate, not a private key/],
  ["a.csr", "a.key", /^TLS_CERT_FILE: .* contains a certificate request, not a certificate/],
  ["empty", "a.key", /^TLS_CERT_FILE: .* contains nothing, not a certificate/],
  ["damaged.pem", "a.key", /^TLS_CERT_FILE: certificate 1 in .* is damaged$/],
  ["upside-down.pem", "a.key", /^TLS_CERT_FILE: in .* put the server's own certificate first/],
  ["a.pem", "secret.key", /^TLS_KEY_FILE: the key in .* is encrypted; remove its passphrase$/],
])("%s with %s is refused with a reason", (cert, key, reason) => {
  expect(() => readTls({ certFile: at(cert), keyFile: at(key) })).toThrow(reason);
});

test("a key given as an authority is refused", () => {
  expect(() => readCertificates("TLS_CA_FILE", at("ca.key"))).toThrow(
    /^TLS_CA_FILE: .* contains a private key, not a cert/,
  );
  expect(readCertificates("TLS_CA_FILE", at("ca.pem"))).toContain("BEGIN CERTIFICATE");
});
