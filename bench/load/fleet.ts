/** Workers without a backend, and clients that watch them. */
import { Connection, readHead } from "./connection.ts";
import type { JobOf, Result } from "./jobs.ts";
import { within } from "./requests.ts";
import { Tally } from "./tally.ts";

const BEAT_MS = 5_000;
const UTF8 = new TextDecoder();

/** Idle workers of wire v1, which any broker takes: they register, send heartbeats and get no work. */
export class Fleet {
  readonly #sockets: WebSocket[] = [];
  readonly #beat = setInterval(() => this.#heartbeat(), BEAT_MS);
  #lost = 0;

  /** Resolves when all are connected and have registered. */
  async start(job: JobOf<"fleet">): Promise<Result> {
    const tally = new Tally();
    const connecting = Array.from({ length: job.workers }, async (_, at) => {
      const wrong = await this.#one(job, at);
      if (wrong === null) tally.answered++;
      else tally.error(wrong);
    });
    await within(Promise.all(connecting), job.deadlineMs, () => tally.error("workers not connected in time"));
    return tally.result();
  }

  /** Ends it; workers that had been sent away are errors. */
  stop(): Result {
    clearInterval(this.#beat);
    const tally = new Tally();
    for (let at = 0; at < this.#lost; at++) tally.error("a worker was sent away");
    for (const socket of this.#sockets) socket.close();
    tally.answered = this.#sockets.length;
    return tally.result();
  }

  #one({ target, models }: JobOf<"fleet">, at: number): Promise<string | null> {
    const { promise, resolve } = Promise.withResolvers<string | null>();
    const headers = { authorization: `Bearer ${target.token}` };
    const socket = new WebSocket(`ws://127.0.0.1:${target.port}${target.path}`, { headers });
    this.#sockets.push(socket);
    socket.addEventListener("open", () => {
      socket.send(JSON.stringify(registration(at, models)));
      resolve(null);
    });
    socket.addEventListener("close", ({ code, reason }) => {
      this.#lost++;
      resolve(`closed with ${code} ${reason}`);
    });
    return promise;
  }

  #heartbeat(): void {
    const beat = JSON.stringify({
      type: "heartbeat",
      ts: Date.now(),
      host_cpu_percent: 12.5,
      host_ram_used_percent: 40,
    });
    for (const socket of this.#sockets) if (socket.readyState === WebSocket.OPEN) socket.send(beat);
  }
}

function registration(at: number, models: number): object {
  return {
    type: "register",
    worker_id: `3f2b8c1e-0d4a-4f7e-9a61-${String(at).padStart(12, "0")}`,
    worker_name: `bench-machine-${at}`,
    version: "1.0.0",
    build_sha: "0123456789abcdef",
    build_date: "2026-01-01T00:00:00Z",
    models: Array.from({ length: models }, (_, model) => `bench-model-${model}:8b-q4_K_M`),
    max_concurrency: 4,
    agent_config: {
      hostname: `bench-machine-${at}.example.internal`,
      os_name: "Ubuntu",
      os_version: "24.04",
      backend_version: "0.12.3",
      backend_family: "ollama",
      embedding_batch_size: "16",
    },
  };
}

/** Clients that read the events of a stream and throw them away. */
export class Listeners {
  readonly #connections: Connection[] = [];
  #events = 0;
  #bytes = 0;
  #cut = 0;

  /** Resolves when each has had its first event or has failed. */
  async open({ target, listeners, deadlineMs }: JobOf<"listen">): Promise<Result> {
    const tally = new Tally();
    const bytes = Buffer.from(readHead(target));
    const opening = Array.from({ length: listeners }, async () => {
      const wrong = await this.#one(target.port, bytes).catch(String);
      if (wrong === null) tally.answered++;
      else tally.error(wrong);
    });
    await within(Promise.all(opening), deadlineMs, () => tally.error("no first event in time"));
    return tally.result();
  }

  /** How many events and bytes have come since this was last asked. */
  received(): Result {
    const result = new Tally().result({ bytes: this.#bytes });
    result.answered = this.#events;
    this.#events = 0;
    this.#bytes = 0;
    return result;
  }

  /** Closes them all; those that had ended by themselves are errors. */
  close(): Result {
    const tally = new Tally();
    for (let at = 0; at < this.#cut; at++) tally.error("a listener was cut off");
    for (const connection of this.#connections) connection.close();
    tally.answered = this.#connections.length - this.#cut;
    return tally.result();
  }

  async #one(port: number, bytes: Buffer): Promise<string | null> {
    const connection = await Connection.open(port);
    this.#connections.push(connection);
    const { promise, resolve } = Promise.withResolvers<string | null>();
    let tail = "";
    let open = false;
    const ended = (reason: string): void => {
      if (open) this.#cut++;
      resolve(reason);
    };
    connection.send(bytes, {
      body: part => {
        this.#bytes += part.length;
        // An event ends with its only empty line.
        const end = tail + UTF8.decode(part.subarray(-2));
        tail = end.slice(-2);
        if (tail !== "\n\n") return;
        this.#events++;
        open = true;
        resolve(null);
      },
      done: status => ended(`ended with status ${status}`),
      failed: ended,
    });
    return promise;
  }
}
