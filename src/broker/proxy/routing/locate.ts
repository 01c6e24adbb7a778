import { NfrxError } from "../../../lib/errors.ts";
import type { HeaderPairs } from "../../../lib/http.ts";
import { TopLevelScan } from "../../../lib/json-scan.ts";
import type { Span } from "../../../lib/trace.ts";
import type { WorkerRecord } from "../../pool/directory.ts";
import type { Pool } from "../../pool/pool.ts";
import { usualTurn } from "../../pool/queue.ts";
import { Attempt, type AttemptContext } from "../attempt.ts";

/** Maximum number of workers that get the same query. */
export const ASKED_MAX = 32;
/** Time in milliseconds for a worker to state whether it has the requested item. */
const LOCATE_MS = 2_000;

const OK = 200;

interface Asking {
  /** The request that causes the query. */
  id: string;
  caller: string;
  signal: AbortSignal;
  span: Span | undefined;
}

/**
 * Queries at most ASKED_MAX workers concurrently without slots for `id`: returns the first that responds to a GET of
 * `lookup` with an object of this ID within LOCATE_MS. Undefined if none does. Rejects when the client disconnects.
 */
export async function locate(
  workers: readonly WorkerRecord[],
  lookup: string,
  id: string,
  asking: Asking,
  context: AttemptContext & { pool: Pool },
): Promise<WorkerRecord | undefined> {
  if (!/^[\w.~:-]+$/.test(id) || /^\.+$/.test(id)) return undefined;
  const over = new AbortController();
  const timer = context.clock.after(LOCATE_MS, () => over.abort());
  const signal = AbortSignal.any([asking.signal, over.signal]);
  const path = lookup.replace(":id", id);
  const asked = workers.slice(0, ASKED_MAX).map(worker => has(worker, path, id, { ...asking, signal }, context));
  try {
    return await Promise.any(asked);
  } catch {
    if (asking.signal.aborted) throw new NfrxError("canceled", "the client disconnected");
    return undefined;
  } finally {
    timer.cancel();
    over.abort();
  }
}

/** Resolves to the worker when it has `id`, rejects otherwise. */
async function has(
  worker: WorkerRecord,
  path: string,
  id: string,
  { id: requestId, caller, signal, span }: Asking,
  context: AttemptContext & { pool: Pool },
): Promise<WorkerRecord> {
  const slot = await context.pool.acquire({
    label: undefined,
    workerId: worker.id,
    exemptFromSlots: true,
    turn: () => usualTurn(caller),
    signal,
  });
  const headers: HeaderPairs = [
    ["accept", "application/json"],
    ["cache-control", "no-store"],
    ["x-request-id", requestId],
  ];
  const attempt = new Attempt(slot, { method: "GET", path, headers }, context, { parent: span });
  const onAbort = (): void => attempt.giveUp(new NfrxError("canceled", "the worker is known, or the search timed out"));
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  try {
    const { stream } = attempt;
    stream.end();
    const head = attempt.answered(await stream.head());
    const scan = new TopLevelScan(ID);
    while (head.status === OK && !scan.complete) {
      const bytes = await stream.read();
      if (bytes === null) break;
      attempt.touch();
      scan.feed(bytes);
    }
    if (scan.values.get("id") === id) return worker;
    throw new NfrxError("not_found", "this worker does not have it");
  } finally {
    signal.removeEventListener("abort", onAbort);
    attempt.end();
  }
}

const ID = new Set(["id"]);
