// When an agent says that its backend is down, and when it does not.
import { expect, test } from "bun:test";
import type { BackendAdapter } from "../../../src/agent/backend-adapter.ts";
import { ANSWERING_MS, type BackendState, BackendWatch } from "../../../src/agent/backend-watch.ts";
import { TestClock } from "../../kit/time/clock.ts";

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));
const refused = (): Error => Object.assign(new Error("Unable to connect"), { code: "ConnectionRefused" });

class Place {
  readonly clock = new TestClock();
  readonly told: boolean[] = [];
  looks = 0;
  failure: Error | undefined;
  readonly watch: BackendWatch;

  constructor() {
    const service: BackendAdapter = {
      address: "http://backend",
      pollMs: 60_000,
      facts: {},
      look: async () => {
        this.looks++;
        if (this.failure !== undefined) throw this.failure;
        return { models: ["m"], facts: {} };
      },
      serve: () => Promise.resolve(),
    };
    this.watch = new BackendWatch(service, this.clock, (state: BackendState) => this.told.push(state.ready));
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    await turn();
  }
}

test("a failed look stops nothing while answers come; it is made again soon", async () => {
  const place = new Place();
  await place.watch.start();
  await place.pass(59_000);
  place.watch.answered();
  place.failure = new Error("GET /models answered 500");
  await place.pass(1_000);
  expect([place.looks, place.told]).toEqual([2, [true]]);
  await place.pass(2_000);
  expect([place.looks, place.told]).toEqual([3, [true]]);
  await place.pass(ANSWERING_MS);
  expect(place.told).toEqual([true, false]);
});

test("a refused connection counts, whatever was answered before", async () => {
  const place = new Place();
  await place.watch.start();
  place.watch.answered();
  place.failure = refused();
  await place.pass(500);
  place.watch.lookNow();
  await turn();
  expect(place.told).toEqual([true, false]);
  place.failure = undefined;
  await place.pass(2_000);
  expect(place.told).toEqual([true, false, true]);
});

test("a storm of failures makes few looks", async () => {
  const place = new Place();
  await place.watch.start();
  await place.pass(1_000);
  for (let i = 0; i < 100; i++) {
    place.watch.lookNow();
    await place.pass(10);
  }
  expect(place.looks).toBeLessThanOrEqual(6);
  expect(place.looks).toBeGreaterThan(2);
});

test("without answers a failed look counts", async () => {
  const place = new Place();
  await place.watch.start();
  place.failure = new Error("GET /models answered 500");
  await place.pass(60_000);
  expect(place.told).toEqual([true, false]);
});
