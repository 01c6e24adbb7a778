import type { Drain } from "../../lib/drain.ts";
import { type NfrxError, toNfrxError } from "../../lib/errors.ts";
import { requestIdOf, type TrustedProxies } from "../../lib/http.ts";
import type { Endpoint, WorkerModule } from "../../modules/module.ts";
import { type Door, fingerprint } from "../auth.ts";
import { type MemoryBudget, type RequestBody, readBody } from "./body.ts";
import { errorResponse } from "./errors.ts";
import { Exchange, type ExchangeContext } from "./exchange.ts";
import { runFanout } from "./fanout.ts";
import { type Label, LabelReader } from "./label.ts";
import { committed, KEEP_ALIVE_MS, passThrough, type RespondContext } from "./respond.ts";

/** As much of Bun's server as a request needs. */
export interface PeerServer {
  requestIP(request: Request): { address: string } | null;
  timeout(request: Request, seconds: number): void;
}

export interface PipelineOptions extends ExchangeContext {
  module: WorkerModule;
  door: Door;
  drain: Drain;
  proxies: TrustedProxies;
  budget: MemoryBudget;
  maxBodyBytes: number;
}

/**
 * THE way of every request to a worker, for every worker module: who may, is there room, what does it want, who serves
 * it, what comes back. Modules differ in their descriptors only.
 */
export class Pipeline {
  readonly #respond: RespondContext;

  constructor(private readonly options: PipelineOptions) {
    const { clock, module, pool } = options;
    this.#respond = { clock, errors: module.errors, queueUpdateMs: pool.settings.queueUpdateMs };
  }

  /** Answers one request; never rejects. */
  async handle(request: Request, server: PeerServer, endpoint: Endpoint, workerId?: string): Promise<Response> {
    const id = requestIdOf(request.headers);
    const { errors } = this.options.module;
    let leave: (() => void) | undefined;
    let body: RequestBody | undefined;
    try {
      this.authorize(request, server);
      leave = this.options.drain.enter();
      const labels = new LabelReader(request, endpoint);
      const { maxBodyBytes, budget } = this.options;
      body = await readBody(request, maxBodyBytes, budget, chunk => labels.scan(chunk));
      const label = labels.read(body);
      // From here on the exchange has its own limits; Bun's idle limit would cut a long thought.
      server.timeout(request, 0);
      return await this.#run(request, server, { id, endpoint, workerId, body, label, leave });
    } catch (thrown) {
      // Nothing that `#run` took on comes here: it ends in the exchange, which gives back what it holds.
      body?.release();
      leave?.();
      const error = toNfrxError(thrown);
      this.#report(error, id, endpoint);
      return errorResponse(error, errors, id);
    }
  }

  /** Throws `unauthorized` unless the caller may use the API. */
  authorize(request: Request, server: PeerServer): void {
    this.options.door.check(request.headers, () => peerOf(request, server));
  }

  async #run(
    request: Request,
    server: PeerServer,
    about: {
      id: string;
      endpoint: Endpoint;
      workerId: string | undefined;
      body: RequestBody;
      label: Label;
      leave: () => void;
    },
  ): Promise<Response> {
    const { endpoint, label, leave, id } = about;
    const { clock, proxies, pool, module } = this.options;
    const { headers, signal } = request;
    const events = endpoint.events && label.stream;
    const waiting = events && pool.settings.queueUpdateMs > 0 ? Promise.withResolvers<"waiting">() : undefined;
    const exchange = new Exchange(
      this.options,
      {
        id,
        endpoint,
        label,
        body: about.body,
        workerId: about.workerId,
        headers,
        signal,
        arrivedAt: clock.now(),
        caller: () =>
          `${fingerprint(headers)} ${proxies.clientAddress(peerOf(request, server), headers.get("x-forwarded-for"))}`,
        onClose: leave,
      },
      waiting && (() => waiting.resolve("waiting")),
    );
    try {
      const split = about.workerId === undefined ? endpoint.fanout?.split(label.json) : undefined;
      if (split !== undefined) return await runFanout(split, exchange, this.options);
      const pending = exchange.dispatch();
      if (!events) return passThrough(await pending, exchange, this.#respond);
      const quiet = Promise.withResolvers<"quiet">();
      const timer = clock.after(KEEP_ALIVE_MS, () => quiet.resolve("quiet"));
      const signs = waiting === undefined ? [quiet.promise] : [quiet.promise, waiting.promise];
      const first = await Promise.race([pending, ...signs]).finally(() => timer.cancel());
      return typeof first === "string"
        ? committed(pending, exchange, this.#respond)
        : passThrough(first, exchange, this.#respond);
    } catch (thrown) {
      exchange.close(thrown);
      return errorResponse(toNfrxError(thrown), module.errors, id);
    }
  }

  /** Failures that no exchange has logged; `internal` ones with their cause, for they are ours. */
  #report(error: NfrxError, id: string, endpoint: Endpoint): void {
    const { log, metrics } = this.options;
    const fields = { request_id: id, job_type: endpoint.jobType, error_code: error.code };
    if (error.code === "internal") {
      metrics.unhandled();
      log.error({ ...fields, cause: String(error.detail.cause) }, "request failed");
    } else {
      metrics.refused(error.code);
      log.warn({ ...fields, error: error.message }, "request refused");
    }
  }
}

/** The address at the other end of the connection. */
export function peerOf(request: Request, server: PeerServer): string {
  return server.requestIP(request)?.address ?? "";
}
