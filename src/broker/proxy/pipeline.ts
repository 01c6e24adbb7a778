import { asText } from "../../lib/bytes.ts";
import { NfrxError } from "../../lib/errors.ts";
import { CREDENTIAL_HEADERS, type HeaderPairs } from "../../lib/http.ts";
import { askIdentity, relayHeaders, requestHeaders } from "../../lib/request-headers.ts";
import { ResponsePolicy } from "../../lib/response-headers.ts";
import { KEEP_ALIVE_MS } from "../../lib/sse.ts";
import type { Timer } from "../../lib/time.ts";
import { type Endpoint, type ErrorShape, type Keeps, takesSlot, type WorkerModule } from "../../modules/module.ts";
import type { PathParams, RouteCall } from "../../modules/route.ts";
import type { BodyLimits, RequestBody } from "../http/body/body.ts";
import { dispatch } from "./dispatch.ts";
import type { Exchange, ExchangeContext } from "./exchange.ts";
import { runFanout } from "./fanout/fanout.ts";
import { runGather } from "./fanout/gather.ts";
import { type Demand, handle, type Plan } from "./handle.ts";
import { type QueueNotice, queueNotice } from "./response/queue-status.ts";
import { passThrough } from "./response/respond.ts";
import { respondEarly } from "./response/respond-early.ts";
import { findKept, keepsOf } from "./routing/kept.ts";
import type { RoutingFieldsReader } from "./routing/routing-fields.ts";
import { routingFieldsReader } from "./routing/routing-fields-reader.ts";
import { type TargetOf, targetOf } from "./routing/target.ts";

export interface PipelineOptions extends ExchangeContext {
  module: WorkerModule;
  /** Clients get the name of the worker and the duration. */
  expose: boolean;
  /** Additional forwarded request headers, in lower case; a trailing star matches any ending. */
  forwardHeaders: readonly string[];
  /** For JSON that is routed by its model. */
  bodies: BodyLimits;
  /** For everything else: recordings, documents. */
  uploads: BodyLimits;
}

/** Precomputed once per endpoint. */
interface EndpointPlan extends Plan {
  readonly keeps: Keeps | undefined;
  /** Additional request headers for its backends. */
  readonly forwarded: readonly string[];
  readonly exemptFromSlots: boolean;
  readonly target: TargetOf;
}

/** The requests of a worker module. Modules differ in their descriptors only. */
export class Pipeline {
  readonly #plans: ReadonlyMap<Endpoint, EndpointPlan>;

  constructor(private readonly options: PipelineOptions) {
    const policy = new ResponsePolicy();
    this.#plans = new Map(options.module.endpoints.map(endpoint => [endpoint, this.#planFor(endpoint, policy)]));
  }

  /** The shape of the module's errors. */
  get errors(): ErrorShape {
    return this.options.module.errors;
  }

  /** Answers one request. Rejects only before there is an exchange, with nothing left to give back. */
  handle(call: RouteCall, endpoint: Endpoint): Promise<Response> {
    const plan = this.#plans.get(endpoint);
    if (plan === undefined) throw new Error(`${this.options.module.id} has no endpoint ${endpoint.path}`);
    return handle(call, plan, this.options);
  }

  #planFor(endpoint: Endpoint, policy: ResponsePolicy): EndpointPlan {
    const { clock, module, pool, expose, forwardHeaders, bodies, uploads } = this.options;
    const { errors = module.errors, stream, headers = [] } = endpoint;
    const keeps = keepsOf(endpoint);
    const plan: EndpointPlan = {
      endpoint,
      respond: { clock, policy, errors, stream, queueUpdateMs: pool.settings.queueUpdateMs, expose },
      limits: endpoint.label === "json-model" ? bodies : uploads,
      keeps,
      forwarded: [...forwardHeaders, ...(headers === "all" ? [] : headers)],
      exemptFromSlots: !takesSlot(endpoint),
      target: targetOf(endpoint),
      begin: call => {
        const { request, params } = call;
        const target = plan.target(params, request.url);
        const fields = routingFieldsReader(request, endpoint, () => this.#usualModel(endpoint));
        this.#requireWorker(plan, workerOf(params));
        return { fields, demand: body => this.#demand(call, plan, target, fields, body) };
      },
    };
    return plan;
  }

  /** The model of a request that names none, where it need not. */
  #usualModel({ modelOptional }: Endpoint): string | undefined {
    return modelOptional ? this.options.pool.usualModel : undefined;
  }

