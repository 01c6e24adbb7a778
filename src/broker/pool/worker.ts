import type { NfrxError } from "../../lib/errors.ts";
import { Facts } from "../../lib/trace.ts";
import type { Usage } from "../../modules/module.ts";
import { NAME_MAX } from "../../protocol/limits.ts";
import type { Link } from "../../protocol/link.ts";
import type { Register, StatusUpdate } from "../../protocol/messages.ts";

export type WorkerState = "idle" | "working" | "not_ready" | "draining" | "gone";

/** One connected agent of a worker module: what it said of itself and what the broker has counted of it. */
export class Worker {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly buildSha: string;
  readonly buildDate: string;
  models: ReadonlySet<string>;
  /** Requests it takes at once, by its own word. */
  #stated: number;
  batchSize: number;
  facts: Record<string, string>;
  draining = false;
  notReady = false;
  gone = false;

  /** Requests that hold a seat here. Changed by the pool alone. */
  inflight = 0;
  /** Questions about its tasks that are under way. Changed by the pool alone. */
  visits = 0;
  /** Turns that break ties: the one that was chosen longest ago goes first. */
  lastChosen = 0;

  hostCpuPercent: number | undefined;
  hostRamUsedPercent: number | undefined;
  readonly connectedAt: number;
  lastHeartbeat: number;
  readonly totals = { processed: 0, failed: 0, processingMs: 0, tokensIn: 0, tokensOut: 0, embeddings: 0 };
  lastError = "";
  /** What traces say of it. */
  readonly traced: Facts;

  constructor(
    readonly link: Link,
    register: Register,
    remote: string,
    wall: number,
    private readonly maxSeats = Number.POSITIVE_INFINITY,
  ) {
    const { worker_id: id, worker_name: name } = register;
    this.id = id || crypto.randomUUID();
    this.name = name || (id ? id.slice(0, 8) : remote).slice(0, NAME_MAX);
    this.version = register.version ?? "";
    this.buildSha = register.build_sha ?? "";
    this.buildDate = register.build_date ?? "";
    this.models = new Set(register.models ?? []);
    this.#stated = register.max_concurrency;
    this.facts = register.agent_config ?? {};
    this.batchSize = batchSizeOf(this.facts);
    this.traced = new Facts({ "nfrx.worker.id": this.id, "nfrx.worker.name": this.name });
    this.connectedAt = wall;
    this.lastHeartbeat = wall;
  }

  get maxConcurrency(): number {
    return Math.min(this.#stated, this.maxSeats);
  }

  /** Seats that could be given out now. */
  get free(): number {
    if (this.gone || this.draining || this.notReady || !this.link.routable) return 0;
    return Math.max(0, this.maxConcurrency - this.inflight);
  }

  /** True when the worker counts as serving its models, busy or not. */
  get present(): boolean {
    return !this.gone && !this.draining;
  }

  get state(): WorkerState {
    if (this.gone) return "gone";
    if (this.draining) return "draining";
    if (this.notReady || this.maxConcurrency === 0) return "not_ready";
    return this.inflight > 0 ? "working" : "idle";
  }

  /** Counts a request, or a part of one, that this worker has served or failed. A canceled one is nobody's failure. */
  credit(ms: number, error: NfrxError | undefined, usage: Usage | undefined, embeddings: number): void {
    const { totals } = this;
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
    this.notReady = status.status === "not_ready";
    if (status.models !== undefined) this.models = new Set(status.models);
    if (status.agent_config !== undefined) {
      this.facts = { ...this.facts, ...status.agent_config };
      this.batchSize = batchSizeOf(this.facts);
    }
  }
}

function batchSizeOf(facts: Record<string, string>): number {
  const size = Number(facts["embedding_batch_size"]);
  return Number.isInteger(size) && size > 0 ? size : 0;
}
