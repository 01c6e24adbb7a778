// A broker by hand, which asks an agent for whatever the test says, over wire v2.
import { decodeFrames, FrameBatch, type HeaderList, Kind } from "../../../src/protocol/frames.ts";
import { Changes } from "../time/until.ts";

/** What an agent answered: a status, or the code with which it reset the stream. */
export type Outcome = number | string;

export class HostileBroker implements AsyncDisposable {
  readonly #changes = new Changes();
  readonly #outcomes = new Map<number, Outcome>();
  readonly #server: Bun.Server<undefined>;
  #socket: Bun.ServerWebSocket<undefined> | undefined;
  #registered = false;
  #nextId = 1;

  constructor() {
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: (request, server) => {
        const headers = { "sec-websocket-protocol": "nfrx.v2" };
        return server.upgrade(request, { headers }) ? undefined : new Response("no WebSocket", { status: 426 });
      },
      websocket: {
        open: socket => {
          this.#socket = socket;
        },
        message: (_, message) => {
          if (typeof message === "string") this.#registered ||= message.includes('"register"');
          else this.#decode(message);
          this.#changes.notify();
        },
      },
    });
  }

  get url(): string {
    return `ws://127.0.0.1:${this.#server.port}`;
  }

  /** Resolves when an agent has registered. */
  registered(): Promise<void> {
    return this.#changes.when(() => this.#registered, "an agent registers");
  }

  /** Asks the agent and waits for its word. */
  async ask(method: string, path: string, headers: HeaderList = [], body = ""): Promise<Outcome> {
    const id = this.#nextId;
    this.#nextId += 2;
    const batch = new FrameBatch();
    batch.putHead(id, { method, path, headers }, body === "");
    if (body !== "") batch.putData(id, Buffer.from(body), true);
    this.#socket?.sendBinary(new Uint8Array(batch.take()));
    await this.#changes.when(() => this.#outcomes.has(id), `an answer to ${method} ${path}`);
    return this.#outcomes.get(id) ?? "";
  }

  #decode(data: Uint8Array): void {
    const note = (id: number, outcome: Outcome): void =>
      void (this.#outcomes.has(id) || this.#outcomes.set(id, outcome));
    decodeFrames(data, {
      onHead: (id, head) => note(id, "status" in head ? head.status : "a request"),
      onData: () => {},
      onReset: (id, code) => note(id, code),
      onWindow: () => {},
      onGoaway: () => {},
      onPing: payload => {
        const batch = new FrameBatch();
        batch.putSignal(Kind.PONG, payload);
        this.#socket?.sendBinary(new Uint8Array(batch.take()));
      },
      onPong: () => {},
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.terminate();
    await this.#server.stop(true);
  }
}
