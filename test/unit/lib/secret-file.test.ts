import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Logger, silentLog } from "../../../src/lib/log.ts";
import { SecretFileRefused, secureSecretFile } from "../../../src/lib/secret-file.ts";

let folder = "";
let warnings: object[] = [];
const log: Logger = { ...silentLog, warn: fields => void warnings.push(fields) };

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "nfrx-secret-"));
  warnings = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function secret(mode: number): string {
  const path = join(folder, "llm.token");
  writeFileSync(path, "secret\n");
  chmodSync(path, mode);
  return path;
}

test.if(process.platform !== "win32")("a file that other users can open is narrowed, with a warning", () => {
  for (const mode of [0o644, 0o640, 0o606, 0o620, 0o666, 0o604]) {
    warnings = [];
    const path = secret(mode);
    expect(secureSecretFile(path, log)).toEqual({ size: 7 });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(warnings).toEqual([{ file: path, mode: mode.toString(8).padStart(4, "0") }]);
  }
});

test.if(process.platform !== "win32")("a file of its owner alone is left as it is", () => {
  for (const mode of [0o600, 0o400]) {
    const path = secret(0o600);
    chmodSync(path, mode);
    secureSecretFile(path, log);
    expect(statSync(path).mode & 0o777).toBe(mode);
    chmodSync(path, 0o600);
  }
  expect(warnings).toEqual([]);
});

test("a folder in its place is refused, a missing file is not there", () => {
  const path = join(folder, "folder");
  mkdirSync(path);
  expect(() => secureSecretFile(path, log)).toThrow(SecretFileRefused);
  expect(() => secureSecretFile(join(folder, "none"), log)).toThrow("ENOENT");
});
