import { describe, expect, test } from "bun:test";
import { FairQueue, QUEUE_HALF_LIFE_MS, type Turn, USUAL_WEIGHT } from "../../../src/broker/pool/queue.ts";
import { TestClock } from "../../kit/time/clock.ts";

interface Entry {
  turn: Turn;
  name: string;
}

const turnOf = (caller: string, more: Partial<Turn> = {}): Turn => ({
  caller,
  weight: USUAL_WEIGHT,
  behind: false,
  ...more,
});
const entry = (caller: string, number: number, more: Partial<Turn> = {}): Entry => ({
  turn: turnOf(caller, more),
  name: `${caller}${number}`,
});
const queueOf = (capacity: number, clock = new TestClock()): FairQueue<Entry> => new FairQueue<Entry>(capacity, clock);
const many = (queue: FairQueue<Entry>, caller: string, count: number, from = 1, more: Partial<Turn> = {}): void => {
  for (let n = 0; n < count; n++) queue.add(entry(caller, from + n, more));
};

const order = (queue: FairQueue<Entry>): string[] => queue.first(queue.length).map(({ name }) => name);

/** Serves so many entries, each of which holds its slot for `ms`. */
function serve(
  queue: FairQueue<Entry>,
  count: number,
  may: (entry: Entry) => boolean = () => true,
  ms = 1_000,
): string[] {
  const served: Entry[] = [];
  queue.scan(waiting => {
    if (served.length >= count || !may(waiting)) return false;
    served.push(waiting);
    return true;
  });
  for (const { turn } of served) queue.ended(turn, queue.began(turn), ms);
  return served.map(({ name }) => name);
}

describe("fair turns", () => {
  test("one caller is served first come, first served", () => {
    const queue = queueOf(100);
    many(queue, "a", 5);
    expect(order(queue)).toEqual(["a1", "a2", "a3", "a4", "a5"]);
  });

  test("a caller with two hundred waiting does not hold back another's first", () => {
    const queue = queueOf(1000);
    many(queue, "a", 200);
    many(queue, "b", 2);
    many(queue, "c", 1);
    expect(order(queue).slice(0, 6)).toEqual(["a1", "b1", "c1", "a2", "b2", "a3"]);
  });

  test("one key with 200 requests and nine with one each at one worker: the nine wait at most one service time more", () => {
    const queue = queueOf(1000);
    many(queue, "a", 200);
    let behind = 0;
    for (let other = 0; other < 9; other++) {
      expect(serve(queue, 1)).toEqual([`a${other + 1}`]);
      // The newcomer finds a worker that has just begun with another request, and is the next one.
      many(queue, `n${other}`, 1);
      const [next] = serve(queue, 1);
      if (next !== `n${other}1`) behind++;
    }
    expect(behind).toBe(0);
  });

  test("go by the time that slots were held, not by the number of requests", () => {
    const queue = queueOf(1000);
    many(queue, "long", 50);
    many(queue, "short", 50);
    const counts = { long: 0, short: 0 };
    for (let n = 0; n < 60; n++) {
      queue.scan(({ turn }) => {
        if (counts.long + counts.short > n) return false;
        const ms = turn.caller === "long" ? 5_000 : 1_000;
        counts[turn.caller === "long" ? "long" : "short"]++;
        queue.ended(turn, queue.began(turn), ms);
        return true;
      });
    }
    expect(counts.short / counts.long).toBeGreaterThan(3.5);
    expect(counts.short / counts.long).toBeLessThan(6);
  });

  test("a caller with twice the weight gets twice as many", () => {
    const queue = queueOf(1000);
    many(queue, "a", 100, 1, { weight: 20 });
    many(queue, "b", 100);
    const served: string[] = [];
    for (let n = 0; n < 60; n++) served.push(...serve(queue, 1));
    const ofA = served.filter(name => name.startsWith("a")).length;
    expect(ofA).toBeGreaterThanOrEqual(39);
    expect(ofA).toBeLessThanOrEqual(41);
  });

  test("who is beyond a soft limit comes behind everybody else, and alone at once", () => {
    const queue = queueOf(1000);
    many(queue, "a", 2, 1, { behind: true });
    expect(order(queue)).toEqual(["a1", "a2"]);
    many(queue, "b", 3);
    expect(order(queue)).toEqual(["b1", "b2", "b3", "a1", "a2"]);
  });

  test("what was used an hour ago no longer counts", () => {
    const clock = new TestClock();
    const queue = queueOf(1000, clock);
    queue.ended(turnOf("a"), queue.began(turnOf("a")), 600_000);
    many(queue, "a", 1);
    many(queue, "b", 3);
    expect(order(queue)).toEqual(["b1", "b2", "b3", "a1"]);
    clock.advance(QUEUE_HALF_LIFE_MS);
    expect(order(queue).at(-1)).toBe("a1");
    clock.advance(3_600_000);
    expect(order(queue)[0]).toBe("a1");
  });

  test("turns are even over a long time", () => {
    const queue = queueOf(1000);
    for (const caller of ["a", "b", "c", "d"]) many(queue, caller, 50);
    const counts = new Map<string, number>();
    for (let n = 0; n < 100; n++)
      for (const name of serve(queue, 1)) counts.set(name[0] ?? "", (counts.get(name[0] ?? "") ?? 0) + 1);
    expect([...counts.values()]).toEqual([25, 25, 25, 25]);
  });
});

