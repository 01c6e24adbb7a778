// What the makers of channels are told, and when; without a socket.
import { expect, test } from "bun:test";
import { AccessLog, AccessRoute } from "../../../../src/broker/http/access-log.ts";
import type { ChunkReader } from "../../../../src/broker/http/body/body.ts";
import { errorResponse } from "../../../../src/broker/http/error-response.ts";
import { BrokerMetrics } from "../../../../src/broker/observe/metrics.ts";
import { TRANSFER_PROGRESS_MS } from "../../../../src/broker/transfer/limits.ts";
import { TransferMetrics } from "../../../../src/broker/transfer/metrics.ts";
import { type End, type TransferChannelOptions, Transfers } from "../../../../src/broker/transfer/transfers.ts";
import { Drain } from "../../../../src/lib/drain.ts";
import { silentLog } from "../../../../src/lib/log.ts";
import type { RouteCall } from "../../../../src/modules/route.ts";
import { principal } from "../../../kit/broker/principal.ts";
import { TestClock } from "../../../kit/time/clock.ts";
import { LIMITS } from "../../../kit/transfer/transfers.ts";

const server = { requestIP: () => null, timeout() {} };

class Place {
  readonly clock = new TestClock();
  readonly drain = new Drain();
  readonly metrics = new BrokerMetrics();
  readonly transfers = new Transfers({
    clock: this.clock,
    drain: this.drain,
    log: silentLog,
    metrics: new TransferMetrics(this.metrics),
    limits: LIMITS,
  });
  readonly #access = new AccessLog({ log: silentLog, clock: this.clock, enabled: true });
  /** What the maker of the channel was told. */
  readonly told: unknown[] = [];

  create(options: TransferChannelOptions = {}): string {
    const { told } = this;
    return this.transfers.create({
      onProgress: bytes => told.push(bytes),
      onEnd: (end, bytes) => told.push([end, bytes]),
      ...options,
    }).id;
  }

