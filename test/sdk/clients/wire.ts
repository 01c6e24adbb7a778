// The TCP connection between a client and the broker, overheard.
import { connect, createServer, type Socket } from "node:net";
import { Changes } from "../../kit/time/until.ts";

const RETRY_AFTER = /^retry-after:/im;

/** Passes a client's bytes on to the broker, and keeps what each end says. */
export class Wire {
  /** What clients have sent. */
  asked = "";
  /** What the broker has answered. */
  answered = "";
  /**
   * Runs before an answer with `Retry-After` goes on to its client. The client is then told to wait for a millisecond, in
   * the header that the SDKs prefer, so that tests need not wait for seconds.
   */
  beforeRetry: (() => Promise<void>) | undefined;
  readonly #changes = new Changes();
  readonly #sockets = new Set<Socket>();
  readonly #server;

  private constructor(brokerPort: number) {
    this.#server = createServer(client => {
      const broker = connect(brokerPort, "127.0.0.1");
      this.#pair(client, broker, async bytes => {
        this.asked += bytes.toString("latin1");
        return bytes;
      });
      this.#pair(broker, client, async bytes => {
        const text = bytes.toString("latin1");
        this.answered += text;
        if (this.beforeRetry === undefined || !RETRY_AFTER.test(text)) return bytes;
        await this.beforeRetry();
        return Buffer.from(text.replace(RETRY_AFTER, "retry-after-ms: 1\r\n$&"), "latin1");
      });
    });
  }

  static async to(brokerPort: number): Promise<Wire> {
    const wire = new Wire(brokerPort);
    await new Promise<void>(resolve => wire.#server.listen(0, "127.0.0.1", resolve));
    return wire;
  }

  get origin(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("it does not listen");
    return `http://127.0.0.1:${address.port}`;
  }

  /** How many requests clients have begun. */
  get requests(): number {
    return this.asked.match(/POST \/api\/\S+ HTTP\/1/g)?.length ?? 0;
  }

  /** Resolves once the broker has said this. */
  heard(pattern: RegExp): Promise<void> {
    const what = () => `${pattern} on the wire; answered ${JSON.stringify(this.answered.slice(-500))}`;
    return this.#changes.when(() => pattern.test(this.answered), what);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>(resolve => this.#server.close(() => resolve()));
  }

  #pair(from: Socket, to: Socket, pass: (bytes: Buffer) => Promise<Buffer>): void {
    this.#sockets.add(from);
    let passed = Promise.resolve();
    const next = (step: () => Promise<void> | void): void => {
      passed = passed.then(step).catch(() => void to.destroy());
    };
    from.on("data", (bytes: Buffer) =>
      next(async () => {
        const passing = pass(bytes);
        this.#changes.notify();
        to.write(await passing);
      }),
    );
    from.on("end", () => next(() => void to.end()));
    from.on("error", () => to.destroy());
    from.on("close", () => {
      this.#sockets.delete(from);
      next(() => void to.destroy());
    });
  }
}
