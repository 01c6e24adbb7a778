// A worker written by hand: it says exactly what the test says, in either version of the wire.
import { decodeFrames, FrameBatch, type Head, type HeaderList, Kind } from "../../../src/protocol/frames.ts";
import { Changes } from "../time/until.ts";
import { CLIENT_KEY } from "../world.ts";

/** A JSON message. */
export type Message = { type?: unknown; [field: string]: unknown };

export interface V2Frame {
  kind: "head" | "data" | "reset" | "window" | "goaway";
  id: number;
  head?: Head;
  text?: string;
  end?: boolean;
  code?: string;
}

export interface HandOptions {
  /** Offers `nfrx.v2`; without it the broker speaks v1. */
  v2?: boolean;
  /** Headers of the upgrade; the agents' key unless given. */
  headers?: Record<string, string>;
}

/** The agent's end of a connection to the broker. Everything the broker says is kept. */
export class HandWorker {
  /** JSON messages, in order. */
  readonly messages: Message[] = [];
  /** v2 frames, in order. */
  readonly frames: V2Frame[] = [];
  closed: { code: number; reason: string } | undefined;

  readonly #changes = new Changes();
  readonly #ws: WebSocket;
  #open = false;
  #pongs = 0;

  private constructor(url: string, options: HandOptions) {
    this.#ws = new WebSocket(url, {
      headers: options.headers ?? { authorization: `Bearer ${CLIENT_KEY}` },
      ...(options.v2 && { protocols: ["nfrx.v2"] }),
    });
    this.#ws.binaryType = "nodebuffer";
    this.#ws.addEventListener("open", () => {
      this.#open = true;
      this.#changes.notify();
    });
    this.#ws.addEventListener("message", ({ data }) => {
      if (typeof data === "string") this.messages.push(JSON.parse(data));
      else this.#decode(data);
      this.#changes.notify();
    });
    this.#ws.addEventListener("close", ({ code, reason }) => {
      this.closed ??= { code, reason };
      this.#changes.notify();
    });
  }

  /** Connects; resolves when the broker has upgraded the connection. */
  static async connect(url: string, options: HandOptions = {}): Promise<HandWorker> {
    const worker = new HandWorker(url, options);
    await worker.#changes.when(() => worker.#open || worker.closed !== undefined, "a hand-written worker connects");
    return worker;
  }

  /** The broker's word for the protocol: `nfrx.v2` or "". */
  get protocol(): string {
    return this.#ws.protocol;
  }

  send(message: object | string | Uint8Array<ArrayBuffer>): void {
    this.#ws.send(typeof message === "string" || message instanceof Uint8Array ? message : JSON.stringify(message));
  }

  register(fields: object = {}): void {
    this.send({
      type: "register",
      worker_id: "hand",
      worker_name: "by-hand",
      models: ["test-model"],
      max_concurrency: 1,
      ...fields,
    });
  }

  /** The nth JSON message of this type, once it is here. */
  async message(type: string, n = 1): Promise<Message> {
    const found = (): Message[] => this.messages.filter(message => message.type === type);
    await this.when(() => found().length >= n, `${type} number ${n}`);
    return found()[n - 1]!;
  }

  /** The nth v2 frame of this kind, once it is here. */
  async frame(kind: V2Frame["kind"], n = 1): Promise<V2Frame> {
    const found = (): V2Frame[] => this.frames.filter(frame => frame.kind === kind);
    await this.when(() => found().length >= n, `${kind} number ${n}`);
    return found()[n - 1]!;
  }

  /** Sends v2 frames in one message. */
  put(fill: (batch: FrameBatch) => void): void {
    const batch = new FrameBatch();
    fill(batch);
    this.send(new Uint8Array(batch.take()));
  }

  /** Answers a v2 stream whole. */
  answer(id: number, status: number, text: string, headers: HeaderList = [["content-type", "application/json"]]): void {
    this.put(batch => {
      batch.putHead(id, { status, headers }, false);
      batch.putData(id, Buffer.from(text), true);
    });
  }

  /** Resolves when the broker has handled all that was sent so far; v2 only. */
  async handled(): Promise<void> {
    const before = this.#pongs;
    this.put(batch => batch.putSignal(Kind.PING, Buffer.alloc(8)));
    await this.when(() => this.#pongs > before, "a pong");
  }

  when(holds: () => boolean, what: string): Promise<void> {
    return this.#changes.when(holds, () => `${what}; messages ${JSON.stringify(this.messages).slice(-300)}`);
  }

  /** How the broker closed the connection. */
  async end(): Promise<{ code: number; reason: string }> {
    await this.when(() => this.closed !== undefined, "the broker closes the connection");
    return this.closed!;
  }

  close(code = 1000, reason = ""): void {
    this.#ws.close(code, reason);
  }

  /** The connection is cut without a farewell. */
  terminate(): void {
    this.#ws.terminate();
  }

  #decode(data: Uint8Array): void {
    decodeFrames(data, {
      onHead: (id, head, end) => this.frames.push({ kind: "head", id, head, end }),
      onData: (id, bytes, end) => this.frames.push({ kind: "data", id, text: Buffer.from(bytes).toString(), end }),
      onReset: (id, code, text) => this.frames.push({ kind: "reset", id, code, text }),
      onWindow: id => this.frames.push({ kind: "window", id }),
      onGoaway: () => this.frames.push({ kind: "goaway", id: 0 }),
      onPing: payload => this.put(batch => batch.putSignal(Kind.PONG, payload)),
      onPong: () => {
        this.#pongs++;
      },
    });
  }
}
