import { describe, expect, test } from "bun:test";
import { type Candidate, choose, type Offer, SCORE_ALIAS, SCORE_EXACT } from "../../../src/broker/pool/schedule.ts";

function candidate(id: string, fields: Partial<Candidate> = {}): Candidate {
  const { maxConcurrency = 1, inflight = 0 } = fields;
  return {
    id,
    free: maxConcurrency - inflight,
    serving: true,
    resting: false,
    inflight,
    maxConcurrency,
    lastChosen: 0,
    connectionId: id,
    ...fields,
  };
}

const exact = (worker: Candidate): Offer<Candidate> => ({ worker, score: SCORE_EXACT });
const alias = (worker: Candidate): Offer<Candidate> => ({ worker, score: SCORE_ALIAS });

function chosen(offers: Offer<Candidate>[], minScore = 0, excluded?: Set<string>): string {
  const choice = choose(offers, minScore, excluded);
  return choice.kind === "seat" ? choice.worker.id : choice.kind;
}

describe("choose", () => {
  test("the exact model before an alias, however loaded", () => {
    const busy = candidate("exact", { maxConcurrency: 10, inflight: 9 });
    expect(chosen([alias(candidate("idle")), exact(busy)])).toBe("exact");
    const full = candidate("exact", { maxConcurrency: 10, inflight: 10 });
    expect(chosen([alias(candidate("idle")), exact(full)])).toBe("idle");
  });

  test("the one with the least part of its seats taken", () => {
    const offers = [
      exact(candidate("half", { maxConcurrency: 2, inflight: 1 })),
      exact(candidate("third", { maxConcurrency: 30, inflight: 10 })),
      exact(candidate("most", { maxConcurrency: 4, inflight: 3 })),
    ];
    expect(chosen(offers)).toBe("third");
    expect(chosen(offers.reverse())).toBe("third");
  });

  test("of equals, the one chosen longest ago", () => {
    const offers = ["a", "b", "c"].map((id, at) => exact(candidate(id, { lastChosen: [5, 2, 9][at] ?? 0 })));
    expect(chosen(offers)).toBe("b");
    const idle = candidate("small", { lastChosen: 3 });
    const large = candidate("large", { maxConcurrency: 100, lastChosen: 4 });
    expect(chosen([exact(large), exact(idle)])).toBe("small");
  });

  test("nobody who is excluded, gone, or scores too little", () => {
    const [a, b] = [candidate("a"), candidate("b", { lastChosen: 1 })];
    expect(chosen([exact(a), exact(b)], 0, new Set(["a"]))).toBe("b");
    expect(chosen([exact(a), exact(b)], 0, new Set(["a", "b"]))).toBe("none");
    expect(chosen([exact(candidate("gone", { serving: false }))])).toBe("none");
    expect(chosen([alias(a)], 1)).toBe("none");
    expect(chosen([alias(a)], 0.5)).toBe("a");
    expect(chosen([])).toBe("none");
  });

  test("nobody who rests, as long as somebody else serves it, busy or not", () => {
    const resting = candidate("resting", { resting: true });
    expect(chosen([exact(resting), exact(candidate("loaded", { maxConcurrency: 2, inflight: 1 }))])).toBe("loaded");
    const full = exact(candidate("full", { inflight: 1 }));
    expect(choose([exact(resting), full], 0)).toEqual({ kind: "busy", resting });
    expect(chosen([exact(resting)])).toBe("resting");
    const other = candidate("other", { resting: true, inflight: 1 });
    expect(chosen([exact(other), exact(resting)])).toBe("resting");
    expect(chosen([exact(other)])).toBe("busy");
  });

  test("busy when somebody serves it and has no seat", () => {
    const full = candidate("full", { inflight: 1 });
    const unready = candidate("unready", { maxConcurrency: 0 });
    expect(chosen([exact(full)])).toBe("busy");
    expect(chosen([exact(unready)])).toBe("busy");
    expect(chosen([exact(full)], 0, new Set(["full"]))).toBe("none");
    expect(chosen([exact(candidate("over", { inflight: 3, free: -2 }))])).toBe("busy");
  });
});
