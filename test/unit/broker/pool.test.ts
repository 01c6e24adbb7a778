import { describe, expect, test } from "bun:test";
import { SEEN_MS } from "../../../src/broker/pool/limits.ts";
import { Pool } from "../../../src/broker/pool/pool.ts";
import { usualTurn } from "../../../src/broker/pool/queue.ts";
import type { Slot, SlotRequest } from "../../../src/broker/pool/slot.ts";
import { Worker } from "../../../src/broker/pool/worker.ts";
import { type NfrxError, toNfrxError } from "../../../src/lib/errors.ts";
import type { PoolSettings } from "../../../src/modules/module.ts";
import { UNROUTABLE_MS } from "../../../src/protocol/limits.ts";
import { registerMessage, statusMessage } from "../../../src/protocol/messages.ts";
import { linkOf } from "../../kit/protocol/link-of.ts";
import { LinkedPair } from "../../kit/protocol/linked-pair.ts";
import { TestClock } from "../../kit/time/clock.ts";

const SETTINGS: PoolSettings = {
  queueSize: 1000,
  queueTimeoutMs: 60_000,
  queueUpdateMs: 0,
  graceMs: 0,
  minScore: 0.5,
  maxParallel: 1,
  maxSlotExempt: 2,
  maxSlots: 100,
};

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

/** A request on its way to a seat. */
interface Asked {
  name: string;
  slotRequest: SlotRequest;
  slot: Slot | undefined;
  error: NfrxError | undefined;
  abort(): void;
}

class Place {
  readonly clock = new TestClock();
  readonly pool: Pool;
  /** Names of the requests that got a seat, in order. */
  readonly slotAcquired: string[] = [];

  constructor(settings: Partial<PoolSettings> = {}) {
    this.pool = new Pool("llm", this.clock, { ...SETTINGS, ...settings });
  }

  worker(id: string, models: string[] = ["m"], maxConcurrency = 1): Worker {
    const pair = new LinkedPair({ clock: this.clock });
    const register = registerMessage.parse({
      type: "register",
      worker_id: id,
      models,
      max_concurrency: maxConcurrency,
    });
    return new Worker(pair.broker, register, "remote", this.clock);
  }

  join(id: string, models?: string[], maxConcurrency?: number): Worker {
    const worker = this.worker(id, models, maxConcurrency);
    this.pool.join(worker);
    return worker;
  }

  ask(name: string, label: string | undefined = "m", fields: Partial<SlotRequest> = {}): Asked {
    const abort = new AbortController();
    const slotRequest: SlotRequest = {
      label,
      turn: () => usualTurn(name.slice(0, 1)),
      signal: abort.signal,
      ...fields,
    };
    const asked: Asked = { name, slotRequest, slot: undefined, error: undefined, abort: () => abort.abort() };
    this.again(asked);
    return asked;
  }

  /** Asks with the same wish, and so with the same ticket. */
  again(asked: Asked): void {
    asked.slot = undefined;
    const take = (slot: Slot): void => {
      asked.slot = slot;
      this.slotAcquired.push(asked.name);
    };
    try {
      const acquired = this.pool.acquire(asked.slotRequest);
      if (!(acquired instanceof Promise)) return take(acquired);
      acquired.then(take, (error: NfrxError) => {
        asked.error = error;
      });
    } catch (error) {
      asked.error = toNfrxError(error);
    }
  }
}

const status = (fields: object) => statusMessage.parse({ type: "status_update", max_concurrency: 1, ...fields });