  /** A reader; its signal is the test's. */
  read(id: string, signal?: AbortSignal): Promise<Response> {
    return answered(this.transfers.read(this.#call(id, new Request("http://broker/", signal ? { signal } : {}))));
  }

  write(id: string, body: ReadableStream<Uint8Array> | string, signal?: AbortSignal): Promise<Response> {
    const request = new Request("http://broker/", { method: "POST", body, ...(signal && { signal }) });
    return answered(this.transfers.write(this.#call(id, request)));
  }

  #call(id: string, request: Request): RouteCall {
    const access = this.#access.begin(request, new AccessRoute(request.method, "/api/transfer/:id"));
    return { request, params: { id }, server, principal: principal(), access };
  }
}

/** The response, or what the mount would answer for the error. */
function answered(response: Promise<Response>): Promise<Response> {
  return response.catch((thrown: unknown) => errorResponse(thrown, "word"));
}

/** A body that the test writes. */
function hand(): { body: ReadableStream<Uint8Array>; send(text: string): Promise<void>; end(): Promise<void> } {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  return { body: readable, send: text => writer.write(Buffer.from(text)), end: () => writer.close() };
}

async function next(reader: Pick<ChunkReader, "read">): Promise<string> {
  return Buffer.from((await reader.read()).value ?? []).toString();
}

test("a running transfer tells its maker: when it begins, from time to time, and at its end", async () => {
  const place = new Place();
  const id = place.create();
  const { body, send, end } = hand();
  const answer = place.read(id);
  expect(place.told).toEqual([]);
  const written = place.write(id, body);
  expect(place.told).toEqual([0]);
  void send("one");
  const reader = (await answer).body?.getReader();
  if (reader === undefined) throw new Error("no body");
  expect(await next(reader)).toBe("one");
  expect(place.told).toEqual([0]);
  let bytes = 3;
  for (const word of ["two", "three", "four"]) {
    place.clock.advance(TRANSFER_PROGRESS_MS);
    void send(word);
    expect(await next(reader)).toBe(word);
    bytes += word.length;
    expect(place.told.at(-1)).toBe(bytes);
    void send("!");
    expect(await next(reader)).toBe("!");
    bytes++;
    expect(place.told.at(-1)).toBe(bytes - 1);
  }
  void end();
  expect((await reader.read()).done).toBeTrue();
  expect(await (await written).json()).toEqual({ status: "ok" });
  expect(place.told.slice(-1)).toEqual([["done", bytes]]);
  expect(place.told).toHaveLength(5);
});

test("its end is told once, however it ends", async () => {
  const ends: [string, (place: Place, id: string) => Promise<unknown>][] = [
    ["expired", async place => place.clock.advance(LIMITS.ttlMs)],
    ["closed", async (place, id) => place.transfers.close(id)],
    ["closed", async place => place.transfers.stop()],
    ["done", (place, id) => Promise.all([place.read(id).then(response => response.text()), place.write(id, "")])],
    [
      "reader_gone",
      async (place, id) => {
        const gone = new AbortController();
        const pending = [place.read(id, gone.signal), place.write(id, hand().body)];
        gone.abort();
        await Promise.all(pending);
      },
    ],
    [
      "writer_gone",
      async (place, id) => {
        const gone = new AbortController();
        const pending = [place.read(id), place.write(id, hand().body, gone.signal)];
        gone.abort();
        await Promise.all(pending);
      },
    ],
  ];
  for (const [outcome, reach] of ends) {
    const place = new Place();
    const id = place.create();
    await reach(place, id);
    place.transfers.close(id);
    place.clock.advance(LIMITS.ttlMs * 10);
    expect(place.told.filter(Array.isArray)).toEqual([[outcome, 0]]);
    expect([place.transfers.waiting, place.transfers.running, place.drain.inflight]).toEqual([0, 0, 0]);
  }
});

test("a maker that fails does not harm it, and is counted", async () => {
  const place = new Place();
  const fail = (): never => {
    throw new Error("the store is gone");
  };
  const id = place.create({ onProgress: fail, onEnd: fail });
  const read = place.read(id).then(({ body }) => body && next(body.getReader()));
  const written = place.write(id, "all of it");
  expect(await read).toBe("all of it");
  place.transfers.close(id);
  expect((await written).status).toBe(410);
  expect(await (await place.metrics.response()).text()).toContain("\nnfrx_unhandled_errors_total 2\n");
});

test.each(["reader", "writer"] as const)("whose %s is awaited, until it comes and after it has left", async client => {
  const place = new Place();
  const other: End = client === "reader" ? "writer" : "reader";
  const come = (end: End, id: string, signal: AbortSignal): Promise<Response> =>
    end === "reader" ? place.read(id, signal) : place.write(id, "x", signal);
  const id = place.create({ client });
  const first = new AbortController();
  expect(place.transfers.awaitsClient(id)).toBeTrue();
  const waits = come(other, id, new AbortController().signal);
  expect([place.transfers.awaitsClient(id), place.transfers.awaits(id, other)]).toEqual([true, false]);
  expect(place.transfers.awaitsClient(crypto.randomUUID())).toBeFalse();
  expect(place.transfers.awaitsClient(place.transfers.create().id)).toBeFalse();
  place.transfers.close(id);
  expect((await waits).status).toBe(410);
  expect(place.transfers.awaitsClient(id)).toBeFalse();

  const again = place.create({ client });
  const gone = come(client, again, first.signal);
  expect(place.transfers.awaitsClient(again)).toBeFalse();
  first.abort();
  expect((await gone).status).toBe(499);
  expect(place.transfers.awaitsClient(again)).toBeTrue();
  expect(place.drain.inflight).toBe(0);
});

test("a request that is gone before it comes takes no place", async () => {
  const place = new Place();
  const id = place.create();
  const gone = AbortSignal.abort();
  expect((await place.read(id, gone)).status).toBe(499);
  expect((await place.write(id, "x", gone)).status).toBe(499);
  expect([place.transfers.awaits(id, "reader"), place.transfers.awaits(id, "writer")]).toEqual([true, true]);
  expect([place.told, place.drain.inflight]).toEqual([[], 0]);
});
