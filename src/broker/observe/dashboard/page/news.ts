// The changes of a state, for screen readers. Pure.
import { plural } from "./format.ts";
import { modulesOf, type State } from "./state.ts";

// Maximum number of changes announced separately; more are announced as a count.
const NEWS_MAX = 3;

/** Describes the changes between two states; empty if there are none of interest. */
export function newsOf(before: State, after: State): string {
  const news: string[] = [];
  const [was, is] = [before.plugins.server?.status, after.plugins.server?.status];
  if (was !== is && is !== undefined) news.push(`The broker is ${is.replace("_", " ")}`);
  const [then, now] = [statesOf(before), statesOf(after)];
  for (const [id, { name, status }] of now) {
    const old = then.get(id)?.status;
    if (old === undefined || (old === "gone" && status !== "gone")) news.push(`${name} connected`);
    else if (old !== status && LASTING.has(status)) news.push(`${name} is ${status.replace("_", " ")}`);
    else if (old !== status && LASTING.has(old) && !LASTING.has(status)) news.push(`${name} is available again`);
  }
  for (const [id, { name, status }] of then) if (!now.has(id) && status !== "gone") news.push(`${name} disconnected`);
  if (news.length <= NEWS_MAX) return news.join(". ");
  return `${plural(news.length, "change")} to the workers`;
}

/** Announced states; changes between idle and working are too frequent. */
const LASTING: ReadonlySet<string> = new Set(["not_ready", "draining", "gone"]);

function statesOf(state: State): Map<string, { name: string; status: string }> {
  return new Map(
    modulesOf(state).flatMap(([module, { workers }]) =>
      workers.map(({ id, name, status }) => [`${module} ${id}`, { name: name || id, status }] as const),
    ),
  );
}