describe("seats", () => {
  test("never more than a worker's concurrency", async () => {
    const place = new Place();
    const worker = place.join("w", ["m"], 3);
    const { armed } = place.clock;
    const asked = Array.from({ length: 10 }, (_, n) => place.ask(`a${n}`));
    const held = (): Asked[] => asked.filter(({ slot }) => slot !== undefined);
    for (let round = 0; round < 10; round++) {
      await turn();
      expect(worker.inflight).toBeLessThanOrEqual(3);
      expect(place.pool.inflight).toBe(worker.inflight);
      const first = held()[0];
      if (first === undefined) break;
      first.slot?.release();
      first.slot?.release();
      first.slot = undefined;
    }
    await turn();
    expect(place.slotAcquired).toEqual(asked.map(({ name }) => name));
    for (const { slot } of held()) slot?.release();
    expect([worker.inflight, place.pool.inflight, place.pool.waiting, place.clock.armed]).toEqual([0, 0, 0, armed]);
  });

  test("a smaller concurrency takes no seat away and gives none", async () => {
    const place = new Place();
    const worker = place.join("w", ["m"], 3);
    const [a, b, c] = [place.ask("a"), place.ask("b"), place.ask("c")];
    place.pool.change(worker, () => worker.update(status({ max_concurrency: 1 })));
    const d = place.ask("d");
    a.slot?.release();
    b.slot?.release();
    await turn();
    expect([worker.inflight, worker.free, d.slot]).toEqual([1, 0, undefined]);
    c.slot?.release();
    await turn();
    expect(d.slot?.worker).toBe(worker);
  });

  test("equal workers take turns", () => {
    const place = new Place();
    for (const id of ["a", "b", "c"]) place.join(id);
    const order = Array.from({ length: 9 }, () => {
      const { slot } = place.ask("x");
      const id = slot?.worker.id;
      slot?.release();
      return id;
    });
    expect(order.join("")).toBe("abcabcabc");
  });

  test("another quantization only where no connected worker has the model", () => {
    const place = new Place();
    place.join("quantized", ["llama3:8b-q4_0"]);
    expect(place.ask("x", "llama3:8b").slot?.worker.id).toBe("quantized");
    const exact = place.join("exact", ["llama3:8b"]);
    expect(place.ask("x", "llama3:8b").slot?.worker.id).toBe("exact");
    const waiting = place.ask("x", "llama3:8b");
    expect([waiting.slot, waiting.error]).toEqual([undefined, undefined]);
    place.pool.leave(exact);
    expect(
      place.ask("x", "llama3:8b-fp16", { endpoint: { method: "POST", backendPath: "/x", exact: true } }).error,
    ).toMatchObject({
      code: "no_worker",
    });
    expect(place.ask("x", "llama3:8b-instruct").error?.code).toBe("no_worker");
    expect(place.ask("x", "llama3:70b").error?.code).toBe("no_worker");
    const strict = new Place({ minScore: 1 });
    strict.join("quantized", ["llama3:8b-q4_0"]);
    expect(strict.ask("x", "llama3:8b").error?.code).toBe("no_worker");
  });

  test("a pinned request goes to its worker or nowhere", async () => {
    const place = new Place({ graceMs: 1000 });
    const [a] = [place.join("a"), place.join("b")];
    const first = place.ask("x", "m", { workerId: "a" });
    const second = place.ask("y", "m", { workerId: "a" });
    expect([first.slot?.worker, second.slot]).toEqual([a, undefined]);
    expect(place.ask("z", "m", { workerId: "c" }).error?.message).toContain("no worker c");
    place.pool.leave(a);
    await turn();
    expect(second.error?.code).toBe("no_worker");
  });

  test("several free ones at once, each once", () => {
    const place = new Place();
    for (const id of ["a", "b", "c"]) place.join(id, ["m"], 2);
    const { slotRequest } = place.ask("x");
    const slots = place.pool.acquireFree(slotRequest, 5);
    expect(slots.map(({ worker }) => worker.id).sort()).toEqual(["a", "b", "c"]);
    expect(place.pool.acquireFree(slotRequest, 2)).toHaveLength(2);
    expect(place.pool.inflight).toBe(6);
    expect(place.pool.acquireFree(slotRequest, 2)).toEqual([]);
    for (const slot of slots) slot.release();
    expect(place.pool.inflight).toBe(3);
  });

  test("none at a worker whose connection is silent", async () => {
    const place = new Place();
    const worker = place.join("w");
    place.clock.advance(UNROUTABLE_MS);
    const asked = place.ask("x");
    expect([asked.slot, asked.error, worker.free, worker.present]).toEqual([undefined, undefined, 0, true]);
    linkOf(worker).receive('{"type":"heartbeat"}');
    place.pool.wake();
    await turn();
    expect(asked.slot?.worker).toBe(worker);
  });
});

