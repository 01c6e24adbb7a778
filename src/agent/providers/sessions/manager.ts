import { formatDuration } from "../../../config/duration.ts";
import { NfrxError } from "../../../lib/errors.ts";
import { headerOf } from "../../../lib/http.ts";
import type { Logger } from "../../../lib/log.ts";
import type { Clock } from "../../../lib/time.ts";
import type { OpenChannel } from "../channels/channel.ts";
import {
  at,
  hasResult,
  INVALID_REQUEST,
  type Message,
  SERVER_ERROR,
  SESSION_NOT_FOUND,
  UNSUPPORTED_VERSION,
} from "../channels/message.ts";
import { sharedOpener } from "../channels/shared-channel.ts";
import type { Spawner } from "../channels/spawner.ts";
import type { Provider, ProviderRequest } from "../provider.ts";
import {
  acceptsOf,
  FIRST_PRIMED_VERSION,
  methodNotAllowed,
  NO_SESSION_ID,
  readPost,
  refuse,
  versionRefusal,
} from "./http-rules.ts";
import { ParamHeaders } from "./param-headers.ts";
import { Session } from "./session.ts";
import { SharedServers } from "./shared-servers.ts";
import { isStatelessPost, statelessRefusal, statusOf } from "./stateless-rules.ts";

/** Time in milliseconds to wait for the response to `initialize` before the response head is sent without it. */
const INITIALIZE_HEAD_MS = 15_000;
/** Maximum running servers beyond the session limit: those that are exiting, and those that belong to no session. */
const ENDING_MAX = 16;
/** Retry-After in seconds when there are too many sessions. */
const RETRY_SECONDS = 10;

/** Settings for servers that support one client each, whatever the channel. */
export interface SessionsOptions {
  /** Time for a server to start and respond for the first time, in milliseconds. */
  initTimeoutMs: number;
  /** Milliseconds after which an unused session ends; 0 is never. */
  sessionIdleMs: number;
  /** Sessions at once, each with a server of its own. */
  maxSessions: number;
  /** Serves requests that belong to no session from one server that is kept for them. */
  sessionlessCompat: boolean;
  /** One server serves all sessions and calls without a session. */
  shared: boolean;
  /** The version to use as a client, which implies the era; detected if undefined. */
  protocolVersion: string | undefined;
  clock: Clock;
  log: Logger;
}

export interface ManagerOptions extends SessionsOptions {
  /** Starts servers; may outlive the manager, so that servers that exit repeatedly are not restarted too often. */
  starts: Spawner;
}

/** Speaks Streamable HTTP to clients of all versions, and to servers that take one client each. */
export class SessionManager implements Provider {
  readonly #sessions = new Map<string, Session>();
  readonly #starts: Spawner;
  readonly #open: OpenChannel;
  readonly #shared: SharedServers;
  readonly #paramHeaders: ParamHeaders;
  /** Servers that are being stopped; `close` waits for them. */
  readonly #ending = new Set<Promise<void>>();
  /** A server has answered a session's handshake while another one ran: the program can run more than once. */
  #runsTwice = false;
  #closed = false;

