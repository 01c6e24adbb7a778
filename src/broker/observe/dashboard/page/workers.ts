// The tables of a worker module: its workers, its models, its queue.
import { badge, type CellRenderer, list, longText, meter, text, twoLines } from "./cells.ts";
import { button, setText, wrap } from "./element.ts";
import { age, count, duration, rate } from "./format.ts";
import type { Action, OperatorPanel, Target } from "./operator.ts";
import type { HostInfo, ModelState, WaitingState, WorkerState } from "./state.ts";
import { type Column, Table } from "./table.ts";

/** A worker with the time of the state that it stands in. */
export type WorkerRow = WorkerState & { now: number };

/** The system that a worker runs on, in one line. */
export function systemOf({ os_name = "", os_version = "" }: HostInfo = {}): string {
  return [os_name, os_version].filter(part => part !== "").join(" ");
}

/** The buttons of a row; `targetOf` answers undefined where there is nothing to be done. */
export function actions<R>(
  operator: OperatorPanel,
  targetOf: (row: R) => (Target & { drained: boolean }) | undefined,
): CellRenderer<R> {
  return cell => {
    let target: ReturnType<typeof targetOf>;
    const press = (action: Action) => (): void => {
      if (target !== undefined) operator.ask(action, target);
    };
    const drain = button("quiet", "Drain", () => press(target?.drained ? "undrain" : "drain")());
    const cut = button("quiet danger", "Disconnect", press("disconnect"));
    const both = cell.appendChild(wrap("div", "actions", drain, cut));
    return row => {
      target = targetOf(row);
      both.hidden = target === undefined;
      if (target === undefined) return;
      setText(drain, target.drained ? "Undrain" : "Drain");
      drain.ariaLabel = `${drain.textContent} ${target.name}`;
      cut.ariaLabel = `Disconnect ${target.name}`;
    };
  };
}

function total(
  title: string,
  read: (worker: WorkerRow) => number,
  perSecond: (worker: WorkerRow) => number | undefined,
): Column<WorkerRow> {
  return {
    title,
    number: true,
    value: read,
    cell: twoLines(
      worker => count(read(worker)),
      worker => {
        const now = perSecond(worker) ?? 0;
        return now > 0 ? `${rate(now)}/s` : "";
      },
      "minor live",
    ),
  };
}

const embeddingsOf = (worker: WorkerState): number => worker.embeddings_total ?? 0;
const speaksTokens = (rows: readonly WorkerState[]): boolean =>
  rows.some(worker => worker.input_tokens_total + worker.output_tokens_total > 0);

/** Time of the last heartbeat, operator actions, and recent failures. */
function lifeOf({ status, drained_by_operator, resting, disconnected_at, last_heartbeat, now }: WorkerRow): string {
  const seenAgo = age(disconnected_at ?? last_heartbeat, now);
  if (resting && status !== "gone") return `paused after failures · ${seenAgo}`;
  return drained_by_operator && status !== "gone" ? `by operator · ${seenAgo}` : seenAgo;
}

