import { BoundedMap } from "../../lib/bounded-map.ts";
import type { ModelDetails } from "../../lib/model-details.ts";
import type { Clock, Timer } from "../../lib/time.ts";
import type { Directory, DirectoryChange, ListedModel } from "./directory.ts";
import { REMEMBERED_MODELS, REMEMBERED_OFFERS, SEEN_MAX, SEEN_MS } from "./limits.ts";
import { aliasOf, latestOf } from "./names.ts";
import { type Offer, SCORE_ALIAS, SCORE_EXACT } from "./schedule.ts";
import type { Worker } from "./worker.ts";

/** The connected workers, and their models. */
export class Registry implements Directory {
  readonly #workers = new Map<string, Worker>();
  readonly #byModel = new Map<string, Set<Worker>>();
  readonly #byAlias = new Map<string, Set<Worker>>();
  /** Unix milliseconds at which a model was first seen. */
  readonly #firstSeen = new BoundedMap<number>(REMEMBERED_MODELS);
  /** Until when a model without a worker counts as briefly away. */
  readonly #away = new Map<string, Timer>();
  /** Cached candidates per label, until a worker connects, changes or leaves. */
  readonly #offers = new BoundedMap<readonly Offer<Worker>[]>(REMEMBERED_OFFERS);
  readonly #exactOffers = new BoundedMap<readonly Offer<Worker>[]>(REMEMBERED_OFFERS);
  /** Names of departed models and workers that are expected to return. */
  readonly #modelsSeen: BoundedMap<true>;
  readonly #workersSeen: BoundedMap<true>;
  readonly #listeners = new Set<(change: DirectoryChange) => void>();

  constructor(
    private readonly clock: Clock,
    private readonly graceMs: number,
    /** Called when a model that was briefly away counts as gone. */
    private readonly onGone: () => void,
  ) {
    this.#modelsSeen = new BoundedMap(SEEN_MAX, { clock, ms: SEEN_MS });
    this.#workersSeen = new BoundedMap(SEEN_MAX, { clock, ms: SEEN_MS });
  }

  get workers(): IterableIterator<Worker> {
    return this.#workers.values();
  }

  get size(): number {
    return this.#workers.size;
  }

  get(id: string): Worker | undefined {
    return this.#workers.get(id);
  }

  has(id: string): boolean {
    return this.#workers.has(id);
  }

