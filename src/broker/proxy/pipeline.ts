import { asText } from "../../lib/bytes.ts";
import { NfrxError } from "../../lib/errors.ts";
import { CREDENTIAL_HEADERS, type HeaderPairs } from "../../lib/http.ts";
import { askIdentity, relayHeaders, requestHeaders } from "../../lib/request-headers.ts";
import { ResponsePolicy } from "../../lib/response-headers.ts";
import { KEEP_ALIVE_MS } from "../../lib/sse.ts";
import type { Timer } from "../../lib/time.ts";
import { type Endpoint, type ErrorShape, type Keeps, takesSlot, type WorkerModule } from "../../modules/module.ts";
import type { PathParams, RouteCall } from "../../modules/route.ts";
import { type BodyLimits, type RequestBody, readBody } from "../http/body/body.ts";
import { errorResponse } from "../http/error-response.ts";
import { dispatch } from "./dispatch.ts";
import { Exchange, type ExchangeContext } from "./exchange.ts";
import { runFanout } from "./fanout/fanout.ts";
import { runGather } from "./fanout/gather.ts";
import type { RespondContext } from "./response/pump.ts";
import { type QueueNotice, queueNotice } from "./response/queue-status.ts";
import { passThrough } from "./response/respond.ts";
import { respondEarly } from "./response/respond-early.ts";
import { routingHeaders } from "./response/served-headers.ts";
import { findKept, type Kept, keepsOf } from "./routing/kept.ts";
import type { RoutingFields } from "./routing/routing-fields.ts";
import { routingFieldsReader } from "./routing/routing-fields-reader.ts";
import { type TargetOf, targetOf } from "./routing/target.ts";
import { withExchange } from "./settle.ts";

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

/** Data shared by all requests of an endpoint. */
interface Plan {
  readonly respond: RespondContext;
  readonly keeps: Keeps | undefined;
  /** Additional request headers for its backends. */
  readonly forwarded: readonly string[];
  readonly exemptFromSlots: boolean;
  readonly target: TargetOf;
}

/**
 * THE way of every request to a worker, for every worker module: is there room, what does it want, which worker serves it,
 * what comes back. Modules differ in their descriptors only.
 */
export class Pipeline {
  readonly #plans: ReadonlyMap<Endpoint, Plan>;

  constructor(private readonly options: PipelineOptions) {
    const policy = new ResponsePolicy();
    this.#plans = new Map(options.module.endpoints.map(endpoint => [endpoint, planFor(endpoint, options, policy)]));
  }

  /** The shape of the module's errors. */
  get errors(): ErrorShape {
    return this.options.module.errors;
  }

  /**
   * Answers one request. Rejects only before there is an exchange, with nothing left to give back.
   */
  async handle(call: RouteCall, endpoint: Endpoint): Promise<Response> {
    const { request, server, params, access } = call;
    access.jobType = endpoint.jobType;
    let body: RequestBody | undefined;
    try {
      const plan = this.#planOf(endpoint);
      const target = plan.target(params, request.url);
      const labels = routingFieldsReader(request, endpoint, () => this.#usualModel(endpoint));
      const { bodies, uploads } = this.options;
      this.#requireWorker(endpoint, plan, workerOf(params));
      const limits = endpoint.label === "json-model" ? bodies : uploads;
      body = await readBody(call, limits, chunk => labels.scan(chunk), labels);
      const read = labels.read(body);
      const label = read instanceof Promise ? await read : read;
      access.model = label.model;
      // From here on the exchange has its own limits; Bun's idle limit would cut a long thought.
      server.timeout(request, 0);
      const kept = plan.keeps && (await this.#findKept(plan.keeps, call, label));
      return await this.#run(call, { endpoint, plan, target, body, label, kept });
    } catch (thrown) {
      // Nothing that `#run` took on comes here: it ends in the exchange, which gives back what it holds.
      body?.release();
      throw thrown;
    }
  }

  #planOf(endpoint: Endpoint): Plan {
    const plan = this.#plans.get(endpoint);
    if (plan === undefined) throw new Error(`${endpoint.path} is no endpoint of ${this.options.module.id}`);
    return plan;
  }

  #findKept(keeps: Keeps, { request, access, params, principal }: RouteCall, label: RoutingFields): Promise<Kept> {
    const { id, span } = access;
    const { signal } = request;
    const caller = principal.credential;
    return findKept(keeps, { id, span, params, label, workerId: workerOf(params), caller, signal }, this.options);
  }

