import { type FSWatcher, watch } from "node:fs";
import { basename, dirname } from "node:path";
import { messageOf } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { readTls, type TlsFiles, type TlsMaterial } from "../../lib/pem.ts";
import type { Clock, Timer } from "../../lib/time.ts";

/** Time in milliseconds to wait after one file changed for the other: certificate and key are two files. */
const SETTLE_MS = 500;

/**
 * Calls `onChange` with the new pair when either file changes. A pair that does not fit is logged and left aside, so that
 * the old one serves on. The folders are watched, because tools replace such files by renaming.
 */
export function watchTls(
  files: TlsFiles,
  clock: Clock,
  log: Logger,
  onChange: (material: TlsMaterial) => void,
): { close(): void } {
  let timer: Timer | undefined;
  let last = JSON.stringify(readTls(files));
  const check = (): void => {
    try {
      const material = readTls(files);
      const now = JSON.stringify(material);
      if (now === last) return;
      last = now;
      onChange(material);
      log.info({ cert_file: files.certFile }, "certificate reloaded");
    } catch (error) {
      log.error(
        { cert_file: files.certFile, error: messageOf(error) },
        "cannot use the new certificate; keeping the old one",
      );
    }
  };
  const touched = (): void => {
    timer?.cancel();
    timer = clock.after(SETTLE_MS, check, true);
  };
  // Certbot and Kubernetes point a link in the folder elsewhere: any change in the folder is worth a look.
  const watchers: FSWatcher[] = [...new Set([files.certFile, files.keyFile].map(file => dirname(file)))].map(folder =>
    watch(folder, { persistent: false }, touched),
  );
  log.debug({ files: [basename(files.certFile), basename(files.keyFile)] }, "watching the certificate files");
  return {
    close() {
      timer?.cancel();
      for (const watcher of watchers) watcher.close();
    },
  };
}
