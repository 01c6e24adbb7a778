import { describe, expect, test } from "bun:test";
import { FairQueue } from "../../../src/broker/pool/queue.ts";

interface Entry {
  caller: string;
  name: string;
}

const entry = (caller: string, number: number): Entry => ({ caller, name: `${caller}${number}` });
const many = (queue: FairQueue<Entry>, caller: string, count: number, from = 1): void => {
  for (let n = 0; n < count; n++) queue.add(entry(caller, from + n));
};

function order(queue: FairQueue<Entry>): string[] {
  const names: string[] = [];
  queue.scan(({ name }) => names.push(name) < 0);
  return names;
}

function serve(queue: FairQueue<Entry>, count: number, may: (entry: Entry) => boolean = () => true): string[] {
  const served: string[] = [];
  queue.scan(waiting => {
    if (served.length >= count || !may(waiting)) return false;
    served.push(waiting.name);
    return true;
  });
  return served;
}

describe("fair turns", () => {
  test("one caller is served first come, first served", () => {
    const queue = new FairQueue<Entry>(100);
    many(queue, "a", 5);
    expect(order(queue)).toEqual(["a1", "a2", "a3", "a4", "a5"]);
  });

  test("a caller with two hundred waiting does not hold back another's first", () => {
    const queue = new FairQueue<Entry>(1000);
    many(queue, "a", 200);
    many(queue, "b", 2);
    many(queue, "c", 1);
    expect(order(queue).slice(0, 6)).toEqual(["a1", "b1", "c1", "a2", "b2", "a3"]);
  });

  test("nor when some of them have been served", () => {
    const queue = new FairQueue<Entry>(1000);
    many(queue, "a", 200);
    expect(serve(queue, 50).at(-1)).toBe("a50");
    many(queue, "b", 2);
    expect(order(queue).slice(0, 4)).toEqual(["b1", "a51", "b2", "a52"]);
  });

  test("a newcomer does not get the turns it was not there for", () => {
    const queue = new FairQueue<Entry>(1000);
    many(queue, "a", 100);
    many(queue, "b", 100);
    serve(queue, 100);
    many(queue, "c", 3);
    expect(order(queue).slice(0, 6)).toEqual(["c1", "a51", "b51", "c2", "a52", "b52"]);
  });

  test("turns are even over a long time", () => {
    const queue = new FairQueue<Entry>(1000);
    for (const caller of ["a", "b", "c", "d"]) many(queue, caller, 50);
    const counts = new Map<string, number>();
    for (const name of serve(queue, 100)) counts.set(name[0] ?? "", (counts.get(name[0] ?? "") ?? 0) + 1);
    expect([...counts.values()]).toEqual([25, 25, 25, 25]);
  });
});

describe("passing over", () => {
  test("who cannot run keeps the place, who can does not wait behind", () => {
    const queue = new FairQueue<Entry>(100);
    many(queue, "a", 3);
    many(queue, "b", 3);
    expect(serve(queue, 2, ({ caller }) => caller === "b")).toEqual(["b1", "b2"]);
    expect(order(queue)).toEqual(["a1", "a2", "a3", "b3"]);
  });

  test("everybody may be served in one scan", () => {
    const queue = new FairQueue<Entry>(100);
    many(queue, "a", 3);
    many(queue, "b", 1);
    expect(serve(queue, 10)).toEqual(["a1", "b1", "a2", "a3"]);
    expect(queue.length).toBe(0);
  });
});

describe("tickets", () => {
  test("who comes back has the old place", () => {
    const queue = new FairQueue<Entry>(100);
    const first = entry("a", 1);
    const ticket = queue.add(first);
    many(queue, "a", 3, 2);
    many(queue, "b", 3);
    expect(serve(queue, 1)).toEqual(["a1"]);
    expect(queue.add(first, ticket)).toBe(ticket);
    expect(order(queue)[0]).toBe("a1");
    expect(queue.position(first)).toBe(1);
  });

  // Defect: `#take` sets the round back to 0 when the queue runs empty, so a ticket of a late round comes back behind
  // requests that came after it. Keeping `#round` (and clearing `#lastRound` alone) mends it; then drop `.failing`.
  test("even when the queue has been empty in between", () => {
    const queue = new FairQueue<Entry>(100);
    many(queue, "a", 5);
    const late = entry("a", 6);
    const ticket = queue.add(late);
    serve(queue, 6);
    expect(queue.length).toBe(0);
    many(queue, "a", 2, 7);
    many(queue, "b", 1);
    queue.add(late, ticket);
    expect(order(queue)[0]).toBe("a6");
  });
});

describe("places", () => {
  test("count from one and move up", () => {
    const queue = new FairQueue<Entry>(100);
    const entries = [entry("a", 1), entry("b", 1), entry("a", 2)];
    for (const one of entries) queue.add(one);
    expect(entries.map(one => queue.position(one))).toEqual([1, 2, 3]);
    expect(queue.remove(entries[0]!)).toBe(true);
    expect(queue.remove(entries[0]!)).toBe(false);
    expect(entries.map(one => queue.position(one))).toEqual([0, 1, 2]);
    expect(queue.position(entry("c", 1))).toBe(0);
  });

  test("full at its capacity", () => {
    const queue = new FairQueue<Entry>(2);
    expect(queue.full).toBe(false);
    many(queue, "a", 2);
    expect([queue.full, queue.length]).toEqual([true, 2]);
    expect(new FairQueue<Entry>(0).full).toBe(true);
  });
});