describe("waiting", () => {
  test("callers take turns, each in its own order", async () => {
    const place = new Place();
    place.join("w");
    const running = place.ask("r");
    const asked = [...Array.from({ length: 200 }, (_, n) => `a${n}`), "b0", "b1", "c0"].map(name => place.ask(name));
    expect(place.pool.waiting).toBe(203);
    running.slot?.release();
    for (let n = 0; n < 6; n++) {
      await turn();
      asked.find(({ name }) => name === place.slotAcquired.at(-1))?.slot?.release();
    }
    await turn();
    expect(place.slotAcquired.slice(1)).toEqual(["a0", "b0", "c0", "a1", "b1", "a2", "a3"]);
  });

  test("who cannot run is passed over and keeps the place", async () => {
    const place = new Place();
    const [m, n] = [place.join("m", ["m"]), place.join("n", ["n"])];
    const [holdM, holdN] = [place.ask("x", "m"), place.ask("x", "n")];
    const [first, second, third] = [place.ask("a1", "m"), place.ask("b1", "n"), place.ask("c1", "m")];
    holdN.slot?.release();
    await turn();
    expect([first.slot, second.slot?.worker, third.slot]).toEqual([undefined, n, undefined]);
    expect(place.pool.position(first.slotRequest)).toBe(1);
    expect(place.pool.position(third.slotRequest)).toBe(2);
    expect(place.pool.position(second.slotRequest)).toBe(0);
    holdM.slot?.release();
    await turn();
    expect([first.slot?.worker, third.slot]).toEqual([m, undefined]);
  });

  test("a request that failed comes back to its old place", async () => {
    const place = new Place();
    place.join("w");
    const running = place.ask("r");
    const [first, second] = [place.ask("a1"), place.ask("a2")];
    running.slot?.release();
    await turn();
    expect([first.slot !== undefined, second.slot]).toEqual([true, undefined]);
    const { ticket } = first.slotRequest;
    const other = place.join("v", ["v"]);
    first.slotRequest.excluded = new Set([other.connectionId]);
    const slot = first.slot;
    place.ask("a3");
    place.again(first);
    expect(first.slotRequest.ticket).toBe(ticket!);
    expect(place.pool.position(first.slotRequest)).toBe(1);
    slot?.release();
    await turn();
    expect(place.slotAcquired.at(-1)).toBe("a1");
  });

  test("and may do so when the queue is full", async () => {
    const place = new Place({ queueSize: 1 });
    const worker = place.join("w");
    const running = place.ask("r");
    const first = place.ask("a1");
    expect(place.ask("a2").error).toMatchObject({ code: "worker_busy", status: 503, detail: { retryAfterSeconds: 5 } });
    running.slot?.release();
    await turn();
    const slot = first.slot;
    const second = place.ask("a2");
    expect([second.error, place.pool.waiting]).toEqual([undefined, 1]);
    place.again(first);
    expect([first.error, place.pool.waiting]).toEqual([undefined, 2]);
    slot?.release();
    await turn();
    expect(first.slot?.worker).toBe(worker);
  });

  test("has an end", async () => {
    const place = new Place({ queueTimeoutMs: 1000 });
    place.join("w");
    const running = place.ask("r");
    const [first] = [place.ask("a1")];
    place.clock.advance(400);
    const second = place.ask("a2");
    place.clock.advance(599);
    await turn();
    expect([first.error, place.pool.waiting]).toEqual([undefined, 2]);
    place.clock.advance(1);
    await turn();
    expect(first.error).toMatchObject({ code: "worker_busy", detail: { retryAfterSeconds: 5 } });
    expect(place.pool.waiting).toBe(1);
    running.slot?.release();
    await turn();
    place.clock.advance(1000);
    await turn();
    expect([second.error, second.slot !== undefined]).toEqual([undefined, true]);
  });

  test("ends when the client goes away", async () => {
    const place = new Place();
    place.join("w");
    const running = place.ask("r");
    let waits = 0;
    const first = place.ask("a1", "m", { onWait: () => waits++ });
    const second = place.ask("a2");
    first.abort();
    await turn();
    expect([first.error?.code, place.pool.waiting, waits]).toEqual(["canceled", 1, 1]);
    running.slot?.release();
    await turn();
    expect([first.slot, second.slot !== undefined]).toEqual([undefined, true]);
    second.abort();
    expect(place.pool.inflight).toBe(1);
    const gone = place.ask("a3", "m", { signal: AbortSignal.abort() });
    await turn();
    expect([gone.error?.code, place.pool.waiting]).toEqual(["canceled", 0]);
  });

  test("leaves nothing behind", async () => {
    const place = new Place({ queueTimeoutMs: 1000 });
    place.join("w");
    const armed = place.clock.armed;
    const running = place.ask("r");
    const [a, b, c] = [place.ask("a"), place.ask("b"), place.ask("c")];
    expect(place.clock.armed).toBe(armed + 3);
    a.abort();
    running.slot?.release();
    await turn();
    b.slot?.release();
    await turn();
    c.slot?.release();
    expect([place.clock.armed, place.pool.waiting, place.pool.inflight]).toEqual([armed, 0, 0]);
  });
});