  constructor(private readonly options: ManagerOptions) {
    this.#starts = options.starts;
    this.#open = options.shared ? sharedOpener(options.starts.open) : options.starts.open;
    this.#paramHeaders = new ParamHeaders(options.clock);
    this.#shared = new SharedServers({
      ...options,
      open: this.#open,
      mayStart: () => options.shared || this.#runsTwice || this.#sessions.size === 0,
    });
  }

  get sessions(): number {
    return this.#sessions.size;
  }

  /** Running servers, for sessions and for calls without a session. */
  get servers(): number {
    return this.#starts.live;
  }

  async fetch(request: ProviderRequest): Promise<Response> {
    if (this.#closed) throw new NfrxError("draining", "the agent is stopping", { retryAfterSeconds: RETRY_SECONDS });
    const path = request.rest.split("?", 1)[0];
    if (path !== "" && path !== "/") return refuse(404, SERVER_ERROR, "Not Found");
    if (request.method === "POST") return this.#post(request);
    if (request.method === "GET" || request.method === "DELETE") return this.#sessionRequest(request);
    return methodNotAllowed("GET, POST, DELETE");
  }

  async probe(signal: AbortSignal): Promise<void> {
    if (this.#starts.trouble !== undefined) throw this.#starts.trouble;
    // A server that is at work needs no looking after.
    if (this.#sessions.size === 0) await this.#shared.ensure(signal);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const session of this.#sessions.values()) this.#endSession(session, "the agent is stopping");
    await Promise.all([this.#shared.close(), ...this.#ending]);
    await this.#starts.close();
  }

  async #post(request: ProviderRequest): Promise<Response> {
    const read = readPost(request);
    if (read instanceof Response) return read;
    const { batch, messages } = read;
    const [first] = messages;
    if (first !== undefined && isStatelessPost(request, messages)) {
      const versions = await this.#shared.versionsForClient(request.signal);
      if (versions.length > 0) return this.#stateless(request, batch, first, versions);
    }
    const sessionId = headerOf(request.headers, "mcp-session-id");
    const initialize = messages.some(message => message.kind === "request" && message.method === "initialize");
    if (initialize && messages.length > 1) {
      return refuse(400, INVALID_REQUEST, "Invalid Request: Only one initialization request is allowed");
    }
    if (sessionId === undefined) {
      if (initialize && first !== undefined) return this.#initialize(request, first);
      return versionRefusal(request) ?? this.#sessionless(request, batch, first);
    }
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return refuse(404, SESSION_NOT_FOUND, "Session not found");
    if (initialize) return refuse(400, INVALID_REQUEST, "Invalid Request: Server already initialized");
    const version = headerOf(request.headers, "mcp-protocol-version")?.trim();
    const { signal } = request;
    return versionRefusal(request) ?? session.post({ messages, events: acceptsOf(request).events, version, signal });
  }

  async #sessionRequest(request: ProviderRequest): Promise<Response> {
    const listens = request.method === "GET";
    if (listens && !acceptsOf(request).events) {
      return refuse(406, SERVER_ERROR, "Not Acceptable: Client must accept text/event-stream");
    }
    const sessionId = headerOf(request.headers, "mcp-session-id");
    if (sessionId === undefined) {
      // Without sessions, clients read this as "no such stream".
      if (this.#shared.stateless) return methodNotAllowed("POST");
      return refuse(400, SERVER_ERROR, NO_SESSION_ID);
    }
    const session = this.#sessions.get(sessionId);
    if (session === undefined) return refuse(404, SESSION_NOT_FOUND, "Session not found");
    const refusal = versionRefusal(request);
    if (refusal !== undefined) return refusal;
    if (listens) {
      const [after, version] = ["last-event-id", "mcp-protocol-version"].map(name => headerOf(request.headers, name));
      return session.listen(after, version?.trim(), request.signal);
    }
    this.#endSession(session, "the client ended its session");
    return new Response(null, { status: 200 });
  }

  async #stateless(
    request: ProviderRequest,
    batch: boolean,
    message: Message,
    versions: readonly string[],
  ): Promise<Response> {
    const refusal = statelessRefusal(request, batch, message, versions);
    if (refusal !== undefined) return refusal;
    const server = await this.#shared.forStateless(request.signal);
    const accepts = acceptsOf(request);
    const disagrees = await this.#paramHeaders.refusal(server, request, message);
    if (disagrees !== undefined) return disagrees;
    if (isRequest(message)) return server.ask(message, accepts, request.signal, statusOf);
    // Its IDs belong to one client and are unknown to the server: disconnecting cancels.
    if (message.method !== "notifications/cancelled") server.tell(message.text);
    return new Response(null, { status: 202 });
  }

  async #sessionless(request: ProviderRequest, batch: boolean, message: Message | undefined): Promise<Response> {
    if (!this.options.sessionlessCompat || batch || message === undefined) {
      return refuse(400, SERVER_ERROR, NO_SESSION_ID);
    }
    // Messages of a handshake or an earlier request have no meaning here.
    if (!isRequest(message)) return new Response(null, { status: 202 });
    const server = await this.#shared.forSessionless(request.signal);
    return server.ask(message, acceptsOf(request), request.signal);
  }

  async #initialize(request: ProviderRequest, message: Message): Promise<Response> {
    // Stopping a server may take seconds: a client that abandons its sessions must not accumulate servers.
    while (this.#starts.live >= this.options.maxSessions + ENDING_MAX) await this.#starts.nextEnd;
    if (this.#closed || !this.#makeRoom()) {
      return refuse(503, SERVER_ERROR, "Too many sessions", {
        id: message.id,
        headers: { "retry-after": `${RETRY_SECONDS}` },
      });
    }
    const begun = await this.#begin(request, message);
    if (begun instanceof Response) return begun;
    // A program that can run only once may have failed for the server that is kept for calls without a session.
    const again = !this.options.shared && (await this.#shared.retire()) ? await this.#begin(request, message) : begun;
    if (again instanceof Response) return again;
    throw again;
  }

  /** A session whose server answers the handshake; the reason if the server exited before. */
  async #begin(request: ProviderRequest, message: Message): Promise<Response | NfrxError> {
    const session = new Session({
      open: this.#open,
      idleMs: this.options.sessionIdleMs,
      clock: this.options.clock,
      log: this.options.log,
      onEnd: ended => this.#sessions.delete(ended.id),
    });
    this.#sessions.set(session.id, session);
    const version = at(message.value, "params", "protocolVersion");
    const { events } = acceptsOf(request);
    const response = session.post({
      messages: [message],
      events,
      version: typeof version === "string" && version <= FIRST_PRIMED_VERSION ? version : undefined,
      signal: request.signal,
    });
    this.#giveUp(session);
    const answer = await this.#firstAnswer(session);
    if (answer === "late") return response;
    if (answer !== undefined && hasResult(answer)) {
      this.#runsTwice ||= this.#shared.alive;
      return response;
    }
    const reason = session.reason ?? "the MCP server ended";
    this.#endSession(session, "the server rejected the handshake");
    if (answer === undefined) return this.#starts.trouble ?? new NfrxError("upstream_error", reason);
    const status = at(answer.value, "error", "code") === UNSUPPORTED_VERSION ? 400 : 200;
    return new Response(answer.text, { status, headers: { "content-type": "application/json" } });
  }

  /** Ends a session whose server does not answer the handshake in time. */
  #giveUp(session: Session): void {
    const { clock, initTimeoutMs } = this.options;
    const reason = `the MCP server did not start within ${formatDuration(initTimeoutMs)} (MCP_INIT_TIMEOUT)`;
    const timer = clock.after(initTimeoutMs, () => this.#endSession(session, reason), true);
    void session.firstAnswer.then(() => timer.cancel());
  }

  /** The server's answer to the handshake; `late` after the timeout. */
  async #firstAnswer(session: Session): Promise<Message | undefined | "late"> {
    const timeout = Promise.withResolvers<"late">();
    const timer = this.options.clock.after(INITIALIZE_HEAD_MS, () => timeout.resolve("late"), true);
    try {
      return await Promise.race([session.firstAnswer, timeout.promise]);
    } finally {
      timer.cancel();
    }
  }

  /** Ends the session that was idle for longest when there is no room for one more. False when none is idle. */
  #makeRoom(): boolean {
    if (this.#sessions.size < this.options.maxSessions) return true;
    const idle = [...this.#sessions.values()].filter(session => session.idle);
    const oldest = idle.sort((a, b) => a.lastUsed - b.lastUsed)[0];
    if (oldest === undefined) return false;
    this.options.log.info(
      { sessions: this.#sessions.size },
      "closing the longest idle session: MCP_MAX_SESSIONS reached",
    );
    this.#endSession(oldest, "the session was closed to make room for another");
    return true;
  }

  #endSession(session: Session, reason: string): void {
    this.#sessions.delete(session.id);
    const ending = session.close(reason).finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }
}

function isRequest(message: Message): message is Message & { id: string } {
  return message.kind === "request" && message.id !== undefined;
}
