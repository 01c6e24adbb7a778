// One question to every worker, one answer out of theirs.
import { NfrxError, toNfrxError } from "../../../lib/errors.ts";
import { NOSNIFF } from "../../../lib/response-headers.ts";
import type { Gather } from "../../../modules/module.ts";
import { mayHave } from "../../pool/backend-routes.ts";
import type { WorkerRecord } from "../../pool/directory.ts";
import type { Exchange, ExchangeContext } from "../exchange.ts";
import { ASKED_MAX } from "../routing/locate.ts";
import { askWhole } from "./ask.ts";

/** Timeout of a query that goes to all workers, in milliseconds. */
const GATHER_MS = 2_000;
/** Maximum response of one worker to such a query, in bytes. */
const GATHER_ANSWER_BYTES = 4 * 1024 * 1024;

const OK = 200;

type Items = ReadonlyMap<string, unknown>;

/**
 * Queries at most ASKED_MAX ready workers concurrently without slots, and merges the responses that arrive within
 * GATHER_MS from workers with this route. Without workers the result is empty. Rejects if there are workers and none of
 * them could respond.
 */
export async function runGather(gather: Gather, exchange: Exchange, context: ExchangeContext): Promise<Response> {
  const { needs } = exchange.request.endpoint;
  const ready = context.pool.directory
    .records()
    .filter(worker => worker.available && (needs === undefined || mayHave(worker.backend, needs)));
  const workers = ready.slice(0, ASKED_MAX);
  const answers = await Promise.allSettled(workers.map(worker => ask(worker, gather, exchange, context)));
  const good = answers.filter(answer => answer.status === "fulfilled").flatMap(({ value }) => [...value]);
  const failed = answers.find(answer => answer.status === "rejected");
  if (failed !== undefined && answers.every(answer => answer === failed || answer.status === "rejected"))
    throw toNfrxError(failed.reason);
  const body = gather.merge(new Map(allowed(good, gather, exchange)));
  const { access } = exchange.request;
  const answered = workers.filter((_, at) => answers[at]?.status === "fulfilled");
  access.workerId = answered.map(({ id }) => id).join(",");
  access.bytesOut = body.length;
  exchange.status = OK;
  return new Response(body as Uint8Array<ArrayBuffer>, {
    headers: { "content-type": "application/json", "x-request-id": exchange.request.id, [NOSNIFF[0]]: NOSNIFF[1] },
  });
}

async function ask(worker: WorkerRecord, gather: Gather, exchange: Exchange, context: ExchangeContext): Promise<Items> {
  const { endpoint, target, headers, signal, access } = exchange.request;
  const slot = await context.pool.acquire({ ...exchange.slotRequest, workerId: worker.id });
  exchange.slotAcquired(slot);
  let length = 0;
  const timeout = new AbortController();
  const timer = context.clock.after(GATHER_MS, () => timeout.abort());
  const answer = await askWhole(
    {
      slot,
      head: { method: endpoint.method, path: target, headers },
      signal: AbortSignal.any([signal, timeout.signal]),
      parent: access.span,
      onHead: head => exchange.answered(head),
      onBytes: more => {
        length += more;
        if (length > GATHER_ANSWER_BYTES)
          throw new NfrxError("upstream_error", `the response of ${worker.name} exceeds ${GATHER_ANSWER_BYTES} bytes`);
      },
    },
    context,
  )
    .catch((error: unknown) => {
      if (!timeout.signal.aborted) throw error;
      throw new NfrxError("timeout", `${worker.name} did not respond within ${GATHER_MS / 1000} seconds`);
    })
    .finally(() => timer.cancel());
  if (answer.head.status !== OK)
    throw new NfrxError("not_found", `no backend has this route: one responded with status ${answer.head.status}`);
  try {
    return gather.parse(answer.body);
  } catch (cause) {
    throw new NfrxError("upstream_error", `${worker.name} sent an unexpected response`, { cause });
  }
}

/** The items that the caller's key allows, where they are models. */
function allowed<T>(items: readonly (readonly [string, T])[], gather: Gather, { request }: Exchange) {
  const { key } = request;
  return gather.namesModels && key !== undefined ? items.filter(([name]) => key.allowsModel(name)) : items;
}
