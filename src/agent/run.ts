// THE runner of every module's agent: what it has in common for all its brokers. Dialling is in broker-link.ts.
import { hostname } from "node:os";
import { LONGEST_MS } from "../config/duration.ts";
import { Drain } from "../lib/drain.ts";
import { messageOf, NfrxError } from "../lib/errors.ts";
import { headerOf } from "../lib/http.ts";
import type { Logger } from "../lib/log.ts";
import { type Clock, pause, systemClock } from "../lib/time.ts";
import { failureOf, type Span } from "../lib/trace.ts";
import type { Tracing } from "../lib/tracing.ts";
import { VERSION } from "../lib/version.ts";
import type { RequestHead } from "../protocol/frames.ts";
import { BUSY } from "../protocol/limits.ts";
import type { Stream } from "../protocol/stream.ts";
import { wireOf } from "../protocol/wire-of.ts";
import type { BackendAdapter } from "./backend-adapter.ts";
import { type BackendState, BackendWatch } from "./backend-watch.ts";
import { BrokerLink, type LinkOwner } from "./broker-link.ts";
import type { BrokerEndpoint, DialOptions } from "./dial.ts";
import { mayBeDown } from "./forward.ts";
import { AgentMetrics, type AgentOutcome } from "./metrics.ts";
import type { HttpProxy } from "./proxy.ts";
import { SelfReport } from "./self-report.ts";
import { AgentSlots } from "./slots.ts";

/** Timeout of the first check of a backend in milliseconds; then the agent connects without the result. */
const FIRST_LOOK_MS = 3_000;

/** A broker that an agent serves. */
interface ServerAddress {
  serverUrl: string;
  clientKey: string | undefined;
  proxy?: HttpProxy | undefined;
}

export interface AgentOptions {
  /** The module's id. */
  module: string;
  service: BackendAdapter;
  /** The brokers; all of them are served at once. */
  servers: readonly ServerAddress[];
  clientId: string | undefined;
  clientName: string | undefined;
  maxConcurrency: number;
  reconnect: boolean;
  /** Headers to send to the broker, for a gateway in front of it. */
  headers?: Readonly<Record<string, string>>;
  ca?: string | undefined;
  /** Its codecs for both wire versions; by default those of workers. */
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

/** An agent of a worker module: runs next to the private service and connects to the broker. */
export class Agent {
  readonly id: string;
  readonly name: string;
  readonly metrics: AgentMetrics;