  /** The model of a request that names none, where it need not. */
  #usualModel({ modelOptional }: Endpoint): string | undefined {
    return modelOptional ? this.options.pool.usualModel : undefined;
  }

  /** Throws before the body is read if no worker could serve it. */
  #requireWorker({ label, method }: Endpoint, { keeps }: Plan, workerId: string | undefined): void {
    const { registry } = this.options.pool;
    if (method === "GET") return;
    if (workerId !== undefined && registry.get(workerId) === undefined)
      throw this.options.pool.absence(undefined, workerId);
    if (label === "none" && keeps?.segment === undefined && registry.size === 0 && !registry.brieflyAway(undefined))
      throw new NfrxError("overloaded", "no worker");
  }

  async #run(
    { request, params, principal, access }: RouteCall,
    about: {
      endpoint: Endpoint;
      plan: Plan;
      target: string;
      body: RequestBody;
      label: RoutingFields;
      kept: Kept | undefined;
    },
  ): Promise<Response> {
    const { endpoint, plan, label, kept, body, target } = about;
    const { clock, pool, module, metrics, expose } = this.options;
    const { id } = access;
    const workerId = workerOf(params);
    const { headers, signal } = request;
    const events = endpoint.events && label.stream;
    const travelling =
      endpoint.headers === "all"
        ? relayHeaders(headers, id, CREDENTIAL_HEADERS)
        : requestHeaders(headers, id, plan.forwarded);
    // An answer on a stream that is already open has no header for its encoding.
    if (events) askIdentity(travelling);
    const { queueUpdateMs, queueEvents = "auto" } = pool.settings;
    const notice = (): QueueNotice => queueNotice(queueEvents, headers, endpoint.stream);
    // A client that is still sending reads no events yet.
    const waiting = events && body.arrived && queueUpdateMs > 0 ? Promise.withResolvers<"waiting">() : undefined;
    const exchange = new Exchange(
      this.options,
      {
        id,
        url: request.url,
        access,
        endpoint,
        target,
        label,
        body,
        workerId,
        kept,
        exemptFromSlots: plan.exemptFromSlots,
        headers: endpoint.label === "none" ? travelling : withoutEncoding(travelling),
        series: metrics.series(module.id, endpoint.jobType, label.model),
        signal,
        caller: () => principal.caller,
      },
      waiting &&
        (() => {
          if (notice() !== "off") waiting.resolve("waiting");
        }),
    );
    const respond = async (): Promise<Response> => {
      if (workerId === undefined && endpoint.gather !== undefined)
        return runGather(endpoint.gather, exchange, this.options);
      const split = workerId === undefined ? endpoint.fanout?.split(label.json, () => asText(body.bytes)) : undefined;
      if (split !== undefined) return runFanout(split, exchange, this.options);
      exchange.whole = endpoint.fanout?.items(label.json) ?? 0;
      const pending = dispatch(exchange);
      if (!events) return passThrough(await pending, exchange, plan.respond);
      const quiet = Promise.withResolvers<"quiet">();
      let timer: Timer;
      const listen = (): void => {
        timer = clock.after(KEEP_ALIVE_MS, () => (exchange.uploading ? listen() : quiet.resolve("quiet")));
      };
      listen();
      const signs = waiting === undefined ? [quiet.promise] : [quiet.promise, waiting.promise];
      const first = await Promise.race([pending, ...signs]).finally(() => timer.cancel());
      return typeof first === "string"
        ? respondEarly(pending, exchange, plan.respond, notice)
        : passThrough(first, exchange, plan.respond);
    };
    return withExchange(exchange, respond, thrown => {
      const response = errorResponse(thrown, plan.respond.errors, id);
      if (expose) for (const [name, value] of routingHeaders(exchange)) response.headers.set(name, value);
      return response;
    });
  }
}

function planFor(endpoint: Endpoint, options: PipelineOptions, policy: ResponsePolicy): Plan {
  const { clock, module, pool, expose, forwardHeaders } = options;
  const { errors = module.errors, stream, headers = [] } = endpoint;
  const keeps = keepsOf(endpoint);
  return {
    respond: { clock, policy, errors, stream, queueUpdateMs: pool.settings.queueUpdateMs, expose },
    keeps,
    forwarded: [...forwardHeaders, ...(headers === "all" ? [] : headers)],
    exemptFromSlots: !takesSlot(endpoint),
    target: targetOf(endpoint),
  };
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