  records(model?: string): Worker[] {
    return model === undefined ? [...this.#workers.values()] : this.offers(model).map(({ worker }) => worker);
  }

  onChanged(listener: (change: DirectoryChange) => void, signal?: AbortSignal): void {
    if (signal?.aborted) return;
    this.#listeners.add(listener);
    signal?.addEventListener("abort", () => this.#listeners.delete(listener), { once: true });
  }

  /** Takes a worker in; returns the older connection of the same id, which is out from now on. */
  add(worker: Worker): Worker | undefined {
    const older = this.#workers.get(worker.id);
    if (older !== undefined) this.#unlist(older);
    this.#workers.set(worker.id, worker);
    this.#list(worker);
    if (older !== undefined) this.#leave(older);
    // One that comes before its backend is ready may serve in a moment.
    if (!worker.serving) this.#leave(worker);
    if (older !== undefined) this.#changed("leave", older);
    this.#changed("join", worker);
    return older;
  }

  /** Lets a worker go. Harmless when a newer connection has taken its place. */
  remove(worker: Worker): void {
    if (this.#workers.get(worker.id) !== worker) return;
    this.#workers.delete(worker.id);
    this.#unlist(worker);
    this.#workersSeen.set(worker.id, true);
    for (const model of worker.models) {
      this.#modelsSeen.set(model, true);
      const alias = aliasOf(model);
      if (alias !== undefined) this.#modelsSeen.set(ALIAS + alias, true);
    }
    this.#leave(worker);
    this.#changed("leave", worker);
  }

  /** Updates a worker and its models. */
  update(worker: Worker, change: () => void): void {
    if (this.#workers.get(worker.id) !== worker) return change();
    const before = worker.models;
    this.#unlist(worker);
    change();
    this.#list(worker);
    if (!worker.serving) this.#leave(worker);
    else this.#leave({ models: new Set([...before].filter(model => !worker.models.has(model))) });
    this.#changed("change", worker);
  }

  /**
   * The workers that serve the label, with scores; every worker when there is none. Another quantization counts only where
   * no connected worker has the model itself, and not at all when the label is meant `exactly`.
   */
  offers(label: string | undefined, exactly = false): readonly Offer<Worker>[] {
    if (label === undefined) return this.#offersOfAll();
    const memo = exactly ? this.#exactOffers : this.#offers;
    const known = memo.get(label);
    if (known !== undefined) return known;
    const offers = this.#offersOf(label, exactly);
    memo.set(label, offers);
    return offers;
  }

  #offersOfAll(): Offer<Worker>[] {
    return Array.from(this.#workers.values(), worker => ({ worker, score: SCORE_EXACT }));
  }

  #offersOf(label: string, exactly: boolean): Offer<Worker>[] {
    const offers: Offer<Worker>[] = [];
    const exact = this.#byModel.get(label);
    if (exact !== undefined) for (const worker of exact) offers.push({ worker, score: SCORE_EXACT });
    const other = latestOf(label);
    const same = other === undefined ? undefined : this.#byModel.get(other);
    if (same !== undefined)
      for (const worker of same)
        if (!exact?.has(worker) && worker.knowsAs(label)) offers.push({ worker, score: SCORE_EXACT });
    if (exactly || offers.length > 0) return offers;
    const alias = aliasOf(label);
    const family = alias === undefined ? undefined : this.#byAlias.get(alias);
    if (family !== undefined) for (const worker of family) offers.push({ worker, score: SCORE_ALIAS });
    return offers;
  }

  /** True if no worker serves the label but one did recently. */
  brieflyAway(label: string | undefined, exactly = false): boolean {
    if (label === undefined) return this.#away.size > 0;
    if (this.#away.has(label) || this.#away.has(latestOf(label) ?? label)) return true;
    const alias = exactly ? undefined : aliasOf(label);
    if (alias === undefined) return false;
    for (const model of this.#away.keys()) if (aliasOf(model) === alias) return true;
    return false;
  }

  /** True for a model whose workers have left within the last hour, or are about to leave; `aliases` count as well. */
  expects(model: string, aliases: boolean): boolean {
    for (const name of [model, latestOf(model) ?? model])
      if (this.#byModel.has(name) || this.#modelsSeen.has(name)) return true;
    const alias = aliases ? aliasOf(model) : undefined;
    return alias !== undefined && this.#modelsSeen.has(ALIAS + alias);
  }

  expectsWorker(id: string): boolean {
    const worker = this.#workers.get(id);
    return worker === undefined ? this.#workersSeen.has(id) : !worker.present;
  }

  models(): ListedModel[] {
    const models: ListedModel[] = [];
    for (const [id, workers] of this.#byModel) {
      const serving = [...workers].filter(worker => worker.serving);
      if (serving.length === 0) continue;
      models.push({
        id,
        owners: serving.map(worker => worker.name).sort(),
        workerIds: serving.map(worker => worker.id),
        firstSeen: this.#firstSeen.get(id) ?? 0,
        details: merged(serving.map(worker => worker.details.get(id))),
      });
    }
    return models.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  serves(model: string): boolean {
    return this.#byModel.has(model);
  }

  listedAs(model: string): string | undefined {
    if (this.#byModel.has(model)) return model;
    const other = latestOf(model);
    const same = other === undefined ? undefined : this.#byModel.get(other);
    return same !== undefined && [...same].some(worker => worker.knowsAs(model)) ? other : undefined;
  }

  servedAs(model: string): string | undefined {
    const listed = this.listedAs(model);
    if (listed !== undefined) return listed;
    const alias = aliasOf(model);
    return alias !== undefined && this.#byAlias.has(alias) ? alias : undefined;
  }

  /** Stops the clocks of the models that are away. */
  close(): void {
    for (const timer of this.#away.values()) timer.cancel();
    this.#away.clear();
  }

  #changed(kind: DirectoryChange["kind"], worker: Worker): void {
    for (const listener of this.#listeners) listener({ kind, worker });
  }

  #list(worker: Worker): void {
    this.#forgetOffers();
    for (const model of worker.models) {
      join(this.#byModel, model, worker);
      const alias = aliasOf(model);
      if (alias !== undefined) join(this.#byAlias, alias, worker);
      if (!this.#firstSeen.has(model)) this.#firstSeen.set(model, this.clock.wall());
      if (worker.serving) this.#back(model);
    }
    if (worker.serving) this.#back(ANY);
  }

  #unlist(worker: Worker): void {
    this.#forgetOffers();
    for (const model of worker.models) {
      part(this.#byModel, model, worker);
      const alias = aliasOf(model);
      if (alias !== undefined) part(this.#byAlias, alias, worker);
    }
  }

  #forgetOffers(): void {
    this.#offers.clear();
    this.#exactOffers.clear();
  }

  /** Starts the grace of every model that lost its last worker with this one. */
  #leave(worker: { models: ReadonlySet<string> }): void {
    if (this.graceMs <= 0) return;
    for (const model of worker.models) if (!this.#isServed(model)) this.#depart(model);
    if (![...this.#workers.values()].some(other => other.serving)) this.#depart(ANY);
  }

  #depart(model: string): void {
    if (this.#away.has(model)) return;
    const timer = this.clock.after(
      this.graceMs,
      () => {
        this.#away.delete(model);
        this.onGone();
      },
      true,
    );
    this.#away.set(model, timer);
  }

  #back(model: string): void {
    this.#away.get(model)?.cancel();
    this.#away.delete(model);
  }

  #isServed(model: string): boolean {
    for (const worker of this.#byModel.get(model) ?? []) if (worker.serving) return true;
    return false;
  }
}

function merged(all: readonly (ModelDetails | undefined)[]): ModelDetails {
  const [first, ...more] = all.filter(details => details !== undefined);
  if (first === undefined || more.length === 0) return first ?? {};
  const least: Record<string, number> = {};
  for (const details of [first, ...more])
    for (const [field, value] of Object.entries(details)) least[field] = Math.min(value, least[field] ?? value);
  return least;
}

/** Stands for "any worker" among the models that are away; no model is called so, since names hold no control characters. */
const ANY = "\u0000any";
/** Prefix of aliases among the seen models. */
const ALIAS = "\u0000alias ";

function join(index: Map<string, Set<Worker>>, key: string, worker: Worker): void {
  const set = index.get(key);
  if (set === undefined) index.set(key, new Set([worker]));
  else set.add(worker);
}

function part(index: Map<string, Set<Worker>>, key: string, worker: Worker): void {
  const set = index.get(key);
  if (set?.delete(worker) && set.size === 0) index.delete(key);
}
