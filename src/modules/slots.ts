import type { Endpoint } from "./endpoint.ts";

/** False for requests that only ask: how a backend is, or about what a worker keeps. They are let in beside the slots. */
export function takesSlot({
  keeps,
  task,
  gather,
  exemptFromSlots,
}: Pick<Endpoint, "keeps" | "task" | "gather" | "exemptFromSlots">): boolean {
  const names = keeps === undefined ? task === "follows" : keeps.segment !== undefined;
  return !names && gather === undefined && exemptFromSlots !== true;
}