  /** Throws before the body is read if no worker could serve it. */
  #requireWorker({ endpoint: { label, method }, keeps }: EndpointPlan, workerId: string | undefined): void {
    const { directory } = this.options.pool;
    if (method === "GET") return;
    if (workerId !== undefined && !directory.has(workerId)) throw this.options.pool.absence(undefined, workerId);
    if (label === "none" && keeps?.segment === undefined && directory.size === 0 && !directory.brieflyAway(undefined))
      throw new NfrxError("overloaded", "no worker");
  }

  async #demand(
    { request, params, access, principal }: RouteCall,
    plan: EndpointPlan,
    target: string,
    fields: RoutingFieldsReader,
    body: RequestBody,
  ): Promise<Demand> {
    const { endpoint, keeps, forwarded, exemptFromSlots } = plan;
    const { module, metrics, pool } = this.options;
    const { id, span } = access;
    const { headers, signal } = request;
    const read = fields.read(body);
    const label = read instanceof Promise ? await read : read;
    access.model = label.model;
    const workerId = workerOf(params);
    const kept =
      keeps &&
      (await findKept(
        keeps,
        { id, span, params, label, workerId, caller: principal.credential, signal },
        this.options,
      ));
    const events = endpoint.events && label.stream;
    const travelling =
      endpoint.headers === "all"
        ? relayHeaders(headers, id, CREDENTIAL_HEADERS)
        : requestHeaders(headers, id, forwarded);
    // An answer on a stream that is already open has no header for its encoding.
    if (events) askIdentity(travelling);
    const { queueUpdateMs, queueEvents = "auto" } = pool.settings;
    const notice = (): QueueNotice => queueNotice(queueEvents, headers, endpoint.stream);
    // A client that is still sending reads no events yet.
    const waiting = events && body.arrived && queueUpdateMs > 0 ? Promise.withResolvers<"waiting">() : undefined;
    return {
      target,
      label,
      workerId,
      kept,
      exemptFromSlots,
      headers: endpoint.label === "none" ? travelling : withoutEncoding(travelling),
      series: metrics.series(module.id, endpoint.jobType, label.model),
      onWait:
        waiting &&
        (() => {
          if (notice() !== "off") waiting.resolve("waiting");
        }),
      respond: exchange => this.#respond(exchange, plan, events, notice, waiting?.promise),
    };
  }

  async #respond(
    exchange: Exchange,
    { endpoint, respond }: Plan,
    events: boolean,
    notice: () => QueueNotice,
    waiting: Promise<"waiting"> | undefined,
  ): Promise<Response> {
    const { label, body, workerId } = exchange.request;
    if (workerId === undefined && endpoint.gather !== undefined)
      return runGather(endpoint.gather, exchange, this.options);
    const split = workerId === undefined ? endpoint.fanout?.split(label.json, () => asText(body.bytes)) : undefined;
    if (split !== undefined) return runFanout(split, exchange, this.options);
    exchange.whole = endpoint.fanout?.items(label.json) ?? 0;
    const pending = dispatch(exchange);
    if (!events) return passThrough(await pending, exchange, respond);
    const quiet = Promise.withResolvers<"quiet">();
    let timer: Timer;
    const listen = (): void => {
      timer = respond.clock.after(KEEP_ALIVE_MS, () => (exchange.uploading ? listen() : quiet.resolve("quiet")));
    };
    listen();
    const signs = waiting === undefined ? [quiet.promise] : [quiet.promise, waiting];
    const first = await Promise.race([pending, ...signs]).finally(() => timer.cancel());
    return typeof first === "string"
      ? respondEarly(pending, exchange, respond, notice)
      : passThrough(first, exchange, respond);
  }
}

/** The headers of a body that the broker reads, and so sends on out of its encoding. */
function withoutEncoding(pairs: HeaderPairs): HeaderPairs {
  return pairs.some(isEncoding) ? pairs.filter(pair => !isEncoding(pair)) : pairs;
}

const isEncoding = ([name]: HeaderPairs[number]): boolean => name === "content-encoding";

/** The worker that a path pins its request to. */
function workerOf(params: PathParams): string | undefined {
  return params.worker === null ? "" : params.worker;
}