  readonly #options: AgentOptions;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #watch: BackendWatch;
  readonly #stop = new AbortController();
  readonly #work = new Drain();
  readonly #onAnswer = (): void => this.#watch.answered();
  readonly #report: SelfReport;
  readonly #slots: AgentSlots;
  readonly #links: readonly BrokerLink[];
  #terminating = false;
  /** The last problem with the backend's model list. */
  #warning = "";
  #lastError = "";

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.log;
    this.id = options.clientId || crypto.randomUUID();
    this.name = options.clientName || hostname();
    this.#watch = new BackendWatch(options.service, this.#clock, state => this.#onBackend(state));
    const { id, name } = this;
    this.#report = new SelfReport({ ...options, id, name, work: this.#work, watch: this.#watch });
    this.#slots = new AgentSlots(options.maxConcurrency, () => {
      for (const link of this.#links) link.slotsChanged();
    });
    const owner = this.#owner();
    this.#links = this.brokers.map(
      broker => new BrokerLink({ ...options, owner, broker, clock: this.#clock, signal: this.#stop.signal }),
    );
    this.metrics = new AgentMetrics({
      server: () => this.#accepted,
      backend: () => this.#watch.state.ready,
      current: () => this.#work.inflight,
      max: () => options.maxConcurrency,
      links: () => this.#links.flatMap(({ stats }) => stats ?? []),
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
      await this.#serveAll();
    } finally {
      loop.cancel();
      this.#watch.stop();
      await this.#options.service.close?.();
    }
  }

  /** Links to every broker. Rejects when none is left and none of the links is to come back. */
  async #serveAll(): Promise<void> {
    const ends = await Promise.allSettled(this.#links.map(link => link.run()));
    const lost = ends.find(end => end.status === "rejected");
    if (lost !== undefined && !this.#stop.signal.aborted) throw lost.reason;
  }

  /** Checks the backend. Rejects if it is not ready and the agent should not wait. */
  async #firstLook(): Promise<void> {
    const { reconnect, service } = this.#options;
    const looked = this.#watch.start();
    // A backend may take minutes to start: a waiting agent is connected meanwhile, and reports it.
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#stop.signal]);
    const state = await Promise.race([looked, pause(this.#clock, reconnect ? FIRST_LOOK_MS : LONGEST_MS, signal)]);
    over.abort();
    if (reconnect || this.#stop.signal.aborted || state === undefined || state.ready) return;
    throw new Error(`the backend ${service.address} is not ready: ${state.reason}`);
  }

  /** Accepts no new work; running work continues. */
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

  /**
   * Drains for at most `timeoutMs` (0: not at all, Infinity: without limit), then disconnects; `run` resolves. True if
   * all work finished.
   */
  async shutdown(timeoutMs: number): Promise<boolean> {
    this.#terminating = true;
    if (!this.#work.draining) this.drain();
    // After this the broker opens no more streams.
    for (const link of this.#links) if (!this.#servesDuringDrain(link)) link.goaway();
    const finished = await this.#work.finish(this.#clock, timeoutMs);
    this.#stop.abort();
    for (const link of this.#links) link.close();
    return finished;
  }

  get state(): AgentState {
    if (this.#terminating) return "terminating";
    if (this.#work.draining) return "draining";
    if (!this.#accepted && this.#links.some(({ connecting }) => connecting)) return "connecting";
    if (!this.#accepted) return this.#lastError === "" ? "disconnected" : "error";
    if (!this.#watch.state.ready) return "not_ready";
    return this.#work.inflight > 0 ? "connected_busy" : "connected_idle";
  }

  /** The module's id. */
  get module(): string {
    return this.#options.module;
  }

  /** Its private service. */
  get service(): BackendAdapter {
    return this.#options.service;
  }

  /** Its connection settings. */
  get brokers(): BrokerEndpoint[] {
    const { module, servers, headers = {}, ca, wire = wireOf } = this.#options;
    return servers.map(({ serverUrl: url, clientKey, proxy }) => ({
      module,
      url,
      clientKey,
      headers,
      ca,
      proxy,
      wire,
    }));
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
    const lastHeartbeat = Math.max(...this.#links.map(link => link.lastHeartbeat));
    return {
      state: this.state,
      connected_to_server: this.#accepted,
      connected_to_backend: backend.ready,
      current_jobs: this.#work.inflight,
      max_concurrency: this.#options.maxConcurrency,
      last_error: this.#lastError,
      last_heartbeat: lastHeartbeat === 0 ? null : new Date(lastHeartbeat).toISOString(),
      worker_id: this.id,
      worker_name: this.name,
      version: VERSION,
      agent_config: this.#report.facts,
      labels: backend.ready ? backend.models : [],
    };
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
    for (const link of this.#links) link.announce();
  }

  /** True while a broker has let this agent in. */
  get #accepted(): boolean {
    return this.#links.some(({ accepted }) => accepted);
  }

  #owner(): LinkOwner {
    const work = this.#work;
    return {
      registration: (version, clientKey) => this.#report.registration(version, clientKey),
      status: version => this.#report.status(version),
      draining: () => work.draining,
      freeSlots: () => (this.#sharesSlots ? this.#slots.free : undefined),
      modelCount: () => {
        const backend = this.#watch.state;
        return backend.ready ? backend.models.length : 0;
      },
      serve: (stream, head, link) => void this.#serve(stream, head, link),
      accepted: () => {
        this.#lastError = "";
        this.metrics.connected();
      },
      lost: reason => {
        this.#lastError = reason;
      },
      disconnected: stats => this.metrics.disconnected(stats),
    };
  }

  #servesDuringDrain({ version }: BrokerLink): boolean {
    // The other version of the wire carries nothing but calls.
    return this.#options.service.servesDuringDrain === true && version === 2;
  }

  /** True when several brokers send requests: none of them knows how many slots the others have taken. */
  get #sharesSlots(): boolean {
    return this.#links.length > 1;
  }

  async #serve(stream: Stream, head: RequestHead, link: BrokerLink): Promise<void> {
    const { service } = this.#options;
    const draining = this.#work.draining;
    if (draining && !this.#servesDuringDrain(link)) return stream.reset(new NfrxError("refused", "draining"));
    const wire = link.version ?? 2;
    if (wire === 2 && service.declares?.(head) === false) {
      this.#log.warn(
        { method: head.method, path: head.path },
        "rejecting a request for a path that this module does not serve",
      );
      return stream.reset(new NfrxError("not_found", "this agent does not serve the path"));
    }
    if (this.#sharesSlots && service.takesSlot?.(head) && !this.#slots.take(stream)) {
      link.slotRefused();
      return stream.reset(new NfrxError("refused", BUSY));
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
