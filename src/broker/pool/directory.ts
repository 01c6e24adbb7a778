// The workers of a pool and their models, as other parts of the broker see them.
import type { ModelDetails } from "../../lib/model-details.ts";
import type { Worker } from "./worker.ts";

/** The connected workers and their models, to read only. */
export interface Directory {
  /** Number of connected workers. */
  readonly size: number;
  /** The connected workers, or those that serve the model. */
  records(model?: string): readonly WorkerRecord[];
  get(workerId: string): WorkerRecord | undefined;
  has(workerId: string): boolean;
  /** True for a worker that has left within the last hour, or is about to leave. */
  expectsWorker(workerId: string): boolean;
  /** Every served model, sorted by name. */
  models(): readonly ListedModel[];
  /** True if a worker serves exactly this model. */
  serves(model: string): boolean;
  /** The name by which the model is listed: its own, or at Ollama its other one. */
  listedAs(model: string): string | undefined;
  /** The name by which metrics count requests for the model: as it is listed, or the name that its quantizations share. */
  servedAs(model: string): string | undefined;
  /** True if no worker serves the model, or anything if it is undefined, but one did recently. */
  brieflyAway(model: string | undefined): boolean;
  /** Calls the listener after every change of the workers or their models, until the signal aborts. */
  onChanged(listener: (change: DirectoryChange) => void, signal?: AbortSignal): void;
}

/** A worker connected, changed its report, or left. A newer connection of the same worker replaces the older: it leaves. */
export interface DirectoryChange {
  readonly kind: "join" | "change" | "leave";
  readonly worker: WorkerRecord;
}

type RecordField =
  | "id"
  | "name"
  | "version"
  | "buildSha"
  | "buildDate"
  | "wire"
  | "connectedAt"
  | "lastHeartbeat"
  | "lastError"
  | "hostInfo"
  | "hostCpuPercent"
  | "hostRamUsedPercent"
  | "backend"
  | "batchSize"
  | "tokenDigest"
  | "asksToBeOpen"
  | "models"
  | "details"
  | "state"
  | "present"
  | "ready"
  | "available"
  | "resting"
  | "drainedByOperator"
  | "maxConcurrency"
  | "inflight"
  | "slotExempt";

/** A worker's report and counters, to read only. */
export interface WorkerRecord extends Readonly<Pick<Worker, RecordField>> {
  readonly facts: Readonly<Record<string, string>>;
  readonly totals: Readonly<Worker["totals"]>;
  readonly rates: Pick<Worker["rates"], "view">;
}

/** A model that workers serve. */
export interface ListedModel {
  readonly id: string;
  /** The names of its workers, sorted. */
  readonly owners: readonly string[];
  readonly workerIds: string[];
  /** Milliseconds since 1970. */
  readonly firstSeen: number;
  /** The model's details from its backends; if they differ, the minimum. */
  readonly details: ModelDetails;
}

/** Several directories, for questions about all of them. */
export class JoinedDirectory implements Pick<Directory, "servedAs" | "has"> {
  readonly #directories: Directory[] = [];

  add(directory: Directory): void {
    this.#directories.push(directory);
  }

  servedAs(model: string): string | undefined {
    for (const directory of this.#directories) {
      const served = directory.servedAs(model);
      if (served !== undefined) return served;
    }
    return undefined;
  }

  has(workerId: string): boolean {
    return this.#directories.some(directory => directory.has(workerId));
  }
}
