// Which workers could serve a request, and which is best now.
import type { PoolSettings } from "../../modules/module.ts";
import { V1_REQUEST_BODY } from "../../protocol/limits.ts";
import { mayHave } from "./backend-routes.ts";
import type { Registry } from "./registry.ts";
import { type Choice, choose, type Offer } from "./schedule.ts";
import type { SlotRequest } from "./slot.ts";
import type { Worker } from "./worker.ts";

export class Candidates {
  constructor(
    private readonly registry: Registry,
    private readonly settings: Pick<PoolSettings, "minScore">,
  ) {}

  /** The best worker with a free slot. */
  choose(slotRequest: SlotRequest): Choice<Worker> {
    const { label, workerId, endpoint } = slotRequest;
    const offers = this.offers(slotRequest);
    const { minScore } = this.settings;
    const able = slotRequest.large ? offers.filter(offer => offer.worker.upstream.maxBody > V1_REQUEST_BODY) : offers;
    let choice = choose(able, minScore, slotRequest.excluded);
    if (choice.kind === "none" && slotRequest.large === "maybe")
      choice = choose(offers, minScore, slotRequest.excluded);
    if (choice.kind !== "none" || workerId !== undefined) return choice;
    return this.registry.brieflyAway(label, endpoint?.exact) ? { kind: "busy" } : choice;
  }

  /**
   * The workers that could do it. One whose backend does not have the route, by its own answer, is left out while there is
   * another; who is asked for by id is asked.
   */
  offers({ label, workerId, endpoint }: SlotRequest): readonly Offer<Worker>[] {
    const all = this.registry.offers(label, endpoint?.exact);
    if (workerId !== undefined) return all.filter(offer => offer.worker.id === workerId);
    if (endpoint === undefined) return all;
    const { needs } = endpoint;
    const able = needs === undefined ? all : all.filter(({ worker }) => mayHave(worker.backend, needs));
    if (able.every(({ worker }) => worker.missing.size === 0)) return able;
    const name = routeName(endpoint);
    const having = able.filter(({ worker }) => !worker.missing.has(name));
    return having.length > 0 ? having : able;
  }

  /** The workers that could take a request which is exempt from slots. */
  exempt({ label, workerId, excluded, servesDuringDrain }: SlotRequest): Worker[] {
    return this.registry
      .offers(label)
      .map(offer => offer.worker)
      .filter(
        worker =>
          (workerId === undefined || worker.id === workerId) &&
          (worker.present || (servesDuringDrain && !worker.gone)) &&
          worker.upstream.routable &&
          !excluded?.has(worker.connectionId),
      );
  }

  /** Notes that a worker's backend does not have a route. True when another one may have it, now or when it is free. */
  lacksRoute(worker: Worker, slotRequest: SlotRequest): boolean {
    const { endpoint, excluded } = slotRequest;
    if (endpoint === undefined) return false;
    const name = routeName(endpoint);
    worker.missing.set(name, true);
    return this.offers(slotRequest).some(
      ({ worker: other }) => other.serving && !excluded?.has(other.connectionId) && !other.missing.has(name),
    );
  }

  /** True if workers serve the request's model, but none of their backends can have the route. */
  lacksBackend({ label, workerId, endpoint }: SlotRequest): boolean {
    const needs = endpoint?.needs;
    if (needs === undefined || workerId !== undefined) return false;
    const offers = this.registry.offers(label, endpoint?.exact);
    return offers.length > 0 && !offers.some(({ worker }) => mayHave(worker.backend, needs));
  }
}

/** The name of a route among those that a backend may lack. */
function routeName({ method, backendPath }: NonNullable<SlotRequest["endpoint"]>): string {
  return `${method} ${backendPath}`;
}
