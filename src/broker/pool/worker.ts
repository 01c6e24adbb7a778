import { BoundedMap } from "../../lib/bounded-map.ts";
import type { NfrxError } from "../../lib/errors.ts";
import type { ModelDetails } from "../../lib/model-details.ts";
import type { Clock } from "../../lib/time.ts";
import { SpanAttributes } from "../../lib/trace.ts";
import type { Usage } from "../../modules/module.ts";
import type { WorkerStatus, WorkerView } from "../../modules/state.ts";
import { NAME_MAX } from "../../protocol/limits.ts";
import type { Register, StatusUpdate } from "../../protocol/messages.ts";
import type { BackendFacts } from "./backend-routes.ts";
import { Health } from "./health.ts";
import { MISSING_ROUTE_MS, MISSING_ROUTES_MAX } from "./limits.ts";
import { aliasOf, latestOf } from "./names.ts";
import { Rates } from "./recent.ts";
import type { Upstream } from "./upstream.ts";

/** Time in milliseconds after a backend failure within which the loss of its machine is attributed to that failure. */
const BACKEND_LOSS_MS = 10_000;

const OLLAMA = "ollama";

/** One connected agent of a worker module: its report and the broker's counters. */
export class Worker {
  readonly id: string;
  /** Another one for each connection of the same agent. */
  readonly connectionId = crypto.randomUUID();
  readonly name: string;
  readonly upstream: Upstream;
  /** The wire version of its connection. */
  readonly wire: 1 | 2;
  readonly version: string;
  readonly buildSha: string;
  readonly buildDate: string;
  /** SHA-256 digest of the token of this relay's callers; undefined if it has none. */
  readonly tokenDigest: Uint8Array | undefined;
  /** A relay that wants to be called without credentials. */
  readonly asksToBeOpen: boolean;
  models: ReadonlySet<string>;
  /** Details of models from its backend. */
  details: ReadonlyMap<string, ModelDetails>;
  /** Its reported concurrency. */
  #stated: number;
  #backendFailedAt = Number.NEGATIVE_INFINITY;
  /** Slots that other brokers have taken, as far as its agent has said. */
  #takenElsewhere = 0;
  batchSize: number;
  facts: Record<string, string>;
  /** It drains of its own will. */
  draining = false;
  /** Drained by an operator, whatever it reports. Changed only by the pool. */
  drainedByOperator = false;
  notReady = false;
  gone = false;

  /** Slots in use. Changed only by the pool. */
  inflight = 0;
  /** Running requests about its tasks. Changed only by the pool. */
  slotExempt = 0;
  /** Turns that break ties: the one that was chosen longest ago goes first. */
  lastChosen = 0;

  hostCpuPercent: number | undefined;
  hostRamUsedPercent: number | undefined;
  readonly connectedAt: number;
  lastHeartbeat: number;
  readonly totals = { processed: 0, failed: 0, processingMs: 0, tokensIn: 0, tokensOut: 0, embeddings: 0 };
  lastError = "";
  /** Its health, from its responses. */
  readonly health = new Health();
  /** Routes that its backend does not have, by its own answers. */
  readonly missing: BoundedMap<true>;
  readonly rates: Rates;
  /** Its trace attributes. */
  readonly traced: SpanAttributes;

  constructor(
    upstream: Upstream & { readonly version: 1 | 2 },
    register: Register,
    /** The address that it connected from. */
    readonly remote: string,
    private readonly clock: Pick<Clock, "now" | "wall">,
    private readonly maxSlots = Number.POSITIVE_INFINITY,
  ) {
    this.upstream = upstream;
    this.wire = upstream.version;
    const { worker_id: id, worker_name: name } = register;
    this.id = id || crypto.randomUUID();
    this.name = name || (id ? id.slice(0, 8) : remote).slice(0, NAME_MAX);
    this.version = register.version ?? "";
    this.buildSha = register.build_sha ?? "";
    this.buildDate = register.build_date ?? "";
    const { auth_token_sha256: token } = register;
    this.tokenDigest = token === undefined ? undefined : new Uint8Array(Buffer.from(token, "hex"));
    this.asksToBeOpen = register.open === true;
    this.models = new Set(register.models ?? []);
    this.details = register.model_details ?? new Map();
    this.#stated = register.max_concurrency;
    this.facts = register.agent_config ?? {};
    this.batchSize = batchSizeOf(this.facts);
    this.missing = new BoundedMap(MISSING_ROUTES_MAX, { clock, ms: MISSING_ROUTE_MS });
    this.connectedAt = clock.wall();
    this.lastHeartbeat = this.connectedAt;
    this.rates = new Rates(clock.now());
    this.traced = new SpanAttributes({ "nfrx.worker.id": this.id, "nfrx.worker.name": this.name });
  }

