// A reader and a writer meet, whoever comes first.
import { expect, test } from "bun:test";
import { Call, call } from "../../kit/http/call.ts";
import { answerOf, header, KEY, TransferWorld } from "../../kit/transfer/transfers.ts";
import { CLIENT_KEY } from "../../kit/world.ts";

const OK: [number, unknown] = [200, { status: "ok" }];

test("a channel has an id nobody can guess, and a minute", async () => {
  await using world = new TransferWorld();
  const { status, body, headers } = await call(`${world.origin}/api/transfer`, { method: "POST", headers: KEY });
  expect(status).toBe(200);
  expect(JSON.parse(body.toString())).toEqual({
    channel_id: expect.stringMatching(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/),
    expires_at: new Date(world.clock.wall() + 60_000).toISOString(),
  });
  expect(header({ headers }, "content-type")).toStartWith("application/json");
  expect(await world.metric('nfrx_transfer_channels{state="waiting"}')).toBe(1);
});

test.each(["reader", "writer"] as const)("the %s comes first", async first => {
  await using world = new TransferWorld();
  const { id } = world.transfers.create();
  const bytes = Buffer.from("some bytes \u0000\u00ff and more");
  const come = { reader: () => world.reader(id), writer: () => world.writer(id, { body: bytes }) };
  const early = come[first]();
  await world.waits(id, first);
  const late = come[first === "reader" ? "writer" : "reader"]();
  const [reader, writer] = first === "reader" ? [early, late] : [late, early];
  const read = await reader.answer();
  expect([read.status, read.complete, read.body]).toEqual([200, true, bytes]);
  expect(header(read, "content-type")).toBe("application/octet-stream");
  expect(header(read, "x-transfer-length")).toBe(String(bytes.length));
  expect(await answerOf(writer)).toEqual(OK);
  expect(world.outcomes).toEqual(["done"]);
  expect(await world.metric("nfrx_transfer_bytes_total")).toBe(bytes.length);
  expect(await world.metric('nfrx_transfers_total{outcome="done"}')).toBe(1);
  expect([world.transfers.waiting, world.transfers.running, world.drain.inflight]).toEqual([0, 0, 0]);
  expect(world.clock.armed).toBe(0);
});

test("bytes reach the reader as they come, with the writer's type; a length nobody knows is not named", async () => {
  await using world = new TransferWorld();
  const { id } = world.transfers.create();
  const writer = world.writer(id, { headers: { ...KEY, "Content-Type": "audio/wav; rate=16000" } });
  const reader = world.reader(id);
  let sent = "";
  for (const piece of ["one ", "two ", "three "]) {
    await writer.send(piece);
    sent += piece;
    await reader.shows(sent);
  }
  const head = await reader.head();
  expect(header(head, "content-type")).toBe("audio/wav; rate=16000");
  expect(header(head, "x-transfer-length")).toBeUndefined();
  expect(world.transfers.running).toBe(1);
  await writer.finish();
  expect((await reader.answer()).complete).toBeTrue();
  expect(await answerOf(writer)).toEqual(OK);
});

test.each(["announced", "chunked"] as const)("an empty body, %s", async how => {
  await using world = new TransferWorld();
  const { id } = world.transfers.create();
  const reader = world.reader(id);
  const writer = how === "announced" ? world.writer(id, { body: "" }) : world.writer(id);
  if (how === "chunked") await writer.finish();
  const read = await reader.answer();
  expect([read.status, read.complete, read.body.length]).toEqual([200, true, 0]);
  expect(header(read, "x-transfer-length")).toBe(how === "announced" ? "0" : undefined);
  expect(await answerOf(writer)).toEqual(OK);
});

test("an agent's key will do as well; without a key there is nothing, not even a word about a channel", async () => {
  await using world = new TransferWorld();
  const { id } = world.transfers.create();
  const agent = { Authorization: `Bearer ${CLIENT_KEY}` };
  const read = world.reader(id, { headers: agent });
  expect(await answerOf(world.writer(id, { body: "x", headers: agent }))).toEqual(OK);
  expect((await read.answer()).body.toString()).toBe("x");
  for (const headers of [{}, { Authorization: "Bearer wrong" }]) {
    for (const path of [id, crypto.randomUUID()]) {
      for (const init of [{ headers }, { headers, body: "x" }]) {
        expect(await answerOf(new Call(world.url(path), init))).toEqual([401, { error: "unauthorized" }]);
      }
    }
    const opened = await call(`${world.origin}/api/transfer`, { method: "POST", headers });
    expect([opened.status, header(opened, "www-authenticate")]).toEqual([401, "Bearer"]);
  }
  expect(world.transfers.waiting).toBe(0);
});

test("an end that goes away before the other has come gives its place back", async () => {
  await using world = new TransferWorld();
  const { id } = world.transfers.create();
  for (const how of ["fin", "rst"] as const) {
    const reader = world.reader(id);
    await world.waits(id, "reader");
    reader.abort(how);
    await world.quiet();
    const writer = world.writer(id);
    await world.waits(id, "writer");
    expect(world.drain.inflight).toBe(1);
    writer.abort(how);
    await world.quiet();
  }
  const reader = world.reader(id);
  expect(await answerOf(world.writer(id, { body: "at last" }))).toEqual(OK);
  expect((await reader.answer()).body.toString()).toBe("at last");
  expect(world.outcomes).toEqual(["done"]);
});

test("only GET and POST touch a channel; to look at it takes nobody's place", async () => {
  await using world = new TransferWorld();
  const { id } = world.transfers.create();
  for (const method of ["HEAD", "PATCH", "DELETE", "OPTIONS"]) {
    const response = await fetch(world.url(id), { method, headers: KEY });
    expect([method, response.status, response.headers.get("allow")]).toEqual([method, 405, "GET, POST, PUT"]);
    expect(await response.text()).toBe(method === "HEAD" ? "" : '{"error":"method_not_allowed"}');
  }
  expect([world.transfers.awaits(id, "reader"), world.transfers.awaits(id, "writer")]).toEqual([true, true]);
  const response = await fetch(`${world.origin}/api/transfer`, { headers: KEY });
  expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
});