describe("workers that come and go", () => {
  test("nobody serves it", () => {
    const place = new Place();
    expect(place.ask("x").error).toMatchObject({ code: "no_worker", status: 404, detail: { param: "model" } });
    const anyone = new Place();
    expect(place.pool.acquireFree(anyone.ask("x").slotRequest, 1)).toEqual([]);
    const pool = new Pool("docling", place.clock, SETTINGS);
    expect(() =>
      pool.acquire({ label: undefined, turn: () => usualTurn(""), signal: new AbortController().signal }),
    ).toThrow("no worker");
  });

  test("nobody serves it now: 503 when it was here within the hour, or is about to leave, else 404", () => {
    const place = new Place();
    const worker = place.join("w", ["m", "n"]);
    const answers = (): unknown[] =>
      [place.pool.absence("m"), place.pool.absence("n", "w"), place.pool.absence(undefined, "w")].map(
        ({ status, code, detail }) => [status, code, detail.retryAfterSeconds],
      );
    place.pool.change(worker, () => worker.update(status({ max_concurrency: 1, status: "draining" })));
    const later = [503, "no_worker", 5];
    expect(answers()).toEqual([later, later, later]);
    place.pool.leave(worker);
    expect(answers()).toEqual([later, later, later]);
    expect(place.ask("x").error).toMatchObject({
      code: "no_worker",
      status: 503,
      message: "no worker serves model m now",
    });
    place.clock.advance(SEEN_MS - 1);
    expect(answers()).toEqual([later, later, later]);
    place.clock.advance(1);
    const never = [404, "no_worker", undefined];
    expect(answers()).toEqual([never, never, never]);
  });

  test("a model that a worker gave up while it stayed is unknown", () => {
    const place = new Place();
    const worker = place.join("w", ["m", "n"]);
    place.pool.change(worker, () => worker.update(status({ max_concurrency: 1, models: ["n"] })));
    expect(place.pool.absence("m").status).toBe(404);
    expect(place.pool.absence("m", "w").status).toBe(404);
  });

  test("a broker that has just started does not know yet what there is", () => {
    const clock = new TestClock();
    const pool = new Pool("llm", clock, SETTINGS, 40_000);
    const statuses = (): number[] => [pool.absence("m").status, pool.absence("m", "w").status];
    expect(statuses()).toEqual([503, 503]);
    clock.advance(39_999);
    expect(statuses()).toEqual([503, 503]);
    clock.advance(1);
    expect(statuses()).toEqual([404, 404]);
  });

  test("any worker will do where there are no models", () => {
    const place = new Place();
    const worker = place.join("w", []);
    const asked = place.ask("x", "m", { label: undefined });
    expect(asked.slot?.worker).toBe(worker);
  });

  test("a newcomer serves who waits", async () => {
    const place = new Place();
    place.join("a");
    place.ask("r");
    const waiting = place.ask("x");
    const other = place.join("b");
    await turn();
    expect(waiting.slot?.worker).toBe(other);
  });

  test("a worker that becomes ready, or learns a model, serves who waits", async () => {
    const place = new Place({ graceMs: 5000 });
    const worker = place.join("w", ["m"], 0);
    const waiting = place.ask("x");
    expect(waiting.slot).toBeUndefined();
    place.pool.change(worker, () => worker.update(status({ max_concurrency: 1, status: "not_ready" })));
    await turn();
    expect([waiting.slot, waiting.error, worker.state]).toEqual([undefined, undefined, "not_ready"]);
    place.pool.change(worker, () => worker.update(status({ max_concurrency: 1, status: "idle" })));
    await turn();
    expect(waiting.slot?.worker).toBe(worker);
  });

  test("who waits for a worker that leaves is told", async () => {
    const place = new Place();
    const worker = place.join("w");
    place.ask("r");
    const waiting = place.ask("x");
    place.pool.leave(worker);
    await turn();
    expect(waiting.error?.code).toBe("no_worker");
    expect(worker.state).toBe("gone");
  });

  test("unless it was gone for a moment only", async () => {
    const place = new Place({ graceMs: 5000 });
    const worker = place.join("w");
    place.ask("r");
    const waiting = place.ask("x");
    place.pool.leave(worker);
    const servesDuringDrain = place.ask("y");
    place.clock.advance(4999);
    await turn();
    expect([waiting.error, servesDuringDrain.error, place.pool.waiting]).toEqual([undefined, undefined, 2]);
    const back = place.join("w", ["m"], 2);
    await turn();
    expect([waiting.slot?.worker, servesDuringDrain.slot?.worker]).toEqual([back, back]);
  });

  test("and the moment ends", async () => {
    const place = new Place({ graceMs: 5000 });
    const worker = place.join("w", ["m", "llama3:8b-q4"]);
    const anyone = place.ask("r");
    expect(anyone.slot).toBeDefined();
    place.pool.leave(worker);
    const asked = [place.ask("x"), place.ask("y", "llama3:8b"), place.ask("z", "m", { label: undefined })];
    expect(place.ask("other", "unknown").error?.code).toBe("no_worker");
    place.clock.advance(5000);
    await turn();
    expect(asked.map(({ error }) => error?.code)).toEqual(["no_worker", "no_worker", "overloaded"]);
    expect(place.ask("x").error?.code).toBe("no_worker");
    expect(place.pool.waiting).toBe(0);
  });

  test("a draining worker takes nothing new and finishes what it has", async () => {
    const place = new Place();
    const worker = place.join("w", ["m"], 2);
    const running = place.ask("r");
    place.pool.change(worker, () => worker.update(status({ max_concurrency: 2, status: "draining" })));
    expect([worker.state, place.ask("x").error?.code]).toEqual(["draining", "no_worker"]);
    running.slot?.release();
    expect([worker.inflight, place.pool.inflight]).toEqual([0, 0]);
    expect(place.pool.registry.models()).toEqual([]);
  });

  test("what its work needs to end reaches a worker that drains, and nothing else", () => {
    const place = new Place();
    const worker = place.join("w");
    place.pool.change(worker, () => worker.update(status({ max_concurrency: 0, status: "draining" })));
    expect(place.ask("visit", "m", { exemptFromSlots: true }).error?.code).toBe("no_worker");
    const servesDuringDrain = place.ask("late", "m", { exemptFromSlots: true, servesDuringDrain: true });
    expect([servesDuringDrain.slot?.worker, worker.slotExempt]).toEqual([worker, 1]);
    servesDuringDrain.slot?.release();
    place.pool.leave(worker);
    expect(place.ask("later", "m", { exemptFromSlots: true, servesDuringDrain: true }).error?.code).toBe("no_worker");
    expect(worker.slotExempt).toBe(0);
  });

  test("a model that a worker no longer names is gone with its last worker", async () => {
    const place = new Place();
    const [a, b] = [place.join("a", ["m", "n"]), place.join("b", ["m"])];
    place.pool.change(a, () => a.update(status({ models: ["n"] })));
    expect(place.ask("x").slot?.worker).toBe(b);
    expect(place.ask("y", "n").slot?.worker).toBe(a);
    place.pool.change(b, () => b.update(status({ models: [] })));
    expect(place.ask("z").error?.code).toBe("no_worker");
    expect(place.pool.registry.models().map(({ id, owners }) => [id, owners])).toEqual([["n", ["a"]]]);
  });

  test("a newer connection of the same id takes the older one's place", async () => {
    const place = new Place();
    const older = place.join("w", ["m"], 1);
    const running = place.ask("r");
    const waiting = place.ask("x");
    const newer = place.worker("w", ["m"], 1);
    expect(place.pool.join(newer)).toBe(older);
    await turn();
    expect([older.gone, waiting.slot?.worker, place.pool.registry.size]).toEqual([true, newer, 1]);
    // What the older one still had, and its leaving, change nothing for the newer.
    running.slot?.release();
    place.pool.leave(older);
    expect([older.inflight, newer.inflight, place.pool.inflight, place.pool.registry.get("w")]).toEqual([
      0,
      1,
      1,
      newer,
    ]);
    expect(place.ask("y").error).toBeUndefined();
  });

  test("counts of links that are gone stay in the sum", () => {
    const place = new Place();
    const [a, b] = [place.join("a"), place.join("b")];
    a.upstream.stats.bytesIn += 100;
    b.upstream.stats.bytesIn += 10;
    place.pool.leave(a);
    place.pool.leave(a);
    expect(place.pool.linkStats.bytesIn).toBe(110);
    place.join("b");
    expect(place.pool.linkStats.bytesIn).toBe(110);
    place.pool.leave(b);
    expect(place.pool.linkStats.bytesIn).toBe(110);
  });

  test("the first worker is waited for", async () => {
    const place = new Place();
    const first = place.pool.firstWorker();
    const worker = place.join("a");
    place.join("b");
    expect(await first).toBe(worker);
    expect(await place.pool.firstWorker()).toBe(worker);
  });
});