/** The workers of a module. */
export function workersTable(module: string, operator: OperatorPanel, empty: Node): Table<WorkerRow> {
  const tokens = (rows: readonly WorkerState[]): boolean => module === "llm" || speaksTokens(rows);
  const columns: Column<WorkerRow>[] = [
    {
      title: "Worker",
      value: ({ name }) => name,
      words: ({ id }) => [id],
      cell: twoLines(
        ({ name, id }) => name || id,
        ({ name, id }) => (id === name ? "" : id),
        "minor id",
      ),
    },
    {
      title: "Status",
      value: ({ status }) => status.replaceAll("_", " "),
      kind: "state",
      cell: badge(({ status }) => status, lifeOf),
    },
    {
      title: "Host",
      kind: "host",
      value: ({ host_info }) => host_info?.hostname || undefined,
      words: ({ host_info }) => [systemOf(host_info)],
      cell: twoLines(
        ({ host_info }) => host_info?.hostname ?? "",
        ({ host_info, host_cpu_percent: cpu, host_ram_used_percent: ram }) =>
          [
            systemOf(host_info),
            typeof cpu === "number" ? `CPU\u00a0${Math.round(cpu)}\u00a0%` : "",
            typeof ram === "number" ? `RAM\u00a0${Math.round(ram)}\u00a0%` : "",
          ]
            .filter(part => part !== "")
            .join(" · "),
      ),
    },
    {
      title: "Version",
      value: ({ version }) => version || undefined,
      words: ({ host_info }) => [host_info?.backend_family ?? "", host_info?.backend_version ?? ""],
      cell: twoLines(
        ({ version }) => version,
        ({ host_info: { backend_family = "", backend_version = "" } = {} }) =>
          [backend_family, backend_version].filter(part => part !== "").join(" "),
      ),
    },
    {
      title: "Models",
      kind: "long",
      value: ({ models = [] }) => models.length,
      words: ({ models = [] }) => models,
      cell: list(({ models = [] }) => models, "models"),
      shown: rows => rows.some(({ models = [] }) => models.length > 0),
    },
    {
      title: "In flight",
      number: true,
      value: ({ inflight }) => inflight,
      cell: meter(
        ({ inflight }) => inflight,
        ({ max_concurrency }) => max_concurrency,
      ),
    },
    {
      title: "Requests",
      number: true,
      value: worker => worker.processed_total,
      cell: text(worker => count(worker.processed_total)),
    },
    {
      title: "Failed",
      number: true,
      value: worker => worker.failures_total,
      cell: text(worker => count(worker.failures_total)),
    },
    {
      ...total(
        "Tokens in",
        worker => worker.input_tokens_total,
        worker => worker.rates?.input_tokens_per_s,
      ),
      shown: tokens,
    },
    {
      ...total(
        "Tokens out",
        worker => worker.output_tokens_total,
        worker => worker.rates?.output_tokens_per_s,
      ),
      shown: tokens,
    },
    {
      ...total("Embeddings", embeddingsOf, worker => worker.rates?.embeddings_per_s),
      shown: rows => rows.some(worker => embeddingsOf(worker) > 0 || (worker.embedding_batch_size ?? 0) > 0),
    },
    {
      title: "Last error",
      kind: "long",
      value: ({ last_error }) => last_error || undefined,
      cell: longText(({ last_error }) => last_error, "error"),
    },
    {
      title: "Actions",
      kind: "acts",
      cell: actions(operator, ({ id, name, inflight, status, drained_by_operator }) =>
        status === "gone"
          ? undefined
          : { module, id, name: name || id, inflight, drained: drained_by_operator ?? false },
      ),
      shown: () => operator.offered,
    },
  ];
  return new Table({ title: "Workers", key: ({ id }) => id, columns, sort: "ascending", empty, cardsBelow: 1180 });
}

/** A model with the names of its workers. */
export type ModelRow = ModelState & { by: readonly string[] };

export function modelsTable(empty: Node): Table<ModelRow> {
  return new Table<ModelRow>({
    title: "Models",
    key: ({ name }) => name,
    sort: "ascending",
    empty,
    cardsBelow: 400,
    columns: [
      { title: "Model", value: ({ name }) => name, cell: text(({ name }) => name) },
      { title: "Workers", number: true, value: ({ workers }) => workers, cell: text(({ workers }) => count(workers)) },
      {
        title: "Served by",
        kind: "long",
        value: ({ by }) => by.join(" "),
        cell: list(({ by }) => by, "workers"),
        shown: rows => rows.some(({ by }) => by.length > 0),
      },
    ],
  });
}

/** A waiting request with the name of the worker that it is pinned to. */
export type WaitingRow = WaitingState & { pinned: string };

export function queueTable(empty: Node): Table<WaitingRow> {
  return new Table<WaitingRow>({
    title: "Queue",
    key: ({ request_id }) => request_id,
    sort: "ascending",
    empty,
    cardsBelow: 400,
    columns: [
      { title: "Place", value: ({ position }) => position, cell: text(({ position }) => count(position)) },
      {
        title: "Waits for",
        value: ({ model, pinned }) => model ?? pinned,
        words: ({ pinned }) => [pinned],
        cell: twoLines(
          ({ model, pinned }) => model ?? pinned,
          ({ model, pinned }) => (model !== undefined && pinned !== "" ? `at ${pinned}` : ""),
        ),
      },
      { title: "Waiting", number: true, value: row => row.waiting_ms, cell: text(row => duration(row.waiting_ms)) },
      { title: "Request", kind: "long", value: row => row.request_id, cell: text(row => row.request_id, "id") },
    ],
  });
}
