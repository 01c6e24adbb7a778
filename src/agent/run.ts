// THE runner of every worker module's agent: probe, dial, register, serve, drain, reconnect.
import { hostname } from "node:os";
import { LONGEST_MS } from "../config/duration.ts";
import { Drain } from "../lib/drain.ts";
import { messageOf, NfrxError } from "../lib/errors.ts";
import { headerOf } from "../lib/http.ts";
import type { Logger } from "../lib/log.ts";
import { Backoff, type Clock, every, pause, systemClock } from "../lib/time.ts";
import { failureOf, type Span } from "../lib/trace.ts";
import type { Tracing } from "../lib/tracing.ts";
import { DATE, SHA, VERSION } from "../lib/version.ts";
import type { RequestHead } from "../protocol/frames.ts";
import { CLOSE_NORMAL, HEARTBEAT_MS, MODEL_DETAILS_BYTES } from "../protocol/limits.ts";
import type { Link } from "../protocol/link.ts";
import type { Stream } from "../protocol/stream.ts";
import { wireOf } from "../protocol/wire-of.ts";
import type { BackendAdapter } from "./backend-adapter.ts";
import { type BackendState, BackendWatch } from "./backend-watch.ts";
import { type BrokerEndpoint, type DialOptions, DialRefusal, dial, dialRefusal } from "./dial.ts";
import { mayBeDown } from "./forward.ts";
import { HostLoad, hostFacts } from "./host.ts";
import { AgentMetrics, type AgentOutcome } from "./metrics.ts";
import type { HttpProxy } from "./proxy.ts";

/** Timeout of the first check of a backend in milliseconds; then the agent connects without the result. */
const FIRST_LOOK_MS = 3_000;

export interface AgentOptions {
  /** The module's id. */
  module: string;
  service: BackendAdapter;
  serverUrl: string;
  clientKey: string | undefined;
  clientId: string | undefined;
  clientName: string | undefined;
  maxConcurrency: number;
  reconnect: boolean;
  /** Headers of the connection to the broker, for what stands in front of it. */
  headers?: Readonly<Record<string, string>>;
  ca?: string | undefined;
  proxy?: HttpProxy | undefined;
  /** What it speaks in either version of the wire; as workers do unless given. */
  wire?: DialOptions["wire"];
  log: Logger;
  /** Lines of the log that could not be written. */
  droppedLogs?: (() => number) | undefined;
  /** Makes traces, when given. */
  tracing?: Tracing | undefined;
  clock?: Clock;
  random?: () => number;
}

export type AgentState =
  | "connecting"
  | "connected_idle"
  | "connected_busy"
  | "not_ready"
  | "disconnected"
  | "draining"
  | "terminating"
  | "error";

/** An agent of a worker module: beside the private service, dialling out to the broker. */
export class Agent {
  readonly id: string;
  readonly name: string;
  readonly metrics: AgentMetrics;

