// The channels as a broker serves them.
import { expect, test } from "bun:test";
import { Call, type CallInit, call } from "../../kit/http/call.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { answerOf, header, KEY } from "../../kit/transfer/transfers.ts";
import { CLIENT_KEY, World } from "../../kit/world.ts";

const AGENT = { Authorization: `Bearer ${CLIENT_KEY}` };

async function create(world: World, headers: Record<string, string> = KEY): Promise<string> {
  const { body } = await call(`${world.origin}/api/transfer`, { method: "POST", headers });
  return JSON.parse(body.toString()).channel_id;
}

/** An end of a channel, for the API's key unless told. */
const end = (world: World, id: string, init: CallInit = {}): Call =>
  new Call(`${world.origin}/api/transfer/${id}`, { headers: KEY, ...init });

test("from a caller to an agent and back, with either key", async () => {
  await using world = new World();
  for (const [writes, reads] of [
    [KEY, AGENT],
    [AGENT, KEY],
  ] as const) {
    const id = await create(world, writes);
    const reader = end(world, id, { headers: reads });
    const writer = end(world, id, { headers: writes, body: "some bytes" });
    expect(await answerOf(writer)).toEqual([200, { status: "ok" }]);
    expect((await reader.answer()).body.toString()).toBe("some bytes");
  }
  const stranger = await call(`${world.origin}/api/transfer`, { method: "POST" });
  expect([stranger.status, stranger.body.toString()]).toEqual([401, '{"error":"unauthorized"}']);
  const metrics = await (await fetch(`${world.origin}/metrics`)).text();
  expect(metrics).toContain('\nnfrx_transfers_total{outcome="done"} 2\n');
  expect(metrics).toContain('\nnfrx_transfer_channels{state="waiting"} 0\n');
  expect(await world.leftovers()).toEqual({});
});

test("a page of an allowed origin may read what its client read, and how long it is", async () => {
  await using world = new World({ broker: { allowedOrigins: ["https://app.example"] } });
  const id = await create(world);
  const reader = end(world, id, { headers: { ...KEY, Origin: "https://app.example" } });
  end(world, id, { body: "12345" });
  const answer = await reader.answer();
  expect(answer.body.toString()).toBe("12345");
  expect(header(answer, "x-transfer-length")).toBe("5");
  expect(header(answer, "access-control-allow-origin")).toBe("https://app.example");
  expect(header(answer, "access-control-expose-headers")).toContain("x-transfer-length");
});

test("an operator says how long channels wait, how long they are silent, and how many there are", async () => {
  const clock = new TestClock();
  const broker = { transferTtlMs: 2_000, transferIdleMs: 3_000, transferMaxChannels: 4 };
  await using world = new World({ clock, broker });
  const [early, running] = [await create(world), await create(world)];
  const refused = await call(`${world.origin}/api/transfer`, { method: "POST", headers: KEY });
  expect([refused.status, refused.body.toString()]).toEqual([429, '{"error":"limit_exceeded"}']);
  const reader = end(world, running);
  const writer = end(world, running, { body: "chunked" });
  await writer.send("one ");
  await reader.shows("one ");
  const waits = end(world, early);
  await world.when(() => world.broker.drain.inflight === 2, "somebody waits");
  clock.advance(2_000);
  expect(await answerOf(waits)).toEqual([410, { error: "transfer_expired" }]);
  expect(world.broker.transfers.running).toBe(1);
  clock.advance(1_000);
  expect((await reader.answer()).complete).toBeFalse();
  expect((await writer.head()).status).toBe(502);
});

test("a shutdown waits for a transfer", async () => {
  const world = new World();
  const id = await create(world);
  const reader = end(world, id);
  const writer = end(world, id, { body: "chunked" });
  await writer.send("one ");
  await reader.shows("one ");
  const finished = world.broker.finish(60_000);
  const refused = await call(`${world.origin}/api/transfer`, { method: "POST", headers: KEY });
  expect([refused.status, refused.body.toString()]).toEqual([503, '{"error":"draining"}']);
  await writer.finish();
  expect((await reader.answer()).complete).toBeTrue();
  expect(await answerOf(writer)).toEqual([200, { status: "ok" }]);
  expect(await finished).toBeTrue();
  await world.stop();
  expect(world.logs.some(({ message }) => message === "transfer failed")).toBeFalse();
});

test("a broker that stops cuts what runs: nobody takes a part for the whole", async () => {
  const world = new World();
  const id = await create(world);
  const reader = end(world, id);
  const writer = end(world, id, { body: "chunked" });
  await writer.send("one ");
  await reader.shows("one ");
  await world.stop();
  expect((await reader.answer()).complete).toBeFalse();
  await writer.closed();
});
