import { describe, expect, test } from "bun:test";
import { Backoff, every, IdleTimer, pause, systemClock } from "../../../src/lib/time.ts";
import { TestClock } from "../../kit/time/clock.ts";

const tick = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

describe("the test clock", () => {
  test("runs what is due in its order, each at its own time", () => {
    const clock = new TestClock();
    const start = clock.now();
    const seen: [string, number][] = [];
    const note = (name: string) => () => seen.push([name, clock.now() - start]);
    clock.after(30, note("c"));
    clock.after(10, () => {
      note("a")();
      clock.after(5, note("b"));
      clock.after(0, note("at once"));
    });
    const never = clock.after(20, note("cancelled"));
    clock.after(10, note("a2"));
    never.cancel();
    clock.advance(29);
    expect(seen).toEqual([
      ["a", 10],
      ["a2", 10],
      ["at once", 10],
      ["b", 15],
    ]);
    expect([clock.armed, clock.now() - start]).toEqual([1, 29]);
    clock.advance(1);
    expect(seen.at(-1)).toEqual(["c", 30]);
    expect(clock.armed).toBe(0);
  });
});

describe("every", () => {
  test("runs at each turn until cancelled", () => {
    const clock = new TestClock();
    let runs = 0;
    const timer = every(clock, 100, () => runs++);
    clock.advance(99);
    expect(runs).toBe(0);
    clock.advance(351);
    expect(runs).toBe(4);
    timer.cancel();
    clock.advance(1000);
    expect([runs, clock.armed]).toEqual([4, 0]);
  });

  test("may be cancelled by what it runs, and outlives what throws", () => {
    const clock = new TestClock();
    let runs = 0;
    const timer = every(clock, 10, () => {
      if (++runs === 1) throw new Error("once");
      timer.cancel();
    });
    expect(() => clock.advance(10)).toThrow("once");
    clock.advance(100);
    expect([runs, clock.armed]).toEqual([2, 0]);
  });
});

describe("IdleTimer", () => {
  test("fires once after the last touch, with one timer however often it is touched", () => {
    const clock = new TestClock();
    let fired = 0;
    const idle = new IdleTimer(clock, 1000, () => fired++);
    for (let n = 0; n < 100; n++) {
      clock.advance(37);
      idle.touch();
      expect(clock.armed).toBe(1);
    }
    clock.advance(999);
    expect(fired).toBe(0);
    clock.advance(1);
    expect([fired, clock.armed]).toEqual([1, 0]);
    idle.touch();
    clock.advance(10_000);
    expect(fired).toBe(1);
  });

  test("cancelled, it does not fire", () => {
    const clock = new TestClock();
    let fired = 0;
    const idle = new IdleTimer(clock, 1000, () => fired++);
    clock.advance(500);
    idle.touch();
    clock.advance(600); // armed anew for the rest
    idle.cancel();
    idle.cancel();
    clock.advance(10_000);
    expect([fired, clock.armed]).toEqual([0, 0]);
  });

  test.each([0, -1])("%d milliseconds mean never", ms => {
    const clock = new TestClock();
    const idle = new IdleTimer(clock, ms, () => {
      throw new Error("fired");
    });
    idle.touch();
    clock.advance(1e12);
    expect(clock.armed).toBe(0);
    idle.cancel();
  });
});

describe("pause", () => {
  test("ends with its time", async () => {
    const clock = new TestClock();
    const abort = new AbortController();
    let over = false;
    pause(clock, 100, abort.signal).then(() => {
      over = true;
    });
    clock.advance(99);
    await tick();
    expect(over).toBe(false);
    clock.advance(1);
    await tick();
    expect(over).toBe(true);
    abort.abort();
  });

  test("ends early, without an error, when the signal aborts", async () => {
    const clock = new TestClock();
    const abort = new AbortController();
    const waiting = pause(clock, 100, abort.signal);
    abort.abort(new Error("not thrown"));
    await waiting;
    expect(clock.armed).toBe(0);
    await pause(clock, 100, abort.signal);
    expect(clock.armed).toBe(0);
  });

  test("leaves no listener behind", async () => {
    const clock = new TestClock();
    const { signal } = new AbortController();
    let listeners = 0;
    const { addEventListener, removeEventListener } = signal;
    signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      listeners++;
      addEventListener.apply(signal, args);
    };
    signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      listeners--;
      removeEventListener.apply(signal, args);
    };
    const waiting = pause(clock, 1, signal);
    expect(listeners).toBe(1);
    clock.advance(1);
    await waiting;
    expect(listeners).toBe(0);
  });
});

describe("Backoff", () => {
  const schedule = [1, 1, 1, 5, 5, 5, 15, 15, 15, 30, 30, 30, 30].map(seconds => seconds * 1000);

  test("waits as the 0.9 series does", () => {
    const backoff = new Backoff(() => 0.5);
    expect(schedule.map(() => backoff.next())).toEqual(schedule);
  });

  test("jittered by a fifth either way", () => {
    const early = new Backoff(() => 0);
    const late = new Backoff(() => 1 - 2 ** -53);
    for (const base of schedule) {
      expect(early.next()).toBeCloseTo(base * 0.8);
      expect(late.next()).toBeCloseTo(base * 1.2);
    }
    const own = new Backoff();
    for (const base of schedule) {
      const wait = own.next();
      expect(wait).toBeGreaterThanOrEqual(base * 0.8);
      expect(wait).toBeLessThanOrEqual(base * 1.2);
    }
  });

  test("starts over after a connection that held for a minute", () => {
    const backoff = new Backoff(() => 0.5);
    for (let n = 0; n < 7; n++) backoff.next();
    backoff.held(59_999);
    expect(backoff.next()).toBe(15_000);
    backoff.held(60_000);
    expect([backoff.next(), backoff.next(), backoff.next(), backoff.next()]).toEqual([1000, 1000, 1000, 5000]);
  });
});

describe("the system's clock", () => {
  test("goes forward and cancels", async () => {
    const before = systemClock.now();
    const cancelled = systemClock.after(0, () => {
      throw new Error("cancelled");
    });
    cancelled.cancel();
    await new Promise<void>(resolve => systemClock.after(0, resolve));
    expect(systemClock.now()).toBeGreaterThanOrEqual(before);
    expect(Math.abs(systemClock.wall() - Date.now())).toBeLessThan(10_000);
  });

  test("takes a wait that is longer than a timer can be", () => {
    // setTimeout itself would fire at once.
    systemClock.after(2 ** 40, () => {}, true).cancel();
    systemClock.after(Number.POSITIVE_INFINITY, () => {}, true).cancel();
  });
});