  readonly #options: AgentOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #backoff: Backoff;
  readonly #watch: BackendWatch;
  readonly #stop = new AbortController();
  readonly #work = new Drain();
  readonly #onAnswer = (): void => this.#watch.answered();
  #link: Link | undefined;
  #terminating = false;
  #connecting = false;
  /** The broker has let this agent in. */
  #accepted = false;
  /** Why the broker would not let this agent in, once that has been logged. */
  #refusal = "";
  /** What was last wrong with the backend's list of models. */
  #warning = "";
  #lastError = "";
  #lastHeartbeat = 0;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log;
    this.#backoff = new Backoff(options.random);
    this.id = options.clientId || crypto.randomUUID();
    this.name = options.clientName || hostname();
    this.#watch = new BackendWatch(options.service, this.#clock, state => this.#onBackend(state));
    this.metrics = new AgentMetrics({
      server: () => this.#accepted,
      backend: () => this.#watch.state.ready,
      current: () => this.#work.inflight,
      max: () => options.maxConcurrency,
      link: () => this.#link?.stats,
      droppedLogs: options.droppedLogs ?? (() => 0),
    });
    options.service.declare?.(this.metrics.meters);
    options.tracing?.count(this.metrics.spans);
  }

  /**
   * Serves until `shutdown` is done. Rejects with the reason when the backend or the broker cannot be reached and the
   * agent is not to reconnect.
   */
  async run(): Promise<void> {
    const loop = this.metrics.watchLoop();
    try {
      await this.#firstLook();
      while (!this.#stop.signal.aborted) await this.#session();
    } finally {
      loop.cancel();
      this.#watch.stop();
      await this.#options.service.close?.();
    }
  }

  /** Looks at the backend. Rejects when it is not ready and nobody is to wait for it. */
  async #firstLook(): Promise<void> {
    const { reconnect, service } = this.#options;
    const looked = this.#watch.start();
    // A backend may take minutes to start: an agent that waits for it is connected meanwhile, and says so.
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#stop.signal]);
    const state = await Promise.race([looked, pause(this.#clock, reconnect ? FIRST_LOOK_MS : LONGEST_MS, signal)]);
    over.abort();
    if (reconnect || this.#stop.signal.aborted || state === undefined || state.ready) return;
    throw new Error(`the backend ${service.address} is not ready: ${state.reason}`);
  }

  /** Takes no new work; what runs goes on. */
  drain(): void {
    this.#work.begin();
    this.#log.info({}, "draining");
    this.#announce();
  }

  undrain(): void {
    if (this.#terminating) return;
    this.#work.end();
    this.#log.info({}, "accepting work again");
    this.#announce();
  }

  /** Drains for at most `timeoutMs` (0 not at all, Infinity for ever), then disconnects; `run` resolves. True when all work finished. */
  async shutdown(timeoutMs: number): Promise<boolean> {
    this.#terminating = true;
    if (!this.#work.draining) this.drain();
    // Who hears this opens no more streams.
    if (!this.#servesDuringDrain) this.#link?.goaway();
    const finished = await this.#work.finish(this.#clock, timeoutMs);
    this.#stop.abort();
    this.#link?.close(CLOSE_NORMAL, "drained");
    return finished;
  }

  get state(): AgentState {
    if (this.#terminating) return "terminating";
    if (this.#work.draining) return "draining";
    if (this.#connecting) return "connecting";
    if (!this.#accepted) return this.#lastError === "" ? "disconnected" : "error";
    if (!this.#watch.state.ready) return "not_ready";
    return this.#work.inflight > 0 ? "connected_busy" : "connected_idle";
  }

  /** The private service that it stands beside. */
  get service(): BackendAdapter {
    return this.#options.service;
  }

  /** What it dials, and how. */
  get broker(): BrokerEndpoint {
    const { module, serverUrl: url, clientKey, headers = {}, ca, proxy, wire = wireOf } = this.#options;
    return { module, url, clientKey, headers, ca, proxy, wire };
  }

  /** Whether it ends when the broker is away. */
  get exits(): boolean {
    return !this.#options.reconnect;
  }

  /** How it is, in a line for people. */
  get summary(): string {
    const { state } = this;
    const why = this.#lastError === "" ? "" : `; last error: ${this.#lastError}`;
    return `${state.replace("_", ", ")}, ${this.#work.inflight} requests in flight${why}`;
  }

  /** The body of GET /status. */
  status(): object {
    const backend = this.#watch.state;
    return {
      state: this.state,
      connected_to_server: this.#accepted,
      connected_to_backend: backend.ready,
      current_jobs: this.#work.inflight,
      max_concurrency: this.#options.maxConcurrency,
      last_error: this.#lastError,
      last_heartbeat: this.#lastHeartbeat === 0 ? null : new Date(this.#lastHeartbeat).toISOString(),
      worker_id: this.id,
      worker_name: this.name,
      version: VERSION,
      agent_config: this.#facts(),
      labels: backend.ready ? backend.models : [],
    };
  }

  /** One connection, from dial to close, and the wait after it. Rejects when the agent is not to come back. */
  async #session(): Promise<void> {
    const { reconnect, serverUrl } = this.#options;
    let reason: string;
    let permanent = false;
    try {
      const began = this.#clock.now();
      reason = await this.#connection();
      this.#backoff.held(this.#clock.now() - began);
    } catch (error) {
      reason = `cannot connect to ${serverUrl}: ${messageOf(error)}`;
      permanent = error instanceof DialRefusal && error.permanent;
    }
    if (this.#stop.signal.aborted) return;
    this.#lastError = reason;
    if (!reconnect) throw new Error(reason);
    const wait = permanent ? this.#backoff.afterRefusal() : this.#backoff.next();
    const about = { reason, retry_in_ms: Math.round(wait) };
    if (!permanent) this.#log.warn(about, "not connected");
    else if (reason !== this.#refusal) this.#log.error(about, "rejected by the broker");
    else this.#log.debug(about, "rejected by the broker again");
    this.#refusal = permanent ? reason : "";
    await pause(this.#clock, wait, this.#stop.signal);
  }

  /** Resolves with the reason when the connection is over. */
  async #connection(): Promise<string> {
    const closed = Promise.withResolvers<string>();
    const { broker } = this;
    this.#connecting = true;
    try {
      const link = await dial({
        ...broker,
        clock: this.#clock,
        signal: this.#stop.signal,
        events: {
          onStream: (stream, head) => void this.#serve(stream, head),
          // The broker has no word for it: the first thing that it says after the registration means that it has accepted.
          onHeard: () => this.#onAccepted(link),
          onClosed: (code, reason) =>
            this.#accepted
              ? closed.resolve(`the connection was closed: ${code} ${reason}`.trim())
              : closed.reject(dialRefusal(broker, code, reason)),
        },
      });
      return await this.#membership(link, closed.promise);
    } finally {
      this.#connecting = false;
    }
  }

  /** Registers on a link and waits for its end. */
  async #membership(link: Link, closed: Promise<string>): Promise<string> {
    this.#link = link;
    this.#register(link);
    const load = new HostLoad();
    const beat = every(this.#clock, HEARTBEAT_MS, () => this.#heartbeat(link, load));
    try {
      if (this.#stop.signal.aborted) link.close(CLOSE_NORMAL, "drained");
      return await closed;
    } finally {
      beat.cancel();
      this.#link = undefined;
      if (this.#accepted) {
        this.#accepted = false;
        this.metrics.disconnected(link.stats);
        this.#log.info({ server_url: this.#options.serverUrl }, "disconnected");
      }
    }
  }

  #onAccepted(link: Link): void {
    const backend = this.#watch.state;
    this.#connecting = false;
    this.#accepted = true;
    this.#lastError = "";
    this.#refusal = "";
    this.metrics.connected();
    this.#log.info(
      {
        server_url: this.#options.serverUrl,
        wire: link.version,
        models: backend.ready ? backend.models.length : 0,
      },
      "connected",
    );
  }

  #register(link: Link): void {
    const { clientKey } = this.#options;
    const backend = this.#watch.state;
    link.control({
      type: "register",
      worker_id: this.id,
      worker_name: this.name,
      // A v1 broker may look for the key here only.
      ...(link.version === 1 && clientKey !== undefined && { client_key: clientKey }),
      models: backend.ready ? backend.models : (this.#options.service.models ?? []),
      ...this.#details(link),
      max_concurrency: this.#capacity(),
      version: VERSION,
      build_sha: SHA,
      build_date: DATE,
      agent_config: this.#facts(),
      ...this.#options.service.registration,
    });
    if (this.#work.draining) this.#announce();
    // A v1 broker need not say anything by itself. It answers this once it has read the registration and accepted it.
    if (link.version === 1) link.ping();
  }

  #heartbeat(link: Link, load: HostLoad): void {
    this.#lastHeartbeat = this.#clock.wall();
    link.control({
      type: "heartbeat",
      ts: Math.floor(this.#lastHeartbeat / 1000),
      host_cpu_percent: load.cpuPercent(),
      host_ram_used_percent: load.ramPercent(),
    });
  }

  #onBackend(state: BackendState): void {
    const warning = state.ready ? state.warning : undefined;
    if (warning !== undefined && warning !== this.#warning)
      this.#log.warn({ problem: warning }, "some models were left out");
    this.#warning = warning ?? this.#warning;
    if (state.ready) this.#log.info({ models: state.models.length }, "the backend is ready");
    else this.#log.warn({ backend: this.#options.service.address, reason: state.reason }, "the backend is not ready");
    this.#announce();
  }

  #announce(): void {
    const backend = this.#watch.state;
    const link = this.#link;
    link?.control({
      type: "status_update",
      max_concurrency: this.#capacity(),
      ...(backend.ready && { models: backend.models, ...this.#details(link) }),
      status: this.#work.draining
        ? "draining"
        : backend.ready
          ? this.#work.inflight > 0
            ? "working"
            : "idle"
          : "not_ready",
      agent_config: this.#facts(),
    });
  }

  /** What the backend says of its models, for a broker that knows the field, unless it is too much. */
  #details(link: Link): { model_details?: object } {
    const backend = this.#watch.state;
    if (link.version === 1 || !backend.ready || backend.details === undefined) return {};
    const length =
      Buffer.byteLength(JSON.stringify(backend.details)) + Buffer.byteLength(JSON.stringify(backend.models));
    return length > MODEL_DETAILS_BYTES ? {} : { model_details: backend.details };
  }

  #capacity(): number {
    return this.#work.draining || !this.#watch.state.ready ? 0 : this.#options.maxConcurrency;
  }

  #facts(): Record<string, string> {
    const backend = this.#watch.state;
    return { ...hostFacts(), ...(backend.ready ? backend.facts : this.#options.service.facts) };
  }

  get #servesDuringDrain(): boolean {
    // The other version of the wire carries nothing but calls.
    return this.#options.service.servesDuringDrain === true && this.#link?.version === 2;
  }

  async #serve(stream: Stream, head: RequestHead): Promise<void> {
    const { service } = this.#options;
    const draining = this.#work.draining;
    if (draining && !this.#servesDuringDrain) return stream.reset(new NfrxError("refused", "draining"));
    const wire = this.#link?.version ?? 2;
    if (wire === 2 && service.declares?.(head) === false) {
      this.#log.warn(
        { method: head.method, path: head.path },
        "rejecting a request for a path that this module does not serve",
      );
      return stream.reset(new NfrxError("not_found", "this agent does not serve the path"));
    }
    const began = this.#clock.now();
    const leave = draining || service.lingers?.(head) ? () => {} : this.#work.enter();
    this.metrics.started();
    const span = this.#spanOf(head);
    let outcome: AgentOutcome = "canceled";
    try {
      await service.serve(stream, head, { draining, wire, span, onAnswer: this.#onAnswer });
      outcome = "succeeded";
      span?.end();
    } catch (error) {
      span?.end(failureOf(error));
      if (!(error instanceof NfrxError) || error.code !== "canceled") {
        outcome = "failed";
        if (mayBeDown(error)) this.#watch.lookNow();
        this.#lastError = messageOf(error);
        this.#log.warn({ request_id: requestIdOf(head), path: head.path, error: this.#lastError }, "request failed");
      }
    } finally {
      this.metrics.ended(outcome, this.#clock.now() - began);
      leave();
    }
  }

  /** The span of a request, below that of the broker which has sent it. */
  #spanOf(head: RequestHead): Span | undefined {
    const { tracing, module } = this.#options;
    if (tracing === undefined) return undefined;
    const { method, headers, path } = head;
    const span = tracing.tracer.serve(
      `${method} ${module}`,
      headerOf(headers, "traceparent"),
      headerOf(headers, "tracestate"),
    );
    if (span.recorded)
      span.set({
        "http.request.method": method,
        "url.path": path.split("?", 1)[0],
        "nfrx.request.id": requestIdOf(head),
      });
    return span;
  }
}

function requestIdOf(head: RequestHead): string | undefined {
  return headerOf(head.headers, "x-request-id");
}