  get maxConcurrency(): number {
    return Math.min(this.#stated, this.maxSlots);
  }

  /** Available slots. */
  get free(): number {
    if (!this.available) return 0;
    return Math.max(0, this.maxConcurrency - this.inflight - this.#takenElsewhere);
  }

  /** Its agent reports how many of its slots are free, of all its brokers together. */
  reportFree(free: number): void {
    this.#takenElsewhere = Math.max(0, this.maxConcurrency - this.inflight - free);
  }

  /** Its agent refused a request as busy that still counts here: other brokers have the rest of its slots. */
  refusedAsBusy(): void {
    this.#takenElsewhere = Math.max(0, this.maxConcurrency - this.inflight + 1);
  }

  /** Forgets what other brokers have: a report may have been lost, and the next request finds out. */
  forgetTaken(): void {
    this.#takenElsewhere = 0;
  }

  /** True while the worker is here and does not drain. */
  get present(): boolean {
    return !this.gone && !this.draining && !this.drainedByOperator;
  }

  /** True while it reports that its backend is reachable. */
  get ready(): boolean {
    return !this.notReady && this.maxConcurrency > 0;
  }

  /** True when the worker counts as serving its models, busy or not. */
  get serving(): boolean {
    return this.present && this.ready;
  }

  /** True while it serves and its connection is alive. */
  get available(): boolean {
    return this.serving && this.upstream.routable;
  }

  /** Its agent gave a request up because the backend took it and died. */
  backendFailed(): void {
    this.#backendFailedAt = this.clock.now();
  }

  /** True if its agent reports that the backend is unavailable, or reported it recently for a request. */
  get hasLostBackend(): boolean {
    return this.notReady || this.clock.now() - this.#backendFailedAt < BACKEND_LOSS_MS;
  }

  /** True while other workers come first, because this one has failed lately. */
  get resting(): boolean {
    return !this.health.sound && this.health.rests(this.clock.now());
  }

  get state(): WorkerStatus {
    if (this.gone) return "gone";
    if (!this.present) return "draining";
    if (!this.ready) return "not_ready";
    return this.inflight > 0 ? "working" : "idle";
  }

  /** The backend as reported by the agent; a 0.9 agent may not report it. */
  get backend(): BackendFacts {
    const { backend_family: family, backend_version: version } = this.facts;
    return { family, version, complete: this.wire === 2 };
  }

  /** True when its backend takes the model by this name: the one that it lists, or at Ollama the same without `:latest`. */
  knowsAs(model: string): boolean {
    if (this.models.has(model)) return true;
    const other = latestOf(model);
    if (other === undefined || !this.models.has(other)) return false;
    const { family } = this.backend;
    // An older agent may not report its backend; only Ollama lists a model with this tag.
    return family === OLLAMA || (family === undefined && other.length > model.length);
  }

  /** The backend's name of a model that it serves. */
  nameOf(model: string): string {
    if (this.models.has(model)) return model;
    const other = latestOf(model);
    if (other !== undefined && this.models.has(other)) return this.backend.family === OLLAMA ? model : other;
    const alias = aliasOf(model);
    if (alias === undefined || this.models.has(alias)) return alias ?? model;
    for (const own of this.models) if (aliasOf(own) === alias) return own;
    return model;
  }

  /** Reported host information; empty fields are unknown. */
  get hostInfo(): WorkerView["host_info"] {
    const { facts } = this;
    return {
      hostname: facts["hostname"] ?? "",
      os_name: facts["os_name"] ?? "",
      os_version: facts["os_version"] ?? "",
      worker_version: this.version,
      backend_version: facts["backend_version"] ?? "",
      backend_family: facts["backend_family"] ?? "",
    };
  }

  /** Counts a request, or a part of one, that this worker served or failed. A canceled one is not a failure. */
  recordUsage(
    now: number,
    ms: number,
    error: NfrxError | undefined,
    usage: Usage | undefined,
    embeddings: number,
  ): void {
    const { totals } = this;
    this.rates.add(now, usage, embeddings);
    totals.processed++;
    totals.processingMs += ms;
    totals.embeddings += embeddings;
    if (usage !== undefined) {
      totals.tokensIn += usage.in;
      totals.tokensOut += usage.out;
    }
    if (error === undefined || error.code === "canceled") return;
    totals.failed++;
    this.lastError = error.message;
  }

  update(status: StatusUpdate): void {
    this.#stated = status.max_concurrency;
    this.draining = status.status === "draining";
    const wasAway = this.notReady;
    this.notReady = status.status === "not_ready";
    if (status.models !== undefined) {
      this.models = new Set(status.models);
      this.details = status.model_details ?? new Map();
    }
    const version = status.agent_config?.["backend_version"];
    // It may have been replaced meanwhile.
    if ((wasAway && !this.notReady) || (version !== undefined && version !== this.backend.version))
      this.missing.clear();
    if (status.agent_config !== undefined) {
      this.facts = status.agent_config;
      this.batchSize = batchSizeOf(this.facts);
    }
  }
}

function batchSizeOf(facts: Record<string, string>): number {
  const size = Number(facts["embedding_batch_size"]);
  return Number.isInteger(size) && size > 0 ? size : 0;
}
