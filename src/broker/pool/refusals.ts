// Why a request gets no slot.
import { NfrxError } from "../../lib/errors.ts";
import type { Clock } from "../../lib/time.ts";
import type { PoolSettings } from "../../modules/module.ts";
import { V1_REQUEST_BODY } from "../../protocol/limits.ts";
import type { Candidates } from "./candidates.ts";
import type { Registry } from "./registry.ts";
import { SCORE_ALIAS } from "./schedule.ts";
import type { SlotRequest } from "./slot.ts";

export class Refusals {
  readonly #startedAt: number;

  constructor(
    private readonly registry: Registry,
    private readonly candidates: Candidates,
    private readonly clock: Clock,
    private readonly settings: Pick<PoolSettings, "minScore">,
    /** Milliseconds after the start in which agents may still come back. */
    private readonly startGraceMs: number,
  ) {
    this.#startedAt = clock.now();
  }

  /** True while agents may still be on their way back to a broker that has just started. */
  get filling(): boolean {
    return this.clock.now() - this.#startedAt < this.startGraceMs;
  }

  /**
   * THE word for a model or a worker that is not here: one that was here within the last hour, or may have been before the
   * broker started, is expected back (503); another one is unknown (404).
   */
  absence(label: string | undefined, workerId?: string): NfrxError {
    const { registry } = this;
    const pinned = workerId === undefined ? undefined : registry.get(workerId);
    const expected =
      workerId === undefined
        ? label !== undefined && registry.expects(label, this.settings.minScore <= SCORE_ALIAS)
        : registry.expectsWorker(workerId);
    const message =
      workerId === undefined
        ? `no worker serves model ${label}`
        : `no worker ${workerId}${label === undefined ? "" : ` with model ${label}`}`;
    const param = workerId === undefined ? { param: "model" } : {};
    if (!expected && (pinned !== undefined || !this.filling)) {
      const others = label !== undefined && workerId === undefined ? this.whatIsThere : "";
      return new NfrxError("no_worker", message + others, param);
    }
    const why = expected ? "now" : "yet: the broker has just started";
    const retry = { temporary: true, retryAfterSeconds: RETRY_AFTER_S };
    return new NfrxError("no_worker", `${message} ${why}`, { ...param, ...retry });
  }

  /** The models that there are, for an error about an unknown one: NAMED_MODELS_MAX of them at most. */
  get whatIsThere(): string {
    const models = this.registry.models().map(({ id }) => id);
    if (models.length === 0) return "";
    const more = models.length - NAMED_MODELS_MAX;
    return `; available models: ${models.slice(0, NAMED_MODELS_MAX).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
  }

  /** The error for a request that no worker here can serve. */
  noWorker(slotRequest: SlotRequest): NfrxError {
    const { label, workerId } = slotRequest;
    if (slotRequest.large === "yes" && this.candidates.choose({ ...slotRequest, large: "maybe" }).kind !== "none")
      return new NfrxError(
        "too_large",
        `the request body exceeds the limit of the available workers, ${V1_REQUEST_BODY} bytes`,
      );
    if (this.candidates.lacksBackend(slotRequest)) {
      const which = label === undefined ? "" : ` with model ${label}`;
      return new NfrxError("no_worker", `no worker${which} has a backend that supports this API`, { param: "model" });
    }
    if (workerId !== undefined || label !== undefined) return this.absence(label, workerId);
    return new NfrxError("overloaded", "no worker", { retryAfterSeconds: RETRY_AFTER_S });
  }
}

export function busy(message: string): NfrxError {
  return new NfrxError("worker_busy", message, { retryAfterSeconds: RETRY_AFTER_S });
}

export function draining(): NfrxError {
  return new NfrxError("draining", "the broker is shutting down", { retryAfterSeconds: DRAIN_RETRY_AFTER_S });
}

/** Maximum number of models listed in the error for an unknown model. */
const NAMED_MODELS_MAX = 10;

/** Retry-After in seconds while the broker is shutting down: another one may have replaced it by then. */
const DRAIN_RETRY_AFTER_S = 10;

/** Retry-After of a rejected request, in seconds. */
const RETRY_AFTER_S = 5;
