// The Unix socket by which operators on this machine administer the broker: whoever may open it needs no key.
import { chmodSync, existsSync, mkdirSync, statSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import { messageOf } from "../../lib/errors.ts";
import { type Answer, serveSocket } from "../../lib/listen.ts";
import type { Logger } from "../../lib/log.ts";

/** The word for no socket. */
export const NO_SOCKET = "none";
/** Bytes of a path that fit in the address of a Unix socket on every system. */
const PATH_BYTES_MAX = 103;
/** Bytes of a request's body. */
const BODY_BYTES = 1024 * 1024;
const OPTION = "CONTROL_SOCKET";

export interface ControlSocketOptions {
  /** Where it may be; the first place where a socket can be made is taken. */
  readonly paths: readonly string[];
  /** The first of them was named by the operator: then a failure stops the start. */
  readonly named: boolean;
  readonly answer: (request: Request) => Answer;
  readonly log: Logger;
}

/** Listens until it is closed. */
export class ControlSocket {
  private constructor(
    readonly path: string,
    private readonly server: { stop(now: boolean): Promise<void> },
  ) {}

  /** Makes the socket; undefined, with a warning, where none can be made. Throws when it was named and cannot be made. */
  static async open({ paths, named, answer, log }: ControlSocketOptions): Promise<ControlSocket | undefined> {
    const reasons: string[] = [];
    for (const path of paths) {
      try {
        await prepare(path);
        return new ControlSocket(path, listen(path, answer));
      } catch (error) {
        if (named) throw new Error(`${OPTION}: ${path}: ${messageOf(error)}`, { cause: error });
        reasons.push(`${path}: ${messageOf(error)}`);
      }
    }
    if (paths.length > 0)
      log.warn({ reasons }, `there is no control socket, so \`nfrx key\` and its like need --server; set ${OPTION}`);
    return undefined;
  }

  async close(): Promise<void> {
    await this.server.stop(true);
    unlinkIfThere(this.path);
  }
}

/** The folder is for its owner and group; a socket that nobody listens on any more is removed. Throws when another broker has it. */
async function prepare(path: string): Promise<void> {
  if (Buffer.byteLength(path) > PATH_BYTES_MAX) throw new Error(`the path is longer than ${PATH_BYTES_MAX} bytes`);
  const folder = dirname(path);
  // A service's umask may be stricter.
  if (mkdirSync(folder, { recursive: true, mode: 0o750 }) !== undefined) chmodSync(folder, 0o750);
  if (!existsSync(path)) return;
  if (!statSync(path).isSocket()) throw new Error("the file there is not a socket");
  if (await answers(path)) throw new Error("another broker listens there");
  unlinkIfThere(path);
}

/** Nobody but the owner can open it before its mode is set. */
function listen(path: string, answer: (request: Request) => Answer) {
  const mask = process.umask(0o177);
  try {
    const server = serveSocket(path, { answer, maxBodyBytes: BODY_BYTES });
    chmodSync(path, 0o660);
    return server;
  } finally {
    process.umask(mask);
  }
}

function answers(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(path);
  socket.once("connect", () => resolve(true));
  socket.once("error", () => resolve(false));
  return promise.finally(() => socket.destroy());
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // it was gone already
  }
}
