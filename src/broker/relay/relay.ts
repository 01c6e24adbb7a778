import type { Drain } from "../../lib/drain.ts";
import { NfrxError, toNfrxError } from "../../lib/errors.ts";
import { headerOf, listens, MAX_ANSWER_HEADER, type TrustedProxies } from "../../lib/http.ts";
import { isPlainPath } from "../../lib/plain-path.ts";
import { relayHeaders } from "../../lib/request-headers.ts";
import { NOSNIFF, ResponsePolicy } from "../../lib/response-headers.ts";
import { RESOURCE_METADATA_PATH } from "../../lib/well-known.ts";
import type { Endpoint } from "../../modules/module.ts";
import type { RouteCall } from "../../modules/route.ts";
import type { HeaderList, ResponseHead } from "../../protocol/frames.ts";
import type { Stream } from "../../protocol/stream.ts";
import type { OwnKeys } from "../http/access/own-keys.ts";
import { peerOf } from "../http/access/principal.ts";
import type { BodyLimits, RequestBody } from "../http/body/body.ts";
import { errorResponse, rpcError } from "../http/error-response.ts";
import { FOREIGN } from "../pool/owners.ts";
import type { Worker } from "../pool/worker.ts";
import { dispatch, type WorkerAnswer } from "../proxy/dispatch.ts";
import type { Exchange, ExchangeContext, ExchangeRequest } from "../proxy/exchange.ts";
import { type Demand, handle, type Plan } from "../proxy/handle.ts";
import type { RespondContext } from "../proxy/response/pump.ts";
import { passThrough } from "../proxy/response/respond.ts";
import { noRelay, RETRY_AFTER_S } from "./caller-admission.ts";
import type { Calls } from "./calls.ts";
import { rewriteChallenge, rewriteMetadata } from "./metadata.ts";
import { readRelayCall } from "./relay-call.ts";
import type { Sessions } from "./sessions.ts";

/** Where a relay's own address begins on the wire, and where its metadata is; see protocol/README.md. */
const RELAY_PATH = "/mcp";

export interface RelayOptions extends ExchangeContext {
  /** The broker's public URL, when it is known. */
  publicUrl: string | undefined;
  proxies: TrustedProxies;
  /** The broker's own keys, which are never forwarded to a relay. */
  ownKeys: OwnKeys;
  drain: Drain;
  sessions: Sessions;
  calls: Calls;
  limits: BodyLimits;
  maxAnswerBytes: number;
  /** Clients get the name of the worker and the duration. */
  expose: boolean;
}

/** The requests to relays: bytes pass both ways as they are, whatever they say. */
export class Relay {
  readonly #plans: Readonly<Record<RelayMethod, Plan>>;
  readonly #metadata: Plan;
  /** The header that tells a relay how large a response may be. */
  readonly #largest: [name: string, value: string];

