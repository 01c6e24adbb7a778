// Operator actions.
import { NfrxError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Principal } from "../../modules/route.ts";
import type { WorkerStatus } from "../../modules/state.ts";
import { CLOSE_RESTART } from "../../protocol/limits.ts";
import type { Pool } from "../pool/pool.ts";
import type { Worker } from "../pool/worker.ts";

/** The operator actions on a worker. */
export const OPERATOR_ACTIONS = ["drain", "undrain", "disconnect"] as const;
export type OperatorAction = (typeof OPERATOR_ACTIONS)[number];

/** The operator actions of a broker. Callers are authenticated before. */
export class Operator {
  constructor(
    /** Those of the worker modules and of the relays. */
    private readonly pools: readonly Pool[],
    private readonly log: Logger,
  ) {}

  /**
   * Applies an action to the workers of a handle; returns their new status. Throws `not_found` for an unknown module or
   * worker.
   */
  act(
    principal: Principal,
    moduleId: string,
    handle: string,
    action: OperatorAction,
  ): { id: string; status: WorkerStatus } {
    const pool = this.pools.find(other => other.moduleId === moduleId);
    if (pool === undefined) throw new NfrxError("not_found", "unknown module", { param: "module" });
    const workers = pool.named(handle);
    // A disconnected worker can be undrained.
    if (workers.length === 0 && !(action === "undrain" && pool.drains(handle)))
      throw new NfrxError("not_found", "unknown worker", { param: "id" });
    ACTIONS[action](pool, handle, workers);
    const status = action === "disconnect" ? "gone" : (pool.named(handle)[0]?.state ?? "gone");
    this.log.info(
      { module: moduleId, worker_id: handle, action, status, operator: principal.credential },
      "operator action",
    );
    return { id: handle, status };
  }
}

const ACTIONS: Readonly<Record<OperatorAction, (pool: Pool, handle: string, workers: Worker[]) => void>> = {
  drain: (pool, handle) => pool.drain(handle, true),
  undrain: (pool, handle) => pool.drain(handle, false),
  disconnect: (_pool, _handle, workers) => {
    for (const worker of workers) worker.upstream.close(CLOSE_RESTART, "disconnected by an operator");
  },
};