describe("a worker that fails", () => {
  /** A pool of two, of which one rests and one is busy. */
  async function place(settings: Partial<PoolSettings> = {}): Promise<{ place: Place; failing: Worker; busy: Asked }> {
    const made = new Place(settings);
    const failing = made.join("failing");
    for (const name of ["a", "b"]) {
      const asked = made.ask(name);
      asked.slot?.report("failed");
      asked.slot?.release();
    }
    made.join("other");
    const busy = made.ask("busy");
    await turn();
    return { place: made, failing, busy };
  }

  test("gets nothing while another one serves, and one probe when its rest is over", async () => {
    const { place: made, failing, busy } = await place();
    expect([failing.resting, busy.slot?.worker.id]).toEqual([true, "other"]);
    const [first, second] = [made.ask("x"), made.ask("y")];
    expect([first.slot, second.slot]).toEqual([undefined, undefined]);
    made.clock.advance(1_000);
    await turn();
    expect([first.slot?.worker, second.slot]).toEqual([failing, undefined]);
    first.slot?.report("ok");
    first.slot?.release();
    await turn();
    expect([failing.resting, second.slot?.worker]).toEqual([false, failing]);
  });

  test("is better than nobody for a request that cannot wait", async () => {
    const { place: made, failing } = await place({ queueSize: 0 });
    expect(made.ask("x").slot?.worker).toBe(failing);
  });

  test("serves who waits once the other one has left", async () => {
    const { place: made, failing, busy } = await place();
    const waiting = made.ask("x");
    const other = busy.slot?.worker;
    if (other !== undefined) made.pool.leave(other);
    await turn();
    expect(waiting.slot?.worker).toBe(failing);
  });

  test("whose probe tells nothing is probed by the next request", async () => {
    const { place: made, failing } = await place();
    made.clock.advance(1_000);
    const probe = made.ask("x");
    expect(probe.slot?.worker).toBe(failing);
    probe.slot?.release();
    expect(made.ask("y").slot?.worker).toBe(failing);
  });
});
