// Clients that send a large form, MiB by MiB, and the folder where the broker keeps such forms.
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { randomness } from "../load/storm.ts";
import { AUTHORIZED } from "../process/broker.ts";
import { Changes } from "../time/until.ts";
import { RawClient } from "./raw-client.ts";

export const MIB = 1024 * 1024;
const BOUNDARY = "a-boundary-of-the-tests";

/** What files are made of: no MiB is like the ones around it. */
const blocks = makeBlocks(7);

export interface UploadOptions {
  path: string;
  /** MiB of the file. */
  mib: number;
  /** Where the part `model` stands; undefined leaves it out. */
  model?: "before" | "after" | undefined;
  headers?: Record<string, string>;
}

/** A client that sends a form with one file in it, as large as you like. */
export class Upload {
  /** Bytes of the form that the kernel has taken. */
  taken = 0;
  /** Bytes of the form in all, as its Content-Length announces them. */
  readonly length: number;

  readonly #hash = new Bun.CryptoHasher("sha256");
  readonly #changes = new Changes();
  readonly #start: Buffer;
  readonly #end: Buffer;
  #sent = 0;

  private constructor(
    readonly client: RawClient,
    private readonly options: UploadOptions,
  ) {
    const { model, mib } = options;
    const part = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="model"\r\n\r\ntest-model\r\n`;
    const file = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="recording.wav"\r\ncontent-type: audio/wav\r\n\r\n`;
    this.#start = Buffer.from((model === "before" ? part : "") + file);
    this.#end = Buffer.from(`\r\n${model === "after" ? part : ""}--${BOUNDARY}--\r\n`);
    this.length = this.#start.length + mib * MIB + this.#end.length;
  }

  /** Connects to a broker and sends the form as far as the first byte of its file. */
  static async begin(port: number, options: UploadOptions): Promise<Upload> {
    const upload = new Upload(await RawClient.connect(port), options);
    const headers = {
      ...AUTHORIZED,
      "content-type": `multipart/form-data; boundary=${BOUNDARY}`,
      "content-length": String(upload.length),
      ...options.headers,
    };
    await upload.client.write(upload.client.head(options.path, headers));
    await upload.#write(upload.#start);
    return upload;
  }

  /** Sends a whole form; resolves when it has been answered. */
  static async whole(port: number, options: UploadOptions): Promise<Upload> {
    const upload = await Upload.begin(port, options);
    await upload.finish();
    await upload.client.settled(60_000);
    return upload;
  }

  /** Sends so many MiB more of the file. */
  async send(mib: number): Promise<void> {
    for (let i = 0; i < mib; i++) await this.#write(blockAt(this.#sent++));
  }

  /** Sends what is left. */
  async finish(): Promise<void> {
    await this.send(this.options.mib - this.#sent);
    await this.#write(this.#end);
  }

  /** Resolves when the kernel has taken so many bytes of the form. */
  reaches(bytes: number, ms?: number): Promise<void> {
    return this.#changes.when(
      () => this.taken >= bytes,
      () => `${bytes} bytes of the form to be taken, not ${this.taken}`,
      ms,
    );
  }

  /** The SHA-256 of what was sent, in hex. */
  get sha256(): string {
    return this.#hash.copy().digest("hex");
  }

  async #write(bytes: Buffer): Promise<void> {
    this.#hash.update(bytes);
    await this.client.write(bytes);
    if (this.client.closed) return;
    this.taken += bytes.length;
    this.#changes.notify();
  }
}

/** A MiB of a file, by its place in it. */
export function blockAt(index: number): Buffer {
  const block = blocks[index % blocks.length];
  if (block === undefined) throw new Error("there are no blocks");
  return block;
}

function makeBlocks(count: number): Buffer[] {
  const random = randomness(count);
  return Array.from({ length: count }, () =>
    Buffer.from(Uint32Array.from({ length: MIB / 4 }, () => random() * 2 ** 32).buffer),
  );
}

/** Bytes that wait in the kernel for whoever is at the other end of a connection from or to these ports of 127.0.0.1. */
export function inSockets(ports: readonly number[]): number {
  const [, ...lines] = readFileSync("/proc/net/tcp", "utf8").trim().split("\n");
  return lines.reduce((sum, line) => {
    const [, local = "", remote = "", , queues = ""] = line.trim().split(/\s+/);
    const isOurs = [local, remote].some(address => ports.includes(Number.parseInt(address.split(":")[1] ?? "", 16)));
    const bytes = queues.split(":").reduce((total, queue) => total + Number.parseInt(queue, 16), 0);
    return isOurs ? sum + bytes : sum;
  }, 0);
}

/** File systems in memory, by the type that statfs tells: tmpfs and ramfs. */
const IN_MEMORY = new Set([0x01021994, 0x858458f6]);

/** A folder on a disk for a broker's UPLOAD_SPOOL_DIR; gone when it is disposed of. */
export class SpoolFolder {
  readonly path: string;

  /** Below `folder`, or below /var/tmp when that is in memory. Throws when there is no room for `mib`. */
  constructor(folder: string, mib: number) {
    this.path = mkdtempSync(join(IN_MEMORY.has(statfsSync(folder).type) ? "/var/tmp" : folder, "nfrx-test-spool-"));
    const { bavail, bsize } = statfsSync(this.path);
    const free = Math.floor((bavail * bsize) / MIB);
    if (free > mib) return;
    this[Symbol.dispose]();
    throw new Error(`${this.path} has ${free} MiB free and needs ${mib}`);
  }

  /** The files that have a name in it. */
  get named(): string[] {
    return readdirSync(this.path);
  }

  /** How many files of it, named or not, a process has open. */
  openIn({ pid }: { pid: number }): number {
    const folder = `/proc/${pid}/fd`;
    const links = readdirSync(folder).map(fd => {
      try {
        return readlinkSync(join(folder, fd));
      } catch {
        return ""; // closed meanwhile
      }
    });
    return links.filter(link => link.startsWith(`${this.path}/nfrx-upload-`)).length;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
