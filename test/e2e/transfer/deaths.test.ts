// Ends that die or fall silent on the way.
import { expect, test } from "bun:test";
import { REFUSED_UPLOAD_MS } from "../../../src/broker/http/body/refuse.ts";
import { eventually } from "../../kit/time/until.ts";
import { answerOf, LIMITS, TransferWorld } from "../../kit/transfer/transfers.ts";

const MIB = 1024 * 1024;
const FAILED: [number, unknown] = [502, { error: "transfer_failed" }];
const CLOSED: [number, unknown] = [410, { error: "transfer_closed" }];

/** Nothing is left of it, and it is over for whoever comes later. */
async function isOver(world: TransferWorld, id: string, outcome: string): Promise<void> {
  await world.quiet();
  expect(world.outcomes).toEqual([outcome]);
  expect([world.transfers.waiting, world.clock.armed]).toEqual([0, 0]);
  expect(await answerOf(world.reader(id))).toEqual(CLOSED);
  expect(await answerOf(world.writer(id, { body: "x" }))).toEqual(CLOSED);
  expect(await world.metric(`nfrx_transfers_total{outcome="${outcome}"}`)).toBe(1);
  expect(world.logs.filter(({ level }) => level === "error")).toEqual([]);
}

for (const how of ["fin", "rst"] as const) {
  test.each(["announced", "chunked"] as const)(
    `a writer that dies (${how}, %s): its reader's answer is cut`,
    async form => {
      await using world = new TransferWorld();
      const { id, reader, writer } = world.pair(form === "chunked" ? {} : { body: "one ", announced: 1000 });
      if (form === "chunked") await writer.send("one ");
      await reader.shows("one ");
      writer.abort(how);
      const read = await reader.answer();
      expect([read.status, read.body.toString(), read.complete]).toEqual([200, "one ", false]);
      await isOver(world, id, "writer_gone");
    },
  );

  test(`a writer that dies (${how}) before its first byte: a 502 for its reader`, async () => {
    await using world = new TransferWorld();
    const { id, reader, writer } = world.pair();
    await eventually(() => world.transfers.running === 1, "they meet");
    writer.abort(how);
    expect(await answerOf(reader)).toEqual(FAILED);
    await isOver(world, id, "writer_gone");
  });

  test(`a reader that dies (${how}) stops its writer with a 502`, async () => {
    await using world = new TransferWorld();
    const { id, reader, writer } = world.pair();
    await writer.send("one ");
    await reader.shows("one ");
    reader.abort(how);
    // The writer has not ended its upload: the answer does not wait for that.
    expect((await writer.head()).status).toBe(502);
    await writer.shows("transfer_failed");
    world.clock.advance(REFUSED_UPLOAD_MS);
    expect(await answerOf(writer)).toEqual(FAILED);
    await isOver(world, id, "reader_gone");
  });

  test(`a reader that dies (${how}) while its writer pushes`, async () => {
    await using world = new TransferWorld();
    const { id, reader, writer } = world.pair({ body: Buffer.alloc(0), announced: 1024 * MIB });
    const pushing = (async () => {
      for (let i = 0; i < 1024 && !writer.over; i++) await writer.raw(Buffer.alloc(MIB));
    })();
    await reader.received(4 * MIB);
    reader.abort(how);
    expect((await writer.head()).status).toBe(502);
    world.clock.advance(REFUSED_UPLOAD_MS);
    await pushing;
    expect(await answerOf(writer)).toEqual(FAILED);
    await isOver(world, id, "reader_gone");
  });

  test(`a reader that dies (${how}) before the first byte`, async () => {
    await using world = new TransferWorld();
    const { id, reader, writer } = world.pair();
    await eventually(() => world.transfers.running === 1, "they meet");
    reader.abort(how);
    expect((await writer.head()).status).toBe(502);
    world.clock.advance(REFUSED_UPLOAD_MS);
    expect(await answerOf(writer)).toEqual(FAILED);
    await isOver(world, id, "reader_gone");
  });
}

test("a writer that brings less than it announced", async () => {
  await using world = new TransferWorld();
  const { id, reader, writer } = world.pair({ body: "one ", announced: 5 });
  await reader.shows("one ");
  writer.abort("fin");
  expect((await reader.answer()).complete).toBeFalse();
  await isOver(world, id, "writer_gone");
});

test("a silent writer fails after the idle limit, a slow one does not", async () => {
  await using world = new TransferWorld();
  const { id, reader, writer } = world.pair();
  let text = "";
  for (let i = 0; i < 4; i++) {
    await writer.send("word ");
    text += "word ";
    await reader.shows(text);
    world.clock.advance(LIMITS.idleMs - 1);
    expect(world.transfers.running).toBe(1);
  }
  world.clock.advance(1);
  expect((await reader.answer()).complete).toBeFalse();
  expect((await writer.head()).status).toBe(502);
  world.clock.advance(REFUSED_UPLOAD_MS);
  expect(await answerOf(writer)).toEqual(FAILED);
  await isOver(world, id, "writer_silent");
});

test("a writer that never says anything: a 502 for both", async () => {
  await using world = new TransferWorld();
  const { id, reader, writer } = world.pair();
  await eventually(() => world.transfers.running === 1, "they meet");
  world.clock.advance(LIMITS.idleMs);
  expect(await answerOf(reader)).toEqual(FAILED);
  expect((await writer.head()).status).toBe(502);
  world.clock.advance(REFUSED_UPLOAD_MS);
  expect(await answerOf(writer)).toEqual(FAILED);
  await isOver(world, id, "writer_silent");
});

test("a reader that takes nothing holds its writer back, and fails after the idle limit", async () => {
  await using world = new TransferWorld();
  const { id, reader, writer } = world.pair({ body: Buffer.alloc(0), announced: 1024 * MIB });
  let sent = 0;
  const pushing = (async () => {
    for (; sent < 1024 && !writer.over; sent++) await writer.raw(Buffer.alloc(MIB));
  })();
  await reader.received(MIB);
  reader.pause();
  // While others pass, as much of this one is taken as ever will be.
  for (let i = 0; i < 4; i++) {
    const other = world.pair({ body: Buffer.alloc(32 * MIB) });
    expect((await other.reader.answer()).body.length).toBe(32 * MIB);
    expect((await answerOf(other.writer))[0]).toBe(200);
  }
  const taken = world.bytes - 128 * MIB;
  // What the kernel takes for two sockets is its own affair.
  expect(taken).toBeLessThan(32 * MIB);
  expect(sent).toBeLessThan(64);
  world.clock.advance(LIMITS.idleMs);
  expect((await writer.head()).status).toBe(502);
  world.clock.advance(REFUSED_UPLOAD_MS);
  await pushing;
  reader.resume();
  expect((await reader.answer()).complete).toBeFalse();
  expect(world.outcomes.at(-1)).toBe("reader_silent");
  expect(await answerOf(world.reader(id))).toEqual(CLOSED);
  await world.quiet();
});

test("a slow reader gets all of it, at its own pace", async () => {
  await using world = new TransferWorld();
  const body = Buffer.alloc(24 * MIB);
  for (let i = 0; i < body.length; i += 4) body.writeUInt32LE((i * 2_654_435_761) >>> 0, i);
  const { reader, writer } = world.pair({ body });
  for (let at = MIB; at <= body.length; at += MIB) {
    await reader.received(at);
    reader.pause();
    await new Promise(resolve => setImmediate(resolve));
    reader.resume();
  }
  const read = await reader.answer();
  expect([read.complete, read.body.equals(body)]).toEqual([true, true]);
  expect((await answerOf(writer))[0]).toBe(200);
});
