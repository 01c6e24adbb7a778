import type { Drain } from "../../lib/drain.ts";
import { NfrxError, toNfrxError } from "../../lib/errors.ts";
import { headerOf, listens, MAX_ANSWER_HEADER, type TrustedProxies } from "../../lib/http.ts";
import { isPlainPath } from "../../lib/plain-path.ts";
import { relayHeaders } from "../../lib/request-headers.ts";
import { NOSNIFF, ResponsePolicy } from "../../lib/response-headers.ts";
import { RESOURCE_METADATA_PATH } from "../../lib/well-known.ts";
import type { Endpoint, Method } from "../../modules/module.ts";
import type { PeerServer, RouteCall } from "../../modules/route.ts";
import type { HeaderList, ResponseHead } from "../../protocol/frames.ts";
import type { Stream } from "../../protocol/stream.ts";
import type { OwnKeys } from "../http/access/own-keys.ts";
import { peerOf } from "../http/access/principal.ts";
import { type BodyLimits, noBody, type RequestBody, readBody } from "../http/body/body.ts";
import { errorResponse, rpcError } from "../http/error-response.ts";
import type { Worker } from "../pool/worker.ts";
import { type Answer, dispatch } from "../proxy/dispatch.ts";
import { Exchange, type ExchangeContext } from "../proxy/exchange.ts";
import type { RespondContext } from "../proxy/response/pump.ts";
import { passThrough } from "../proxy/response/respond.ts";
import { withExchange } from "../proxy/settle.ts";
import { noRelay, RETRY_AFTER_S } from "./caller-admission.ts";
import type { Calls } from "./calls.ts";
import { rewriteChallenge, rewriteMetadata } from "./metadata.ts";
import { type RelayCall, readRelayCall } from "./relay-call.ts";
import { FOREIGN, type Sessions } from "./sessions.ts";

/** Where a relay's own address begins on the wire, and where its metadata is; see protocol/README.md. */
const RELAY_PATH = "/mcp";

export interface RelayOptions extends ExchangeContext {
  /** The broker's public URL, when it is known. */
  publicUrl: string | undefined;
  proxies: TrustedProxies;
  /** What opens a door of the broker, which no relay gets. */
  ownKeys: OwnKeys;
  drain: Drain;
  sessions: Sessions;
  calls: Calls;
  limits: BodyLimits;
  maxAnswerBytes: number;
  /** Clients get the name of the worker and the duration. */
  expose: boolean;
}

/** The way of a request to a relay: bytes pass both ways as they are, whatever they say. */
export class Relay {
  readonly #respond: RespondContext;
  /** The header that tells a relay how large a response may be. */
  readonly #largest: [name: string, value: string];

