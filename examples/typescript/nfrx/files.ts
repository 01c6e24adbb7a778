// Payloads and results on disk.
import { openAsBlob } from "node:fs";
import { open, rename, rm } from "node:fs/promises";

/** A file as a body: read while it is sent, and its size is known. */
export function fileBody(path: string): Promise<Blob> {
  return openAsBlob(path);
}

/** Writes what comes to a file, or to stdout. A file is there under its name only when it is whole. */
export async function saveTo(
  path: string | undefined,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<void> {
  if (path === undefined) {
    for await (const chunk of chunks) await print(chunk);
    return;
  }
  const partial = `${path}.part`;
  try {
    const file = await open(partial, "w");
    try {
      for await (const chunk of chunks) await file.writeFile(chunk);
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}

function print(chunk: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => process.stdout.write(chunk, error => (error ? reject(error) : resolve())));
}
