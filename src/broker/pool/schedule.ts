// Selects the best worker: pure functions over a pool's data.

/** As much of a worker as the choice needs. */
export interface Candidate {
  readonly id: string;
  /** Tells its connection from every other one, earlier ones of the same worker included. */
  readonly connectionId: string;
  readonly free: number;
  /** It takes requests now, or will when one of those that it has ends. */
  readonly serving: boolean;
  /** It has failed lately: others come first. */
  readonly resting: boolean;
  readonly inflight: number;
  readonly maxConcurrency: number;
  readonly lastChosen: number;
}

/** Which workers serve a label, and how well. */
export interface Offer<W extends Candidate> {
  worker: W;
  score: number;
}

export type Choice<W> =
  | { kind: "seat"; worker: W }
  /** `resting`: a worker with a free slot and recent failures, for a request that cannot wait. */
  | { kind: "busy"; resting?: W }
  | { kind: "none" };

export const SCORE_EXACT = 1;
export const SCORE_ALIAS = 0.5;

/**
 * The best worker with a free slot: the highest score, then the lowest share of slots in use, then the least recently
 * chosen. A paused worker is chosen only if all matching workers are paused. `busy` if workers match but have no free
 * slot, `none` if no worker matches or only excluded ones do.
 */
export function choose<W extends Candidate>(
  offers: Iterable<Offer<W>>,
  minScore: number,
  excluded?: ReadonlySet<string>,
): Choice<W> {
  let best: Offer<W> | undefined;
  let bestResting: Offer<W> | undefined;
  let anyone = false;
  let anyoneAwake = false;
  for (const offer of offers) {
    const { worker, score } = offer;
    if (score < minScore || !worker.serving || excluded?.has(worker.connectionId)) continue;
    anyone = true;
    const { resting } = worker;
    anyoneAwake ||= !resting;
    if (worker.free <= 0) continue;
    if (!resting && (best === undefined || better(offer, best))) best = offer;
    if (resting && (bestResting === undefined || better(offer, bestResting))) bestResting = offer;
  }
  const chosen = best ?? (anyoneAwake ? undefined : bestResting);
  if (chosen !== undefined) return { kind: "seat", worker: chosen.worker };
  if (!anyone) return { kind: "none" };
  return bestResting === undefined ? { kind: "busy" } : { kind: "busy", resting: bestResting.worker };
}

function better(a: Offer<Candidate>, b: Offer<Candidate>): boolean {
  if (a.score !== b.score) return a.score > b.score;
  // Compares inflight / maxConcurrency without dividing; a free slot means that maxConcurrency is above 0.
  const load = a.worker.inflight * b.worker.maxConcurrency - b.worker.inflight * a.worker.maxConcurrency;
  return load !== 0 ? load < 0 : a.worker.lastChosen < b.worker.lastChosen;
}