  constructor(private readonly options: RelayOptions) {
    const { clock, maxAnswerBytes, expose } = options;
    this.#largest = [MAX_ANSWER_HEADER, String(maxAnswerBytes)];
    const policy = new ResponsePolicy();
    this.#respond = {
      clock,
      policy,
      errors: "json-rpc",
      queueUpdateMs: 0,
      expose,
      relayed: { maxBytes: maxAnswerBytes },
    };
  }

  /** Answers one request. Rejects only before there is an exchange, with nothing left to give back. */
  async handle(call: RouteCall): Promise<Response> {
    const { request, server, params, principal } = call;
    const { drain, limits, ownKeys } = this.options;
    let leave: (() => void) | undefined;
    let body: RequestBody | undefined;
    try {
      const relayId = params["id"] ?? "";
      const without = ownKeys.carriers(request.headers);
      const endpoint = ENDPOINTS[request.method];
      if (endpoint === undefined)
        throw new NfrxError("method_not_allowed", `method ${request.method} is not allowed for relays`);
      const target = targetOf(request.url, relayId);
      const servesDuringDrain = drain.draining;
      if (!servesDuringDrain) leave = drain.enter();
      const workerId = this.#workerOf(request, relayId, principal.credential);
      body = await readBody(call, limits, () => false);
      server.timeout(request, 0);
      const message = readRelayCall(request.method, body);
      // What runs may need it to end: the answer to what a tool has asked, or word that its result is not wanted.
      if (servesDuringDrain && (!message.exemptFromSlots || request.method === "GET")) drain.enter();
      // Nobody waits for the end of listening.
      if (listens(request.method, request.headers.get("accept"))) leave?.();
      const address = this.#addressOf(request, server, relayId);
      return await this.#run(call, {
        endpoint,
        target,
        relayId,
        workerId,
        without,
        body,
        call: message,
        leave,
        address,
      });
    } catch (thrown) {
      body?.release();
      leave?.();
      throw thrown;
    }
  }

  async #run(
    { request, access, principal }: RouteCall,
    about: {
      endpoint: Endpoint;
      target: string;
      relayId: string;
      workerId: string | undefined;
      without: readonly string[];
      body: RequestBody;
      call: RelayCall;
      leave: (() => void) | undefined;
      /** The relay's public address. */
      address: string;
    },
  ): Promise<Response> {
    const { metrics, calls } = this.options;
    const { headers, signal } = request;
    const { relayId, call, leave } = about;
    const { id } = access;
    const name = calls.nameOf(call.method);
    access.call = name;
    access.jobType = about.endpoint.jobType;
    const ended = calls.begin(relayId, id, name);
    const exchange = new Exchange(
      this.options,
      {
        id,
        url: request.url,
        access,
        endpoint: about.endpoint,
        target: about.target,
        label: { model: relayId, stream: false },
        body: about.body,
        headers: [...relayHeaders(headers, id, about.without), this.#largest],
        series: metrics.callSeries("mcp", name),
        workerId: about.workerId,
        kept: undefined,
        exemptFromSlots: call.exemptFromSlots,
        servesDuringDrain: call.exemptFromSlots && request.method !== "GET",
        once: true,
        caller: () => principal.caller,
        signal,
        onClose: () => {
          ended();
          leave?.();
        },
      },
      () => {
        const position = exchange.queuePosition;
        this.options.log.info({ request_id: id, relay_id: relayId, position }, "a call waits for its relay");
      },
    );
    const respond = async (): Promise<Response> => {
      const answer = await this.#dispatch(exchange, relayId, about.workerId);
      this.#noteSession(request, relayId, { head: answer.head, exchange, caller: principal.credential });
      const head = passesTokens(exchange.worker) ? challenged(answer.head, about.address) : answer.head;
      return passThrough({ head, stream: answer.stream }, exchange, this.#respond);
    };
    return withExchange(exchange, respond, error =>
      errorResponse(error, "json-rpc", id, rpcError(toNfrxError(error), call.id)),
    );
  }

  /** Dispatches; rejects in the words of a relay. */
  async #dispatch(exchange: Exchange, relayId: string, workerId: string | undefined): Promise<Answer> {
    try {
      return await dispatch(exchange);
    } catch (thrown) {
      throw this.#toRelayError(toNfrxError(thrown), relayId, workerId);
    }
  }

  /** The worker that a request must go to: the one that has its session. */
  #workerOf({ headers, url }: Request, relayId: string, caller: string): string | undefined {
    // Clients of 2024 have it in the address of their messages.
    const session = headers.get(SESSION) ?? /[?&]sessionId=([^&#]+)/.exec(url)?.[1] ?? null;
    if (session === null) return undefined;
    const { sessions, pool } = this.options;
    const found = sessions.find(session, relayId, caller);
    if (found === FOREIGN) throw new NfrxError("session_not_found", "Session not found");
    // When that one has gone, whoever has its id now may have the same server behind it, which knows its sessions.
    return found !== undefined && pool.registry.get(found) !== undefined ? found : undefined;
  }

  /** The public address of a relay, as this caller sees it. */
  #addressOf(request: Request, server: PeerServer, relayId: string): string {
    const { proxies, publicUrl } = this.options;
    const path = `/api/mcp/id/${encodeURIComponent(relayId)}`;
    if (publicUrl !== undefined) return publicUrl + path;
    const { headers, url } = request;
    const trusted = (name: string): string | null =>
      headers.has(name) && proxies.has(peerOf(request, server)) ? headers.get(name) : null;
    const scheme = trusted("x-forwarded-proto") ?? url.split(":", 1)[0];
    const prefix = /^(?:\/[\w.~-]+)+$/.exec(trusted("x-forwarded-prefix") ?? "")?.[0] ?? "";
    return `${scheme === "https" ? "https" : "http"}://${headers.get("host") ?? ""}${prefix}${path}`;
  }

  /** The provider's metadata as a protected resource, with the relay's public address in its place. Never rejects. */
  async metadata({ request, server, params, access }: RouteCall): Promise<Response> {
    const { metrics, limits } = this.options;
    const { id } = access;
    const relayId = params["id"] ?? "";
    const exchange = new Exchange(this.options, {
      id,
      url: request.url,
      access,
      endpoint: GET,
      target: RESOURCE_METADATA_PATH,
      label: { model: relayId, stream: false },
      body: noBody(limits),
      headers: [
        ["accept", "application/json"],
        ["x-request-id", id],
      ],
      series: metrics.callSeries("mcp", "metadata"),
      workerId: undefined,
      kept: undefined,
      exemptFromSlots: true,
      once: true,
      caller: () => "",
      signal: request.signal,
    });
    const respond = async (): Promise<Response> => {
      const { head, stream } = await this.#dispatch(exchange, relayId, undefined);
      const body = await readAnswer(stream);
      // What the provider says is an answer, whatever it is.
      const response =
        head.status === 200
          ? metadataResponse(rewriteMetadata(body, this.#addressOf(request, server, relayId)), id)
          : errorResponse(new NfrxError("not_found", "this relay has no metadata of this kind"), "json-rpc", id);
      access.answered(response);
      return response;
    };
    return withExchange(exchange, respond, error => errorResponse(error, "json-rpc", id));
  }

  /** The words of the pool and of the tunnel in those of a relay. */
  #toRelayError(error: NfrxError, relayId: string, workerId: string | undefined): NfrxError {
    const retry = { retryAfterSeconds: RETRY_AFTER_S };
    const reason = error.detail.cause instanceof NfrxError ? error.detail.cause : error;
    switch (reason.code) {
      case "no_worker":
      // It is there, and about to leave.
      case "overloaded":
        return this.#isWaiting(relayId, workerId)
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
  #isWaiting(relayId: string, workerId: string | undefined): boolean {
    return this.options.pool.registry
      .offers(relayId)
      .some(({ worker }) => (workerId === undefined || worker.id === workerId) && worker.present && !worker.ready);
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
      sessions.remember(given, relayId, {
        workerId,
        // Tokens that go through to the provider change while a session lasts, and the provider judges them itself.
        caller: passesTokens(exchange.worker) ? undefined : caller,
      });
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

const endpointOf = (method: Method): Endpoint => ({
  method,
  path: "",
  backendPath: "",
  jobType: "mcp.call",
  label: "none",
  events: false,
});
const GET = endpointOf("GET");
const ENDPOINTS: Readonly<Record<string, Endpoint>> = {
  POST: endpointOf("POST"),
  GET,
  DELETE: endpointOf("DELETE"),
  OPTIONS: endpointOf("OPTIONS"),
};

/** What follows the relay's own address, path and query, as it came. Throws `not_found` for a path that climbs. */
function targetOf(url: string, relayId: string): string {
  const own = /^[^:]+:\/\/[^/]*\/api\/mcp\/id\/[^/?#]*/.exec(url)?.[0];
  if (own === undefined) throw new NfrxError("not_found", `no relay ${relayId}`);
  const rest = url.slice(own.length);
  if (!isPlainPath(rest.split("?", 1)[0] ?? "")) throw new NfrxError("not_found", "no such path");
  return RELAY_PATH + rest;
}
