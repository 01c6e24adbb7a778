// All sections of the page and the links to them.
import { byId, make, setText, wrap } from "./element.ts";
import { count } from "./format.ts";
import type { ApiKey } from "./key.ts";
import type { OperatorPanel } from "./operator.ts";
import { jobsSection, moduleSection, pluginSection, relaysSection, type Section } from "./sections.ts";
import { type JobsState, type ModuleState, modulesOf, nowOf, type RelaysState, type State } from "./state.ts";
import { Views } from "./views.ts";

interface Shown<S> {
  section: Section<S>;
  link: { element: HTMLElement; count: HTMLElement };
}

export class Board {
  readonly #modules = new Map<string, Shown<ModuleState>>();
  #relays: Shown<RelaysState> | undefined;
  #jobs: Shown<JobsState> | undefined;

  readonly #views: Views;

  constructor(
    private readonly operator: OperatorPanel,
    key: ApiKey,
  ) {
    this.#views = new Views(key, id => show(pluginSection(id)).section.element);
  }

  update(state: State, filter: string): void {
    const now = nowOf(state);
    const { mcp, jobs } = state.plugins;
    const modules = modulesOf(state);
    const ids = new Set(modules.map(([id]) => id));
    for (const [id, shown] of this.#modules) {
      if (ids.has(id)) continue;
      remove(shown);
      this.#modules.delete(id);
    }
    for (const [id, module] of modules) {
      const shown = this.#modules.get(id) ?? show(moduleSection(id, this.operator));
      this.#modules.set(id, shown);
      shown.section.update(module, now, filter);
      setText(shown.link.count, count(module.workers_summary.connected));
    }
    if (mcp !== undefined) {
      this.#relays ??= show(relaysSection(this.operator));
      this.#relays.section.update(mcp, now, filter);
      setText(this.#relays.link.count, count(mcp.clients.length));
    }
    if (jobs !== undefined) {
      this.#jobs ??= show(jobsSection());
      this.#jobs.section.update(jobs, now, filter);
      const { queued_jobs, claimed_jobs, running_jobs, awaiting_transfers } = jobs.summary;
      setText(this.#jobs.link.count, count(queued_jobs + claimed_jobs + running_jobs + awaiting_transfers));
    }
    this.#views.update(state.plugins.server?.views ?? []);
  }
}

/** Puts a section and its link into the page. */
function show<S>(section: Section<S>): Shown<S> {
  byId("modules").append(section.element);
  const amount = make("span", "count");
  const anchor = wrap("a", "", section.title, " ", amount);
  anchor.href = `#${section.element.id}`;
  const element = wrap("li", "", anchor);
  byId("contents").append(element);
  return { section, link: { element, count: amount } };
}

function remove<S>({ section, link }: Shown<S>): void {
  section.element.remove();
  link.element.remove();
}