  constructor(private readonly options: RelayOptions) {
    const { clock, maxAnswerBytes, expose, limits, drain } = options;
    this.#largest = [MAX_ANSWER_HEADER, String(maxAnswerBytes)];
    const policy = new ResponsePolicy();
    const relayed = { maxBytes: maxAnswerBytes };
    const respond: RespondContext = { clock, policy, errors: "json-rpc", queueUpdateMs: 0, expose, relayed };
    const planOf = (method: RelayMethod): Plan => ({
      endpoint: endpointOf(method),
      respond,
      limits,
      drain,
      begin: call => {
        if (call.request.method !== method)
          throw new NfrxError("method_not_allowed", `method ${call.request.method} is not allowed for relays`);
        const target = targetOf(call.request.url, call.params["id"] ?? "");
        const workerId = this.#workerOf(call);
        return { fields: READ_ALL, demand: body => this.#demand(call, target, workerId, respond, body) };
      },
    });
    this.#plans = { GET: planOf("GET"), POST: planOf("POST"), DELETE: planOf("DELETE"), OPTIONS: planOf("OPTIONS") };
    this.#metadata = {
      endpoint: endpointOf("GET"),
      respond,
      limits,
      begin: call => ({ fields: READ_ALL, demand: () => this.#metadataDemand(call) }),
    };
  }

  /** Answers one request. Rejects only before there is an exchange, with nothing left to give back. */
  handle(call: RouteCall, method: RelayMethod): Promise<Response> {
    return handle(call, this.#plans[method], this.options);
  }

  /** The provider's metadata as a protected resource, with the relay's public address in its place. */
  metadata(call: RouteCall): Promise<Response> {
    return handle(call, this.#metadata, this.options);
  }

  /** The demand of a request to a relay. */
  #demand(
    routed: RouteCall,
    target: string,
    workerId: string | undefined,
    context: RespondContext,
    body: RequestBody,
  ): Demand {
    const { metrics, calls, ownKeys, log } = this.options;
    const { request, params, access, principal } = routed;
    const { headers, method } = request;
    const { id } = access;
    const relayId = params["id"] ?? "";
    const call = readRelayCall(method, body);
    const name = calls.nameOf(call.method);
    access.call = name;
    return {
      target,
      label: { model: relayId, stream: false },
      headers: [...relayHeaders(headers, id, ownKeys.carriers(headers)), this.#largest],
      series: metrics.callSeries("mcp", name),
      workerId,
      kept: undefined,
      exemptFromSlots: call.exemptFromSlots,
      // Running work may need it to finish: the response to a tool's request, or a cancellation.
      servesDuringDrain: call.exemptFromSlots && method !== "GET",
      once: true,
      listens: listens(method, headers.get("accept")),
      onBegin: () => calls.begin(relayId, id, name),
      onWait: ({ queuePosition: position }) =>
        log.info({ request_id: id, relay_id: relayId, position }, "a call waits for its relay"),
      respond: async exchange => {
        const { head, stream } = await this.#dispatch(exchange);
        this.#noteSession(request, relayId, { head, exchange, caller: principal.credential });
        const passed = passesTokens(exchange.worker) ? challenged(head, this.#addressOf(routed)) : head;
        return passThrough({ head: passed, stream }, exchange, context);
      },
      errorBody: thrown => rpcError(toNfrxError(thrown), call.id),
    };
  }

  #metadataDemand(call: RouteCall): Demand {
    const { id } = call.access;
    return {
      target: RESOURCE_METADATA_PATH,
      label: { model: call.params["id"] ?? "", stream: false },
      headers: [
        ["accept", "application/json"],
        ["x-request-id", id],
      ],
      series: this.options.metrics.callSeries("mcp", "metadata"),
      workerId: undefined,
      kept: undefined,
      exemptFromSlots: true,
      once: true,
      respond: async exchange => {
        const { head, stream } = await this.#dispatch(exchange);
        const body = await readAnswer(stream);
        // Any response of the provider is a success.
        const response =
          head.status === 200
            ? metadataResponse(rewriteMetadata(body, this.#addressOf(call)), id)
            : errorResponse(new NfrxError("not_found", "this relay has no metadata of this kind"), "json-rpc", id);
        call.access.answered(response);
        return response;
      },
    };
  }

  /** Dispatches; rejects in the words of a relay. */
  async #dispatch(exchange: Exchange): Promise<WorkerAnswer> {
    try {
      return await dispatch(exchange);
    } catch (thrown) {
      throw this.#toRelayError(toNfrxError(thrown), exchange.request);
    }
  }

  /** The worker that a request must go to: the one that has its session. */
  #workerOf({ request: { headers, url }, params, principal }: RouteCall): string | undefined {
    // Clients of 2024 have it in the address of their messages.
    const session = headers.get(SESSION) ?? /[?&]sessionId=([^&#]+)/.exec(url)?.[1] ?? null;
    if (session === null) return undefined;
    const { sessions, pool } = this.options;
    const found = sessions.find(session, params["id"] ?? "", principal.credential);
    if (found === FOREIGN) throw new NfrxError("session_not_found", "Session not found");
    // If that relay is gone, the relay that now has its ID may have the same server, which knows its sessions.
    return found !== undefined && pool.directory.has(found) ? found : undefined;
  }

  /** The public address of a relay, as this caller sees it. */
  #addressOf({ request, server, params }: RouteCall): string {
    const { proxies, publicUrl } = this.options;
    const path = `/api/mcp/id/${encodeURIComponent(params["id"] ?? "")}`;
    if (publicUrl !== undefined) return publicUrl + path;
    const { headers, url } = request;
    const trusted = (name: string): string | null =>
      headers.has(name) && proxies.has(peerOf(request, server)) ? headers.get(name) : null;
    const scheme = trusted("x-forwarded-proto") ?? url.split(":", 1)[0];
    const prefix = /^(?:\/[\w.~-]+)+$/.exec(trusted("x-forwarded-prefix") ?? "")?.[0] ?? "";
    return `${scheme === "https" ? "https" : "http"}://${headers.get("host") ?? ""}${prefix}${path}`;
  }

  /** The words of the pool and of the tunnel in those of a relay. */
  #toRelayError(error: NfrxError, request: ExchangeRequest): NfrxError {
    const retry = { retryAfterSeconds: RETRY_AFTER_S };
    const reason = error.detail.cause instanceof NfrxError ? error.detail.cause : error;
    switch (reason.code) {
      case "no_worker":
      // It is there, and about to leave.
      case "overloaded":
        return this.#isWaiting(request)
          ? new NfrxError("provider_unavailable", "the relay cannot reach its provider", retry)
          : noRelay();
      case "worker_busy":
        return new NfrxError("limit_exceeded", "too many concurrent calls to this relay", retry);
      case "refused":
        return new NfrxError("provider_unavailable", `the relay rejected the call: ${reason.message}`, retry);
      case "link_lost":
        return new NfrxError("upstream_error", "the relay was lost", retry);
      default:
        return error;
    }
  }

  /** True when a relay of this id is connected and its provider is away. */
  #isWaiting({ label, workerId }: ExchangeRequest): boolean {
    return this.options.pool.directory
      .records(label.model)
      .some(worker => (workerId === undefined || worker.id === workerId) && worker.present && !worker.ready);
  }

  #noteSession(
    { method, headers, url }: Request,
    relayId: string,
    { head, exchange, caller }: { head: ResponseHead; exchange: Exchange; caller: string },
  ): void {
    const { sessions } = this.options;
    const asked = headers.get(SESSION);
    const given = headerOf(head.headers, SESSION);
    const workerId = exchange.worker?.id;
    const ended =
      head.status === 404 ? targetOf(url, relayId) === RELAY_PATH : method === "DELETE" && head.status < 300;
    if (asked !== null && ended) sessions.forget(asked, relayId);
    else if (given !== undefined && head.status < 300 && workerId !== undefined)
      // Tokens that go through to the provider change while a session lasts, and the provider judges them itself.
      sessions.remember(given, relayId, workerId, passesTokens(exchange.worker) ? undefined : caller);
  }
}

/** True for a relay whose callers' own tokens go through to its provider. */
function passesTokens(worker: Worker | undefined): boolean {
  return worker?.facts["mcp_auth"] === "end-to-end";
}

/** An answer whose challenge, if it has one, names the metadata that the broker serves. */
function challenged(head: ResponseHead, address: string): ResponseHead {
  if (head.status !== 401 && head.status !== 403) return head;
  // Below a proxy's path prefix the broker is reached below it alone, not at the root of the host.
  const at = address.indexOf("/api/mcp/");
  const metadataUrl = address.slice(0, at) + RESOURCE_METADATA_PATH + address.slice(at);
  const headers: HeaderList = head.headers.map(([name, value]) =>
    name.toLowerCase() === "www-authenticate" ? [name, rewriteChallenge(value, metadataUrl)] : [name, value],
  );
  return { status: head.status, headers };
}

function metadataResponse(bytes: Uint8Array<ArrayBuffer>, requestId: string): Response {
  const headers = { "content-length": String(bytes.length), "content-type": "application/json" };
  return new Response(bytes, { headers: { ...headers, "x-request-id": requestId, [NOSNIFF[0]]: NOSNIFF[1] } });
}

/** Maximum size of a provider's metadata, in bytes. */
const METADATA_BYTES = 256 * 1024;

async function readAnswer(stream: Stream): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) {
    length += bytes.length;
    if (length > METADATA_BYTES) throw new NfrxError("upstream_error", "the provider's metadata is too large");
    chunks.push(bytes);
  }
  return Buffer.concat(chunks, length);
}

const SESSION = "mcp-session-id";

/** The methods that a relay is asked with. */
export type RelayMethod = "GET" | "POST" | "DELETE" | "OPTIONS";

const endpointOf = (method: RelayMethod): Endpoint => ({
  method,
  path: "",
  backendPath: "",
  jobType: "mcp.call",
  label: "none",
  events: false,
});

/** The broker looks for nothing in a body while it comes. */
const READ_ALL = { scan: () => false };

/** Path and query below the relay's address, unchanged. Throws `not_found` for a path that climbs. */
function targetOf(url: string, relayId: string): string {
  const own = /^[^:]+:\/\/[^/]*\/api\/mcp\/id\/[^/?#]*/.exec(url)?.[0];
  if (own === undefined) throw new NfrxError("not_found", `no relay ${relayId}`);
  const rest = url.slice(own.length);
  if (!isPlainPath(rest.split("?", 1)[0] ?? "")) throw new NfrxError("not_found", "path not found");
  return RELAY_PATH + rest;
}
