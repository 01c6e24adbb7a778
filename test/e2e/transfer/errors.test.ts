// What a channel says to whom it does not serve.
import { expect, test } from "bun:test";
import { REFUSED_UPLOAD_BYTES, REFUSED_UPLOAD_MS } from "../../../src/broker/http/body/refuse.ts";
import { TRANSFER_ENDED_MS } from "../../../src/broker/transfer/limits.ts";
import { Call, call } from "../../kit/http/call.ts";
import { answerOf, header, KEY, LIMITS, TransferWorld } from "../../kit/transfer/transfers.ts";

const MIB = 1024 * 1024;
const OK: [number, unknown] = [200, { status: "ok" }];
const error = (status: number, word: string): [number, unknown] => [status, { error: word }];
const NOT_FOUND = error(404, "transfer_not_found");
const EXPIRED = error(410, "transfer_expired");
const CLOSED = error(410, "transfer_closed");
const IN_USE = error(409, "transfer_in_use");

/** What a reader and a writer hear who come now. */
async function hears(world: TransferWorld, id: string): Promise<[number, unknown][]> {
  return [await answerOf(world.reader(id)), await answerOf(world.writer(id, { body: "x" }))];
}

test.each([
  ["another broker's", crypto.randomUUID()],
  ["short", "x"],
  ["blank", "%20"],
  ["no UTF-8", "%ff"],
  ["a path", "..%2f.."],
  ["long", "a".repeat(5000)],
])("no channel has an id that is %s", async (_, id) => {
  await using world = new TransferWorld();
  world.transfers.create();
  expect(await hears(world, id)).toEqual([NOT_FOUND, NOT_FOUND]);
  expect(world.transfers.waiting).toBe(1);
});

test.each(["reader", "writer", "nobody"] as const)("time is up while %s waits", async who => {
  await using world = new TransferWorld();
  const { id } = world.transfers.create();
  const early =
    who === "nobody" ? undefined : who === "reader" ? world.reader(id) : world.writer(id, { body: "early" });
  if (who !== "nobody") await world.waits(id, who);
  world.clock.advance(LIMITS.ttlMs - 1);
  expect(world.transfers.waiting).toBe(1);
  world.clock.advance(1);
  if (early !== undefined) expect(await answerOf(early)).toEqual(EXPIRED);
  expect(await hears(world, id)).toEqual([EXPIRED, EXPIRED]);
  expect([world.transfers.waiting, world.drain.inflight, world.clock.armed]).toEqual([0, 0, 0]);
  expect(world.outcomes).toEqual(["expired"]);
  world.clock.advance(TRANSFER_ENDED_MS);
  expect(await hears(world, id)).toEqual([NOT_FOUND, NOT_FOUND]);
});

test("whoever makes a channel says how long it waits; what runs is not bound by that", async () => {
  await using world = new TransferWorld();
  const short = world.transfers.create({ ttlMs: 10 });
  const long = world.transfers.create({ ttlMs: LIMITS.ttlMs * 10 });
  expect([short.expiresAt, long.expiresAt]).toEqual([world.clock.wall() + 10, world.clock.wall() + 600_000]);
  world.clock.advance(LIMITS.ttlMs);
  expect(await answerOf(world.reader(short.id))).toEqual(EXPIRED);
  const reader = world.reader(long.id);
  const writer = world.writer(long.id);
  await writer.send("one ");
  await reader.shows("one ");
  world.clock.advance(LIMITS.ttlMs * 2);
  await writer.send("two ");
  await reader.shows("two ");
  world.clock.advance(LIMITS.ttlMs * 4);
  await writer.send("three");
  await reader.shows("three");
  world.clock.advance(LIMITS.ttlMs * 4);
  await writer.finish();
  expect(await answerOf(writer)).toEqual(OK);
});

test("one reader, one writer; a second of either does not disturb the first", async () => {
  await using world = new TransferWorld();
  const { id } = world.transfers.create();
  const reader = world.reader(id);
  await world.waits(id, "reader");
  expect(await answerOf(world.reader(id))).toEqual(IN_USE);
  const writer = world.writer(id);
  await writer.send("one ");
  await reader.shows("one ");
  expect(await hears(world, id)).toEqual([IN_USE, IN_USE]);
  await writer.finish();
  expect((await reader.answer()).body.toString()).toBe("one ");
  expect(await answerOf(writer)).toEqual(OK);
  expect(await hears(world, id)).toEqual([CLOSED, CLOSED]);

  const other = world.transfers.create();
  const first = world.writer(other.id, { body: "first" });
  await world.waits(other.id, "writer");
  expect(await answerOf(world.writer(other.id, { body: "second" }))).toEqual(IN_USE);
  expect((await world.reader(other.id).answer()).body.toString()).toBe("first");
  expect(await answerOf(first)).toEqual(OK);
  expect(world.outcomes).toEqual(["done", "done"]);
  expect(await world.metric('nfrx_refused_total{reason="transfer_in_use"}')).toBe(4);
});

