// The same question to a worker again and again, each time by the way of every request.
import { asText, bytesUpTo } from "../../../lib/bytes.ts";
import type { Drain } from "../../../lib/drain.ts";
import { NfrxError } from "../../../lib/errors.ts";
import type { Clock } from "../../../lib/time.ts";
import type { Endpoint } from "../../../modules/module.ts";
import type { Access, PeerServer, RouteCall } from "../../../modules/route.ts";
import { withQueryHeaders } from "../../http/access/query-headers.ts";
import { type Failing, failure } from "../../http/end.ts";
import { errorResponse } from "../../http/error-response.ts";
import { RequestRecord } from "../../http/request-record.ts";
import type { Pipeline } from "../pipeline.ts";

/** Maximum size of a polled response that is sent over a WebSocket, in bytes. */
const WATCHED_BYTES = 65_536;

const OK = 200;

/** An answer of status 200 with what is to be sent for it, or a response that says why there is none. */
export type Polled =
  | { answer: unknown; text: string; messages: readonly string[]; workerId: string | undefined }
  | { response: Response; access: PollAccess };

export interface PollOptions {
  readonly call: RouteCall;
  readonly endpoint: Endpoint;
  readonly pipeline: Pipeline;
  readonly clock: Clock;
  readonly drain: Drain;
  readonly metrics: Failing["metrics"];
  /** Names of queries that stand for headers. */
  readonly queryHeaders: Readonly<Record<string, string>>;
}

/** A query that can be repeated after the request's connection was upgraded to a WebSocket. */
export class Poll {
  /** The headers of each question. */
  readonly headers: Headers;
  readonly server: PeerServer;
  readonly #url: string;
  readonly #stop = new AbortController();

  constructor(private readonly options: PollOptions) {
    const { call, queryHeaders } = options;
    const { request, server } = call;
    const url = new URL(request.url);
    this.headers = withQueryHeaders(request, queryHeaders);
    this.headers.set("accept-encoding", "identity");
    url.search = "";
    this.#url = url.href;
    // A finished request cannot be queried.
    const peer = server.requestIP(request);
    this.server = { requestIP: () => peer, timeout: () => {} };
  }

  /** The question as a request. */
  request(): Request {
    // Each has a signal of its own, for what listens to that does not stop listening.
    return new Request(this.#url, { headers: this.headers, signal: AbortSignal.any([this.#stop.signal]) });
  }

  /** Asks; `read` makes messages of the answer. Never rejects. */
  async ask(read: (answer: unknown) => readonly string[]): Promise<Polled> {
    const { call, endpoint, pipeline, clock, drain, metrics } = this.options;
    const access = new PollAccess(call.access.id, clock.now());
    const errors = endpoint.errors ?? pipeline.errors;
    let given: Response;
    try {
      access.leave = drain.enter();
      given = await pipeline.handle({ ...call, request: this.request(), server: this.server, access }, endpoint);
    } catch (thrown) {
      const { response, error } = failure(access, thrown, { metrics, errors });
      access.end(error);
      return { response, access };
    }
    if (given.status !== OK) return { response: given, access };
    try {
      const text = await textOf(given);
      const answer: unknown = JSON.parse(text);
      return { answer, text, messages: read(answer), workerId: access.workerId };
    } catch (thrown) {
      access.error ??= thrown instanceof NfrxError ? thrown : new NfrxError("upstream_error", UNREADABLE);
      const response = errorResponse(access.error, errors, access.id);
      access.answered(response);
      return { response, access };
    }
  }

  /** Cancels the running query. */
  stop(): void {
    this.#stop.abort();
  }
}

const UNREADABLE = "the backend's response does not match its API";

/** The text of a small body. Throws `upstream_error` for another one. */
async function textOf({ body }: Response): Promise<string> {
  const bytes = await bytesUpTo(WATCHED_BYTES, body);
  if (bytes === undefined) throw new NfrxError("upstream_error", "the backend's response is too large");
  return asText(bytes);
}

/** One question of a WebSocket. It is counted as every request; the log has one line for the WebSocket. */
class PollAccess extends RequestRecord {
  readonly span = undefined;
  /** Why it failed. */
  error: NfrxError | undefined;
  #onEnd: (() => void) | undefined;

  constructor(
    readonly id: string,
    readonly arrivedAt: number,
  ) {
    super();
  }

  protected override finish(error: NfrxError | undefined): void {
    this.error ??= error;
    this.#onEnd?.();
  }

  /** Ends the request of `access`, whose response it is, when it ends itself. */
  becomes(access: Access, ended: (error?: NfrxError) => void): void {
    const run = (): void => {
      const { status, jobType, workerId, queueMs, firstByteMs, bytesOut, retries } = this;
      Object.assign(access, { status, jobType, workerId, queueMs, firstByteMs, bytesOut, retries });
      ended(this.error);
    };
    if (this.isEnded) run();
    else this.#onEnd = run;
  }
}
