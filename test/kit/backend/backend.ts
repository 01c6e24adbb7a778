import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Changes } from "../time/until.ts";
import { error, json, type Respond, serveDefault, serveProbe } from "./answers.ts";
import { RecordedRequest } from "./record.ts";
import { sendResponse } from "./send.ts";

export * from "./answers.ts";
export { type RawExchange, startRawBackend } from "./raw.ts";
export type { RecordedRequest } from "./record.ts";

export interface BackendOptions {
  /** 0 or absent: any free port; give one to come back where an earlier backend was. */
  readonly port?: number;
  readonly models?: readonly string[];
  readonly props?: object;
  readonly respond?: Respond;
  /** False leaves the body in `request.body` to the handler, for slow or early answers. */
  readonly readBody?: boolean;
}

/** Starts a programmable OpenAI-compatible backend on 127.0.0.1. */
export async function startBackend(options: BackendOptions = {}): Promise<TestBackend> {
  const backend = new TestBackend(options);
  await backend.listen(options.port ?? 0);
  return backend;
}

/**
 * The backend of the tests. It stands on node:http and not on Bun.serve, because Bun.serve (1.4.5) holds back the end of the response head
 * until the first body byte, replaces Content-Length on streams, and cannot cut an answer.
 */
export class TestBackend {
  /** The models served at /v1/models and /api/tags; change them as you like. */
  models: string[];
  /** What GET /props says; 404 while undefined. */
  props: object | undefined;
  /** Answers every request that is not a probe. */
  respond: Respond;
  /** Answers the probes: GET on /v1/models, /api/tags, /api/version, /props, /health. */
  probe: Respond = request => serveProbe(this, request);
  /** Whether a request's body is read before `respond` is called. */
  readBody: boolean;
  /** Every request in order of arrival, but for probes. */
  readonly requests: RecordedRequest[] = [];
  /** Every probe in order of arrival. */
  readonly probes: RecordedRequest[] = [];
  /** Requests (not probes) that are being answered now, and the most there ever were at once. */
  inflight = 0;
  peakInflight = 0;

  readonly #changes = new Changes();
  readonly #server = createServer((message, out) => void this.#serve(message, out));
  #port = 0;
  #stopping = false;

  constructor(options: BackendOptions) {
    this.models = [...(options.models ?? ["test-model"])];
    this.props = options.props;
    this.respond = options.respond ?? serveDefault;
    this.readBody = options.readBody ?? true;
    // The tests decide when a connection ends, not a timer.
    this.#server.keepAliveTimeout = 0;
    this.#server.requestTimeout = 0;
    this.#server.timeout = 0;
  }

  /** `http://127.0.0.1:PORT`, for Ollama's and llama.cpp's own paths. */
  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** The OpenAI base URL, `http://127.0.0.1:PORT/v1`. */
  get url(): string {
    return `${this.origin}/v1`;
  }

  get port(): number {
    return this.#port;
  }

  /** How many requests lost their client before the answer was complete. */
  get abortedCount(): number {
    return this.requests.filter(({ aborted }) => aborted).length;
  }

  /** Resolves when the heads of `n` requests have arrived in all. */
  arrived(n: number): Promise<void> {
    return this.when(() => this.requests.length >= n, `${n} requests at the backend`);
  }

  /** Resolves when `n` requests in all have lost their client. */
  aborted(n: number): Promise<void> {
    return this.when(() => this.abortedCount >= n, `${n} aborted requests at the backend`);
  }

  /** Resolves when no request is being answered; at once when none has arrived yet. */
  idle(): Promise<void> {
    return this.when(() => this.inflight === 0, "an idle backend");
  }

  /** Resolves when `n` probes have arrived in all. */
  probed(n: number): Promise<void> {
    return this.when(() => this.probes.length >= n, `${n} probes at the backend`);
  }

  /** Resolves when `holds` returns true; looked at after every arrival, body chunk, abort and end of an answer. */
  when(holds: () => boolean, what: string, ms?: number): Promise<void> {
    return this.#changes.when(holds, () => `${what} (${this.#summary()})`, ms);
  }

  /** Opens the port. `startBackend` has done it. */
  listen(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", () => {
        const address = this.#server.address();
        if (address !== null && typeof address === "object") this.#port = address.port;
        resolve();
      });
    });
  }

  /** Stops listening and cuts every connection; returns when all requests have ended. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
    await this.idle();
  }

  async #serve(message: IncomingMessage, out: ServerResponse): Promise<void> {
    const recorded = new RecordedRequest(message, this.origin, () => this.#changes.notify());
    const controller = new AbortController();
    let cut = false;
    out.once("close", () => {
      recorded.end(!out.writableFinished && !cut && !this.#stopping);
      if (!recorded.isProbe) this.inflight--;
      controller.abort(new DOMException("The client is gone", "AbortError"));
      this.#changes.notify();
    });
    if (recorded.isProbe) {
      this.probes.push(recorded);
    } else {
      this.requests.push(recorded);
      this.inflight++;
      this.peakInflight = Math.max(this.peakInflight, this.inflight);
    }
    this.#changes.notify();
    try {
      const request = await recorded.toRequest(message, controller.signal, this.readBody || recorded.isProbe);
      const response = await this.#answer(request, recorded);
      await sendResponse(response, out, controller.signal).catch(cause => {
        cut = !controller.signal.aborted;
        throw cause;
      });
    } catch (cause) {
      // What fails after the client has gone fails because of it. Else the body failed: the answer is cut, as `cut()` wants it.
      if (!controller.signal.aborted) recorded.error = cause;
      out.destroy();
    }
  }

  async #answer(request: Request, recorded: RecordedRequest): Promise<Response> {
    try {
      return await (recorded.isProbe ? this.probe : this.respond)(request, recorded);
    } catch (cause) {
      if (!request.signal.aborted) recorded.error = cause;
      return json(error(`The handler of the test threw: ${cause}`), 500);
    }
  }

  #summary(): string {
    const { requests, probes, inflight, abortedCount } = this;
    return `requests ${requests.length}, in flight ${inflight}, aborted ${abortedCount}, probes ${probes.length}`;
  }
}