test("whoever made a channel may end it", async () => {
  await using world = new TransferWorld();
  const waiting = world.transfers.create();
  const reader = world.reader(waiting.id);
  await world.waits(waiting.id, "reader");
  world.transfers.close(waiting.id);
  expect(await answerOf(reader)).toEqual(CLOSED);

  const silent = world.pair();
  await world.waits(silent.id, "writer");
  await world.waits(silent.id, "reader");
  world.transfers.close(silent.id);
  expect(await answerOf(silent.reader)).toEqual(CLOSED);
  world.clock.advance(REFUSED_UPLOAD_MS);
  expect(await answerOf(silent.writer)).toEqual(CLOSED);

  const running = world.pair();
  await running.writer.send("one ");
  await running.reader.shows("one ");
  world.transfers.close(running.id);
  expect((await running.reader.answer()).complete).toBeFalse();
  await running.writer.head();
  world.clock.advance(REFUSED_UPLOAD_MS);
  expect(await answerOf(running.writer)).toEqual(CLOSED);
  for (const { id } of [waiting, silent, running]) expect(await hears(world, id)).toEqual([CLOSED, CLOSED]);
  expect(world.outcomes).toEqual(["closed", "closed", "closed"]);
  await world.quiet();
  world.transfers.close(crypto.randomUUID());
});

test("channels are so many and no more", async () => {
  await using world = new TransferWorld({ channels: 2 });
  const first = world.transfers.create();
  world.transfers.create();
  expect(() => world.transfers.create()).toThrow("too many");
  const answer = await call(`${world.origin}/api/transfer`, { method: "POST", headers: KEY });
  expect([answer.status, answer.body.toString()]).toEqual([503, '{"error":"overloaded"}']);
  expect(header(answer, "retry-after")).toBe("5");
  world.transfers.close(first.id);
  expect((await call(`${world.origin}/api/transfer`, { method: "POST", headers: KEY })).status).toBe(200);
});

test("a broker that drains opens no channel; those that are open serve, and it waits where somebody is", async () => {
  await using world = new TransferWorld();
  const running = world.pair();
  await running.writer.send("one ");
  await running.reader.shows("one ");
  const waiting = world.transfers.create();
  const reader = world.reader(waiting.id);
  await world.waits(waiting.id, "reader");
  const untouched = world.transfers.create();
  const finished = world.drain.finish(world.clock, 1_000_000);

  const answer = await call(`${world.origin}/api/transfer`, { method: "POST", headers: KEY });
  expect([answer.status, answer.body.toString()]).toEqual([503, '{"error":"draining"}']);
  expect(header(answer, "retry-after")).toBe("10");
  expect(world.drain.inflight).toBe(2);
  const late = world.reader(untouched.id);
  await world.waits(untouched.id, "reader");
  expect(world.drain.inflight).toBe(3);
  expect(await answerOf(world.writer(untouched.id, { body: "late" }))).toEqual(OK);
  expect((await late.answer()).body.toString()).toBe("late");

  expect(await answerOf(world.writer(waiting.id, { body: "in time" }))).toEqual(OK);
  expect((await reader.answer()).body.toString()).toBe("in time");
  expect(world.drain.inflight).toBe(1);
  await running.writer.finish();
  expect((await running.reader.answer()).complete).toBeTrue();
  expect(await answerOf(running.writer)).toEqual(OK);
  expect(await finished).toBeTrue();
});

test("an upload that nobody wants is answered at once; a small one is taken to its end", async () => {
  await using world = new TransferWorld();
  const small = new Call(world.url("x"), { headers: KEY, body: Buffer.alloc(0), announced: REFUSED_UPLOAD_BYTES });
  expect((await small.head()).status).toBe(404);
  await small.raw(Buffer.alloc(REFUSED_UPLOAD_BYTES));
  expect(header(await small.head(), "connection")).toBeUndefined();
  expect(await answerOf(small)).toEqual(NOT_FOUND);
});

test.each(["announced", "chunked"] as const)(
  "a large upload that nobody wants (%s) may go on for a moment",
  async how => {
    await using world = new TransferWorld();
    const begin = (): Call =>
      how === "chunked" ? world.writer("x") : world.writer("x", { body: Buffer.alloc(0), announced: 64 * MIB });
    const send = (upload: Call, bytes: number): Promise<void> =>
      how === "chunked" ? upload.send(Buffer.alloc(bytes)) : upload.raw(Buffer.alloc(bytes));

    const stops = begin();
    await send(stops, MIB);
    await stops.shows("transfer_not_found");
    expect(header(await stops.head(), "connection")).toBe("close");
    world.clock.advance(REFUSED_UPLOAD_MS);
    expect((await stops.answer()).complete).toBeTrue();
    await stops.closed();

    const ends = begin();
    await send(ends, 64 * MIB);
    if (how === "chunked") await ends.finish();
    expect(await answerOf(ends)).toEqual(NOT_FOUND);

    const vanishes = begin();
    await send(vanishes, MIB);
    await vanishes.shows("transfer_not_found");
    vanishes.abort("rst");
    await vanishes.closed();
  },
);
