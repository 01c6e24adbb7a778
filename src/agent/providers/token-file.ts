// The file that keeps a token between runs.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { z } from "zod";
import { sha256 } from "../../lib/digest.ts";
import { codeOf } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import { SecretFileRefused, secureSecretFile } from "../../lib/secret-file.ts";
import { HEADER_TOKEN } from "./token-request.ts";

/** Maximum size of a token file, in bytes; larger files are ignored. */
const FILE_BYTES = 64 * 1024;

/** Times are milliseconds since 1970. */
const kept = z.object({
  /** Owner of the token: a digest of the token server, the client and the scopes. */
  client: z.string(),
  access_token: z.string().regex(HEADER_TOKEN),
  refresh_token: z.string().min(1).optional(),
  obtained_at: z.number(),
  /** Undefined if the server did not state it. */
  expires_at: z.number().optional(),
});

export type KeptToken = Omit<z.infer<typeof kept>, "client">;

/** The owner whose token a file may contain. */
export interface TokenOwner {
  tokenUrl: string;
  clientId: string;
  scopes: readonly string[];
}

/**
 * Stores a client's token in a file that only its owner can read. Problems with the file cause only a warning: without
 * it, a token is requested at the next start.
 */
export class TokenFile {
  readonly #client: string;

  constructor(
    private readonly path: string,
    { tokenUrl, clientId, scopes }: TokenOwner,
    private readonly log: Logger,
  ) {
    this.#client = sha256(JSON.stringify([tokenUrl, clientId, scopes])).toString("hex");
  }

  /** The token that an earlier run left, or undefined where there is none of this client. */
  read(): KeptToken | undefined {
    try {
      const { client, ...token } = kept.parse(JSON.parse(this.#text()));
      if (client === this.#client) return token;
      this.#ignored("it contains another client's token");
    } catch (error) {
      const code = codeOf(error);
      // The message of a parse error would quote the content.
      if (code !== "ENOENT")
        this.#ignored(code || (error instanceof SecretFileRefused ? error.message : "it cannot be read"));
    }
    return undefined;
  }

  /** Replaces the file atomically. */
  async write(token: KeptToken): Promise<void> {
    const fresh = `${this.path}.${randomUUID()}.tmp`;
    try {
      await mkdir(dirname(this.path), { recursive: true, mode: 0o700 });
      const file = await open(fresh, "wx", 0o600);
      try {
        await file.writeFile(`${JSON.stringify({ client: this.#client, ...token })}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(fresh, this.path);
    } catch (error) {
      await rm(fresh, { force: true }).catch(() => {});
      this.log.warn({ file: this.path, reason: codeOf(error) }, "cannot store the token in its file");
    }
  }

  #text(): string {
    const { size } = secureSecretFile(this.path, this.log);
    if (size > FILE_BYTES) throw new SecretFileRefused("it is too large");
    return readFileSync(this.path, "utf8");
  }

  #ignored(reason: string): void {
    this.log.warn({ file: this.path, reason }, "ignoring the token file");
  }
}
