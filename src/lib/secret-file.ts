import { chmodSync, statSync } from "node:fs";
import type { Logger } from "./log.ts";

/**
 * Makes sure that a file with a secret belongs to its owner alone, before it is read. A file that other users can open is
 * narrowed to mode 0600, with a warning. Returns its size in bytes. Throws `SecretFileRefused` when the file is not a
 * regular file or its mode cannot be changed, and the error of `stat` when there is no file. On Windows, which has no
 * such modes, nothing is changed.
 */
export function secureSecretFile(path: string, log: Logger): { size: number } {
  const found = statSync(path);
  if (!found.isFile()) throw new SecretFileRefused("not a regular file");
  if (process.platform !== "win32" && (found.mode & 0o077) !== 0) {
    const mode = (found.mode & 0o777).toString(8).padStart(4, "0");
    try {
      chmodSync(path, 0o600);
    } catch {
      throw new SecretFileRefused(`other users can read it (mode ${mode}), and its mode cannot be changed`);
    }
    log.warn({ file: path, mode }, "other users could read this secret file; its mode was changed to 0600");
  }
  return { size: found.size };
}

/** A file that cannot be trusted with a secret. Its message may be shown. */
export class SecretFileRefused extends Error {
  override readonly name = "SecretFileRefused";
}