describe("a full queue", () => {
  test("the newest entry of the caller with most entries gives way", () => {
    const queue = queueOf(5);
    many(queue, "a", 4);
    many(queue, "b", 1);
    expect(queue.victimFor("c")?.name).toBe("a4");
    expect(queue.victimFor("b")?.name).toBe("a4");
    expect(queue.victimFor("a")).toBeUndefined();
  });

  test("nobody gives way to a caller that would have as many", () => {
    const queue = queueOf(2);
    many(queue, "a", 1);
    many(queue, "b", 1);
    expect(queue.victimFor("c")).toBeUndefined();
    expect(queue.victimFor("a")).toBeUndefined();
  });
});

describe("passing over", () => {
  test("who cannot run keeps the place, who can does not wait behind", () => {
    const queue = queueOf(100);
    many(queue, "a", 3);
    many(queue, "b", 3);
    expect(serve(queue, 2, ({ turn }) => turn.caller === "b")).toEqual(["b1", "b2"]);
    expect(order(queue)).toEqual(["a1", "a2", "a3", "b3"]);
  });

  test("everybody may be served in one scan", () => {
    const queue = queueOf(100);
    many(queue, "a", 3);
    many(queue, "b", 1);
    expect(serve(queue, 10)).toEqual(["a1", "b1", "a2", "a3"]);
    expect(queue.length).toBe(0);
  });
});

describe("tickets", () => {
  test("who comes back has the old place", () => {
    const queue = queueOf(100);
    const first = entry("a", 1);
    const ticket = queue.add(first);
    many(queue, "a", 3, 2);
    many(queue, "b", 3);
    // Its worker refused it, so it has used nothing.
    expect(serve(queue, 1, () => true, 0)).toEqual(["a1"]);
    expect(queue.add(first, ticket)).toBe(ticket);
    expect(order(queue)[0]).toBe("a1");
    expect(queue.position(first)).toBe(1);
  });

  test("even when the queue has been empty in between", () => {
    const queue = queueOf(100);
    many(queue, "a", 5);
    const late = entry("a", 6);
    const ticket = queue.add(late);
    serve(queue, 6, () => true, 0);
    expect(queue.length).toBe(0);
    many(queue, "a", 2, 7);
    many(queue, "b", 1);
    queue.add(late, ticket);
    expect(order(queue)[0]).toBe("a6");
  });
});

describe("places", () => {
  test("count from one and move up", () => {
    const queue = queueOf(100);
    const entries = [entry("a", 1), entry("b", 1), entry("a", 2)];
    for (const one of entries) queue.add(one);
    expect(entries.map(one => queue.position(one))).toEqual([1, 2, 3]);
    expect(queue.remove(entries[0]!)).toBe(true);
    expect(queue.remove(entries[0]!)).toBe(false);
    expect(entries.map(one => queue.position(one))).toEqual([0, 1, 2]);
    expect(queue.position(entry("c", 1))).toBe(0);
  });

  test("full at its capacity", () => {
    const queue = queueOf(2);
    expect(queue.full).toBe(false);
    many(queue, "a", 2);
    expect([queue.full, queue.length]).toEqual([true, 2]);
    expect(queueOf(0).full).toBe(true);
  });
});
