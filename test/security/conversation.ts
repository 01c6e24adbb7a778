import { connect, type Socket } from "node:net";
import { Changes } from "../kit/time/until.ts";

/** Milliseconds for which a server may keep a connection open that the client has half closed. */
const OVER_MS = 5_000;

/** One raw connection: everything that is written goes out as it is, everything that comes back is kept. */
export class Conversation {
  closed = false;
  readonly #socket: Socket;
  readonly #changes = new Changes();
  readonly #chunks: Buffer[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes: Buffer) => {
      this.#chunks.push(bytes);
      this.#changes.notify();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
      this.#changes.notify();
    });
  }

  /** Connects to 127.0.0.1, from another loopback address when one is given. */
  static open(port: number, from = "127.0.0.1"): Promise<Conversation> {
    const { promise, resolve, reject } = Promise.withResolvers<Conversation>();
    const socket = connect({ port, host: "127.0.0.1", localAddress: from, noDelay: true });
    socket.once("error", reject);
    socket.once("connect", () => resolve(new Conversation(socket)));
    return promise;
  }

  write(bytes: string | Uint8Array): void {
    this.#socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  /** Says that nothing more will be written. */
  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString("latin1");
  }

  /** The statuses of the responses that have come, in their order. */
  get statuses(): number[] {
    return [...this.text.matchAll(/HTTP\/1\.[01] (\d{3}) /g)].map(([, status]) => Number(status));
  }

  when(holds: () => boolean, what: string, ms?: number): Promise<void> {
    return this.#changes.when(holds, () => `${what}: ${this.text.slice(0, 300)}${this.closed ? ", closed" : ""}`, ms);
  }

  /** Resolves when the server has closed the connection. */
  async over(): Promise<void> {
    await this.when(() => this.closed, "the end of the connection", OVER_MS);
  }
}
