// The stream of states: one reading for all, none for nobody, and no pile for who does not read.
import { expect, test } from "bun:test";
import {
  STATE_FRESH_MS,
  STATE_INTERVAL_MS,
  STATE_LISTENERS_MAX,
  StateStream,
} from "../../../../src/broker/observe/stream.ts";
import { NfrxError } from "../../../../src/lib/errors.ts";
import { access } from "../../../kit/broker/access.ts";
import { Events } from "../../../kit/http/events.ts";
import { TestClock } from "../../../kit/time/clock.ts";
import { eventually } from "../../../kit/time/until.ts";

class Watched {
  readonly clock = new TestClock();
  readonly errors: unknown[] = [];
  reads = 0;
  state: () => Promise<object> = () => Promise.resolve({ reads: this.reads });
  readonly stream = new StateStream(
    this.clock,
    () => {
      this.reads++;
      return this.state().then(state => JSON.stringify(state));
    },
    error => this.errors.push(error),
  );

  async listen(caller = "one"): Promise<Events> {
    return new Events(await this.stream.open(new AbortController().signal, access(), caller));
  }

  /** Lets the interval pass and all that follows from it happen. */
  async tick(): Promise<void> {
    const before = this.reads;
    this.clock.advance(STATE_INTERVAL_MS);
    await eventually(() => this.reads > before, "the state is read");
  }
}

const dataOf = async (events: Events): Promise<unknown> => JSON.parse((await events.next())?.data ?? "null");

test("one at once, then one every two seconds, read once for all", async () => {
  const watched = new Watched();
  const [first, second] = [await watched.listen(), await watched.listen()];
  expect([await dataOf(first), await dataOf(second)]).toEqual([{ reads: 1 }, { reads: 1 }]);
  for (const reads of [2, 3, 4]) {
    await watched.tick();
    expect([await dataOf(first), await dataOf(second)]).toEqual([{ reads }, { reads }]);
  }
  expect(watched.reads).toBe(4);
});

test("who comes later gets a state of that time", async () => {
  const watched = new Watched();
  await watched.listen();
  watched.clock.advance(STATE_FRESH_MS + 1);
  expect(await dataOf(await watched.listen())).toEqual({ reads: 2 });
});

test("nothing is read while nobody listens", async () => {
  const watched = new Watched();
  expect(watched.clock.armed).toBe(0);
  const [first, second] = [await watched.listen(), await watched.listen()];
  await first.cancel();
  expect([watched.stream.listeners, watched.clock.armed]).toEqual([1, 1]);
  await second.cancel();
  expect([watched.stream.listeners, watched.clock.armed]).toEqual([0, 0]);
  watched.clock.advance(60_000);
  expect(watched.reads).toBe(1);
  const third = await watched.listen();
  expect(await dataOf(third)).toEqual({ reads: 2 });
});

test("a client that left before the state was there is not waited for", async () => {
  const watched = new Watched();
  const leave = new AbortController();
  const opened = watched.stream.open(leave.signal, access(), "one");
  leave.abort();
  expect(await opened.catch((error: unknown) => error)).toMatchObject({ code: "canceled" });
  expect([watched.stream.listeners, watched.clock.armed]).toEqual([0, 0]);
});

test("a state that takes longer than the interval is not overtaken", async () => {
  const watched = new Watched();
  const listener = await watched.listen();
  expect(await dataOf(listener)).toEqual({ reads: 1 });
  const slow = Promise.withResolvers<object>();
  watched.state = () => slow.promise;
  await watched.tick();
  watched.clock.advance(10 * STATE_INTERVAL_MS);
  expect(watched.reads).toBe(2);
  slow.resolve({ slow: true });
  expect(await dataOf(listener)).toEqual({ slow: true });
  watched.state = () => Promise.resolve({ quick: true });
  await watched.tick();
  expect(await dataOf(listener)).toEqual({ quick: true });
});

test("a state that cannot be read is told, and the next one is sent", async () => {
  const watched = new Watched();
  const listener = await watched.listen();
  await listener.next();
  watched.state = () => Promise.reject(new Error("broken"));
  await watched.tick();
  await eventually(() => watched.errors.length === 1, "the error is told");
  const refused = await watched.listen().catch((error: unknown) => error);
  expect(String(refused)).toContain("broken");
  watched.state = () => Promise.resolve({ well: true });
  await watched.tick();
  expect(await dataOf(listener)).toEqual({ well: true });
});

test("only so many may listen", async () => {
  const watched = new Watched();
  const all = await Promise.all(
    Array.from({ length: STATE_LISTENERS_MAX }, (_, n) => watched.listen(n % 2 === 0 ? "one" : "two")),
  );
  expect(watched.reads).toBe(1);
  const refused = await watched.listen("three").catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(NfrxError);
  expect(refused).toMatchObject({ code: "overloaded", status: 503 });
  await all[0]?.cancel();
  await watched.listen();
  expect(watched.stream.listeners).toBe(STATE_LISTENERS_MAX);
});

test("one caller has a share of them", async () => {
  const watched = new Watched();
  const all = await Promise.all(Array.from({ length: STATE_LISTENERS_MAX / 2 }, () => watched.listen()));
  const refused = await watched.listen().catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: "limit_exceeded", status: 429 });
  await watched.listen("two");
  await all[0]?.cancel();
  await watched.listen();
});
