// The MCP tables: relays, and calls in flight.
import { badge, list, longText, meter, text, twoLines } from "./cells.ts";
import { age, count, duration } from "./format.ts";
import type { OperatorPanel } from "./operator.ts";
import type { CallState, RelayState } from "./state.ts";
import { type Column, Table } from "./table.ts";
import { actions, systemOf } from "./workers.ts";

export type RelayRow = RelayState & { now: number };

/** The status of a relay in one word. */
function relayStatus({ draining, ready, status }: RelayState): string {
  if (draining) return "draining";
  return ready ? status : "not_ready";
}

const callsOf = ({ functions }: RelayState): number => Object.values(functions).reduce((sum, calls) => sum + calls, 0);

/** Authentication of a relay's callers. */
const GUARDS: Readonly<Record<string, string>> = { token: "its token", api_key: "API key", open: "none (open)" };

export function relaysTable(operator: OperatorPanel, empty: Node): Table<RelayRow> {
  const columns: Column<RelayRow>[] = [
    {
      title: "Relay",
      value: ({ id }) => id,
      words: ({ name, worker_id = "" }) => [name, worker_id],
      cell: twoLines(
        ({ id }) => id,
        ({ id, name }) => (name === id ? "" : name),
      ),
    },
    {
      title: "Status",
      value: relay => relayStatus(relay).replaceAll("_", " "),
      kind: "state",
      cell: badge<RelayRow>(relayStatus, ({ drained_by_operator, last_heartbeat, now }) => {
        const seenAgo = age(last_heartbeat, now);
        return drained_by_operator ? `by operator · ${seenAgo}` : seenAgo;
      }),
    },
    {
      title: "Authentication",
      value: ({ guard }) => guard && GUARDS[guard],
      cell: text(({ guard }) => GUARDS[guard ?? ""] ?? ""),
    },
    {
      title: "Host",
      kind: "host",
      value: ({ host_info }) => host_info?.hostname || undefined,
      words: ({ host_info }) => [systemOf(host_info)],
      cell: twoLines(
        ({ host_info }) => host_info?.hostname ?? "",
        ({ host_info }) => systemOf(host_info),
      ),
      shown: rows => rows.some(({ host_info }) => host_info?.hostname),
    },
    { title: "Version", value: ({ version }) => version || undefined, cell: text(({ version }) => version) },
    {
      title: "In flight",
      number: true,
      value: ({ inflight }) => inflight,
      cell: meter(
        ({ inflight }) => inflight,
        ({ inflight, max_concurrency }) => max_concurrency ?? inflight,
      ),
    },
    {
      title: "Event streams",
      number: true,
      value: ({ listeners }) => listeners,
      cell: text(({ listeners }) => count(listeners)),
    },
    { title: "Calls", number: true, value: callsOf, cell: text(relay => count(callsOf(relay))) },
    {
      title: "Methods",
      kind: "long",
      value: ({ functions }) => Object.keys(functions).length,
      words: ({ functions }) => Object.keys(functions),
      cell: list(
        ({ functions }) =>
          Object.entries(functions)
            .sort(([, a], [, b]) => b - a)
            .map(([method, calls]) => `${method} ${count(calls)}`),
        "methods",
      ),
    },
    {
      title: "Last error",
      kind: "long",
      value: ({ last_error }) => last_error || undefined,
      cell: longText(({ last_error = "" }) => last_error, "error"),
    },
    {
      title: "Actions",
      kind: "acts",
      cell: actions(operator, ({ id, worker_id = id, inflight, drained_by_operator }) => ({
        module: "mcp",
        id: worker_id,
        name: id,
        inflight,
        drained: drained_by_operator ?? false,
      })),
      shown: () => operator.offered,
    },
  ];
  return new Table({
    title: "Relays",
    key: ({ id, worker_id }) => worker_id ?? id,
    columns,
    sort: "ascending",
    empty,
    cardsBelow: 900,
  });
}

export function callsTable(empty: Node): Table<CallState> {
  return new Table<CallState>({
    title: "Calls in flight",
    key: ({ id }) => id,
    empty,
    cardsBelow: 480,
    columns: [
      { title: "Relay", value: call => call.client_id, cell: text(call => call.client_id) },
      { title: "Method", value: ({ method }) => method, cell: text(({ method }) => method) },
      { title: "For", number: true, value: call => call.duration_ms, cell: text(call => duration(call.duration_ms)) },
      { title: "Call", kind: "long", value: ({ id }) => id, cell: text(({ id }) => id, "id") },
    ],
  });
}
