// The path of every request to a worker or a relay, from its body to its response, with all that it takes and gives back.
import type { Drain } from "../../lib/drain.ts";
import type { Endpoint } from "../../modules/module.ts";
import type { Reservation, RouteCall } from "../../modules/route.ts";
import { type BodyLimits, type RequestBody, readBody } from "../http/body/body.ts";
import { errorResponse } from "../http/error-response.ts";
import { admit, turnOf } from "./admit.ts";
import { Exchange, type ExchangeContext, type ExchangeRequest } from "./exchange.ts";
import type { RespondContext } from "./response/pump.ts";
import { routingHeaders } from "./response/served-headers.ts";
import type { RoutingFieldsReader } from "./routing/routing-fields.ts";
import { withExchange } from "./settle.ts";

/** Data shared by all requests of an endpoint. */
export interface Plan {
  readonly endpoint: Endpoint;
  readonly respond: RespondContext;
  readonly limits: BodyLimits;
  /** Set where some requests are served during a drain: the route declares none, since which ones shows when they are read. */
  readonly drain?: Drain;
  /** Looks at a request before its body is read. Throws for one that cannot be served, whatever its body says. */
  begin(call: RouteCall): Reading;
}

/** A request whose body is being read. */
interface Reading {
  /** The fields read while the body arrives. */
  readonly fields: Pick<RoutingFieldsReader, "scan"> & Partial<RoutingFieldsReader>;
  /** The demand of the request. */
  demand(body: RequestBody): Demand | Promise<Demand>;
}

type Carried = "target" | "label" | "headers" | "series" | "workerId" | "kept";
type Kind = "exemptFromSlots" | "servesDuringDrain" | "once";

/** The demand of one request. */
export interface Demand extends Pick<ExchangeRequest, Carried | Kind> {
  /** It listens for events: a drain does not wait for its end. */
  listens?: boolean;
  /** Called when it has to wait for a slot. */
  onWait?: ((exchange: Exchange) => void) | undefined;
  /** Called when it begins; the function is called at its end. */
  onBegin?: () => () => void;
  respond(exchange: Exchange): Promise<Response>;
  /** The body of an error, where that is not the one of the endpoint's shape. */
  errorBody?: (thrown: unknown) => object;
}

/** Answers one request. Rejects only before there is an exchange, with nothing left to give back. */
export async function handle(call: RouteCall, plan: Plan, context: ExchangeContext): Promise<Response> {
  const { request, server, access } = call;
  const { drain } = plan;
  access.jobType = plan.endpoint.jobType;
  let leave: (() => void) | undefined;
  let body: RequestBody | undefined;
  let reservation: Reservation | undefined;
  try {
    const { fields, demand: read } = plan.begin(call);
    const draining = drain?.draining === true;
    if (!draining) leave = drain?.enter();
    body = await readBody(call, plan.limits, chunk => fields.scan(chunk), fields);
    // From here on the exchange has its own limits; Bun's idle limit would cut a long thought.
    server.timeout(request, 0);
    const asked = read(body);
    const demand = asked instanceof Promise ? await asked : asked;
    if (draining && !demand.servesDuringDrain) leave = drain.enter();
    if (demand.listens) leave?.();
    reservation = admit(call, plan.endpoint, demand.label, body, context.pool);
    return await run(call, plan, { ...demand, reservation }, body, leave, context);
  } catch (thrown) {
    // Nothing that `run` took on comes here: it ends in the exchange, which gives back what it holds.
    body?.release();
    reservation?.release();
    leave?.();
    throw thrown;
  }
}

function run(
  { request, access, principal }: RouteCall,
  { endpoint, respond }: Plan,
  demand: Demand & Pick<ExchangeRequest, "reservation">,
  body: RequestBody,
  leave: (() => void) | undefined,
  context: ExchangeContext,
): Promise<Response> {
  const { url, signal } = request;
  const { id } = access;
  const { onWait } = demand;
  const end = demand.onBegin?.();
  const onClose = (): void => {
    end?.();
    leave?.();
  };
  const exchange = new Exchange(
    context,
    {
      ...demand,
      id,
      url,
      access,
      endpoint,
      body,
      signal,
      key: principal.key,
      turn: turnOf(principal, demand.reservation),
      onClose,
    },
    onWait && (() => onWait(exchange)),
  );
  return withExchange(
    exchange,
    () => demand.respond(exchange),
    thrown => {
      const response = errorResponse(thrown, respond.errors, id, demand.errorBody?.(thrown));
      if (respond.expose) for (const [name, value] of routingHeaders(exchange)) response.headers.set(name, value);
      return response;
    },
  );
}
