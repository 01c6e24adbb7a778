// The sections of the page: one for each worker module, one for MCP, one for jobs.
import { make, setText, wrap } from "./element.ts";
import { count, plural } from "./format.ts";
import { jobsFigures, jobsTable, jobWorkersTable } from "./jobs.ts";
import type { OperatorPanel } from "./operator.ts";
import { callsTable, relaysTable } from "./relays.ts";
import type { JobsState, ModuleState, RelaysState } from "./state.ts";
import { modelsTable, queueTable, workersTable } from "./workers.ts";

export interface Section<S> {
  element: HTMLElement;
  title: string;
  update: (state: S, now: number, filter: string) => void;
}

const TITLES: Record<string, string> = { llm: "Language models", asr: "Speech", docling: "Documents" };
/** Additional settings in a module's start command. */
const BACKENDS: Record<string, string> = {
  llm: "COMPLETION_BASE_URL=http://127.0.0.1:11434/v1",
  asr: "ASR_BASE_URL=http://127.0.0.1:5002/v1",
  docling: "DOC_BASE_URL=http://127.0.0.1:5001",
  mcp: "AUTH_TOKEN=… PROVIDER_URL=http://127.0.0.1:8000/mcp",
};

export function moduleSection(id: string, operator: OperatorPanel): Section<ModuleState> {
  const title = TITLES[id] ?? id;
  const frame = section(id, title);
  const workers = workersTable(id, operator, howTo(id, "No worker is connected. On the machine of the service, run"));
  const models = modelsTable(make("p", "", "No models."));
  const room = make("p");
  const queue = queueTable(room);
  frame.element.append(workers.element, wrap("div", "pair", models.element, queue.element));
  return {
    ...frame,
    update: (state, now, filter) => {
      const names = new Map(state.workers.map(worker => [worker.id, worker.name || worker.id]));
      const nameOf = (worker: string): string => names.get(worker) ?? worker;
      const { connected, working, idle, not_ready, draining = 0 } = state.workers_summary;
      const parts: [number, string][] = [
        [working, "working"],
        [idle, "idle"],
        [not_ready, "not ready"],
        [draining, "draining"],
      ];
      const summary = parts.filter(([amount]) => amount > 0).map(([amount, word]) => `${count(amount)} ${word}`);
      frame.setSummary(connected === 0 ? "no worker" : [plural(connected, "worker"), ...summary].join(" · "));
      workers.update(
        state.workers.map(worker => ({ ...worker, now })),
        filter,
      );
      models.update(
        state.models.map(model => ({ ...model, by: (model.worker_ids ?? []).map(nameOf) })),
        filter,
      );
      models.element.hidden = state.models.length === 0;
      const { scheduler_queue_len: waiting, scheduler_queue_capacity: capacity } = state.server;
      setText(
        room,
        waiting > 0 ? `${plural(waiting, "request")} waiting.` : `Queue is empty. Capacity: ${count(capacity)}.`,
      );
      queue.update(
        (state.queue ?? []).map(entry => ({ ...entry, pinned: entry.worker_id ? nameOf(entry.worker_id) : "" })),
        filter,
      );
      queue.element.hidden = connected === 0 && waiting === 0;
    },
  };
}

export function relaysSection(operator: OperatorPanel): Section<RelaysState> {
  const frame = section("mcp", "MCP");
  const relays = relaysTable(operator, howTo("mcp", "No relay is connected. On the machine of an MCP server, run"));
  const calls = callsTable(make("p", "", "No calls in flight."));
  frame.element.append(relays.element, calls.element);
  return {
    ...frame,
    update: ({ clients, sessions, sessions_total }, now, filter) => {
      const running = sessions_total ?? sessions.length;
      frame.setSummary(
        clients.length === 0 ? "no relay" : `${plural(clients.length, "relay")} · ${plural(running, "call")} in flight`,
      );
      relays.update(
        clients.map(client => ({ ...client, now })),
        filter,
      );
      calls.update(sessions, filter);
      calls.element.hidden = clients.length === 0 && sessions.length === 0;
    },
  };
}

/** The broker's address as this page has it, with the path prefix of a proxy, without a slash at its end. */
const BROKER = new URL(".", location.href).href.replace(/\/$/, "");

export function jobsSection(): Section<JobsState> {
  const frame = section("jobs", "Jobs");
  const figures = jobsFigures();
  const create = `curl ${BROKER}/api/jobs -H "Authorization: Bearer …" -d '{"type":"asr.transcribe"}'`;
  const jobs = jobsTable(wrap("div", "", make("p", "", "No jobs. To create one, run"), code(create)));
  const workers = jobWorkersTable(make("p", "", "No job worker was active recently."));
  frame.element.append(figures.element, jobs.element, workers.element);
  return {
    ...frame,
    update: (state, now, filter) => {
      const { queued_jobs, claimed_jobs, running_jobs, awaiting_transfers } = state.summary;
      const running = claimed_jobs + running_jobs + awaiting_transfers;
      frame.setSummary(`${count(queued_jobs)} queued · ${count(running)} claimed`);
      figures.update(state.summary);
      jobs.update(
        state.jobs.map(job => ({ ...job, now })),
        filter,
      );
      workers.update(
        state.workers.map(worker => ({ ...worker, now })),
        filter,
      );
      const used = state.jobs.length + state.workers.length > 0;
      figures.element.hidden = !used;
      workers.element.hidden = !used;
    },
  };
}

/** The section of a plugin that has neither workers nor relays. */
export function pluginSection(id: string): Section<undefined> {
  return { ...section(id, id), update: () => {} };
}

function section(
  id: string,
  title: string,
): { element: HTMLElement; title: string; setSummary: (text: string) => void } {
  const heading = make("h2", "", title);
  heading.id = `title-${id}`;
  const summary = make("p", "summary");
  const element = wrap("section", "module", wrap("header", "", heading, summary));
  element.id = `module-${id}`;
  element.setAttribute("aria-labelledby", heading.id);
  return { element, title, setSummary: text => setText(summary, text) };
}

/** How an agent of the module is started for this very broker. */
function howTo(id: string, lead: string): HTMLElement {
  const server = BROKER.replace(/^http/, "ws");
  const backend = BACKENDS[id];
  const command = [
    `SERVER_URL=${server}/api/${id}/connect CLIENT_KEY=…`,
    ...(backend ? [backend] : []),
    `${backend ? `nfrx-${id}` : "nfrx worker --plugin FILE"} --reconnect`,
  ];
  return wrap("div", "", make("p", "", lead), code(command.join(" \\\n  ")));
}

function code(text: string): HTMLElement {
  const block = wrap("pre", "", make("code", "", text));
  block.tabIndex = 0;
  return block;
}
