// Event streams of a relay: every event at once, comments in silences, no end but the provider's own.
import { expect, test } from "bun:test";
import { bytes, cut, headThenSilent } from "../../kit/backend/backend.ts";
import { headerOf, jsonOf, McpWorld, rpc } from "../../kit/mcp/world.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { Gate } from "../../kit/time/gate.ts";

const EVENTS = { "content-type": "text/event-stream" };
const KEEP_ALIVE = ": keep-alive\n\n";
const HOUR = 3_600_000;

for (const method of ["POST", "GET"]) {
  test(`${method}: an event arrives before the next one is sent`, async () => {
    await using world = new McpWorld();
    const { provider } = await world.pair();
    const gate = new Gate();
    const events = Array.from({ length: 20 }, (_, n) => `id: ${n}\ndata: {"n":${n}}\n\n`);
    provider.respond = bytes(events, EVENTS, 200, gate);
    const client = world.ask(method === "POST" ? { body: rpc(1, "x") } : {});
    for (const event of events) {
      gate.release();
      await client.shows(event);
    }
    const { body, complete } = await client.answer();
    expect(complete).toBeTrue();
    expect(body.toString().replace(KEEP_ALIVE, "")).toBe(events.join(""));
    expect(await world.leftovers()).toEqual({});
  });
}

test("who only listens hears that the stream is open though the provider says nothing", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  provider.respond = headThenSilent({ ...EVENTS, "mcp-session-id": "s-1", "cache-control": "no-cache" });
  const listener = world.ask();
  const head = await listener.head();
  expect(head.status).toBe(200);
  expect(headerOf(head, "content-type")).toBe("text/event-stream");
  expect(headerOf(head, "mcp-session-id")).toBe("s-1");
  // A listener takes no call's place.
  expect(world.underway).toMatchObject({ slots: 0, slotExempt: 1, streams: 1 });
  listener.abort();
  await provider.aborted(1);
  expect(await world.leftovers()).toEqual({});
});

test("a silence is filled with comments, but only between events, for an hour", async () => {
  await using world = new McpWorld({ clock: new TestClock(), broker: { requestTimeoutMs: 120_000 } });
  const { provider } = await world.pair();
  const gate = new Gate();
  // CR LF CR is the end of an event only when no LF follows.
  const pieces = ["data: a\n\n", "data: b\r\n", "\r", "\n", "data: c\r\r", "id: 7\n", "data: d\n\n"];
  provider.respond = bytes(pieces, EVENTS, 200, gate);
  const client = world.ask({ body: rpc(1, "x") });
  await client.shows(KEEP_ALIVE);
  // What is not between events has nothing between its pieces.
  for (const seen of ["data: a\n\n", "data: b\r\n", "data: b\r\n\r", "data: b\r\n\r\n", "data: c\r\r", "id: 7\n"]) {
    gate.release();
    await client.shows(seen);
    await world.pass(HOUR / 6);
  }
  gate.open();
  const answer = await client.answer();
  expect(answer.complete).toBeTrue();
  // One every 15 seconds of 600, but for the turn in which a piece came; fewer when time outruns the socket.
  const some = "(: keep-alive\n\n){10,40}";
  const whole = `: keep-alive\n\ndata: a\n\n${some}data: b\r\n\r\n${some}data: c\r\r${some}id: 7\ndata: d\n\n`;
  expect(answer.body.toString()).toMatch(new RegExp(`^${whole}$`));
  expect(await world.leftovers()).toEqual({});
});

test("no comment is put into an answer that is not events", async () => {
  await using world = new McpWorld({ clock: new TestClock() });
  const { provider } = await world.pair();
  const gate = new Gate();
  provider.respond = bytes(['{"a":', "1}\n\n", "\n"], { "content-type": "text/x-json" }, 200, gate);
  const client = world.ask({ body: rpc(1, "x") });
  for (const sent of ['{"a":', '{"a":1}\n\n']) {
    gate.release();
    await client.received(sent.length);
    await world.pass(120_000);
  }
  gate.open();
  expect((await client.answer()).body.toString()).toBe('{"a":1}\n\n\n');
});

test("a stream of many small events may be as long as it likes, wherever it is cut into chunks", async () => {
  await using world = new McpWorld({ relays: { maxRespBytes: 100_000 } });
  const { provider } = await world.pair();
  const event = Buffer.from(`data: ${"x".repeat(990)}\r\n\r\n`);
  const all = Buffer.concat(Array.from({ length: 2000 }, () => event));
  for (const size of [997, 50_000, 99_999]) {
    const chunks = Array.from({ length: Math.ceil(all.length / size) }, (_, n) =>
      all.subarray(n * size, (n + 1) * size),
    );
    provider.respond = bytes(chunks, EVENTS);
    const answer = await world.call(rpc(1, "x"));
    expect(answer.complete).toBeTrue();
    expect(answer.body.toString().replace(KEEP_ALIVE, "")).toBe(all.toString());
  }
});

test("a result that is too large is answered with an error, and the stream goes on", async () => {
  await using world = new McpWorld({ relays: { maxRespBytes: 100_000 } });
  const { provider } = await world.pair();
  const text = "x".repeat(200_000);
  const large = {
    result: JSON.stringify({ result: { text }, jsonrpc: "2.0", id: 1 }),
    note: JSON.stringify({ method: "notifications/message", params: { text }, jsonrpc: "2.0" }),
  };
  const error = { code: -32_000, message: expect.stringContaining("BROKER_MAX_RESP_BYTES") };
  for (const size of [1_000, 99_990, 300_000]) {
    const body = Buffer.from(
      `data: ok\n\nid: 7\ndata: ${large.note}\n\nid: 8\ndata: ${large.result}\n\ndata: last\n\n`,
    );
    const chunks = Array.from({ length: Math.ceil(body.length / size) }, (_, at) =>
      body.subarray(at * size, (at + 1) * size),
    );
    provider.respond = bytes(chunks, EVENTS);
    // Also on a stream that was taken up again, where nothing but the answer says whose it is.
    for (const init of [{ body: rpc(1, "x") }, { headers: { "Last-Event-ID": "6" } }]) {
      const answer = await world.ask(init).answer();
      expect(answer.complete).toBeTrue();
      const events = eventsOf(answer.body.toString().replace(KEEP_ALIVE, ""));
      const heard = events.filter(({ name }) => name === "message").map(({ data }) => data);
      expect([heard[0], heard[2], heard.length]).toEqual(["ok", "last", 3]);
      expect(JSON.parse(heard[1] ?? "")).toMatchObject({ jsonrpc: "2.0", id: 1, error });
    }
  }
  for (const headers of [{}, { "content-length": String(large.result.length) }]) {
    provider.respond = bytes([large.result], { "content-type": "application/json", ...headers });
    const answer = await world.call(rpc(1, "x"));
    expect([answer.status, jsonOf(answer)]).toMatchObject([200, { id: 1, error }]);
  }
  expect(provider.requests[0]?.headers.has("x-nfrx-max-answer-bytes")).toBeFalse();
  expect(await world.leftovers()).toEqual({});
});

/** Events as a client reads them. */
function eventsOf(text: string): { name: string; data: string }[] {
  return text
    .split("\n\n")
    .filter(block => block !== "")
    .map(block => {
      const field = (name: string): string[] =>
        block
          .split("\n")
          .filter(line => line.startsWith(`${name}:`))
          .map(line => line.slice(name.length + 1).trim());
      return { name: field("event").at(-1) ?? "message", data: field("data").join("\n") };
    });
}

for (const sent of ["data: 1\n\n", "data: half an ev", ""]) {
  test(`a stream that the provider cuts after ${JSON.stringify(sent)} is cut for the client too`, async () => {
    await using world = new McpWorld();
    const { provider } = await world.pair();
    const gate = new Gate();
    for (const method of ["POST", "GET"]) {
      provider.respond = cut(sent, { headers: EVENTS, gate });
      const client = world.ask(method === "POST" ? { body: rpc(1, "x") } : {});
      await client.head();
      if (sent !== "") await client.shows(sent);
      gate.release();
      const answer = await client.answer();
      expect(answer.complete).toBeFalse();
      // No word of the broker's own: the client is to resume, and an event would have been the server's.
      expect(answer.body.toString().replace(KEEP_ALIVE, "")).toBe(sent);
    }
    expect(provider.requests).toHaveLength(2);
    expect(await world.leftovers()).toEqual({});
  });
}

test("a stream whose relay is lost is cut", async () => {
  await using world = new McpWorld();
  const { provider, agent } = await world.pair();
  provider.respond = (request, recorded) => {
    const gate = new Gate();
    gate.release();
    return bytes(["data: 1\n\n", "data: 2\n\n"], EVENTS, 200, gate)(request, recorded);
  };
  const [call, listener] = [world.ask({ body: rpc(1, "x") }), world.ask()];
  for (const client of [call, listener]) await client.shows("data: 1\n\n");
  await agent.shutdown(0);
  for (const client of [call, listener]) {
    const answer = await client.answer();
    expect([answer.complete, answer.body.toString().replace(KEEP_ALIVE, "")]).toEqual([false, "data: 1\n\n"]);
  }
  expect(await world.leftovers()).toEqual({});
});

test("a client that does not read holds nobody up, and gets every byte later", async () => {
  await using world = new McpWorld({ clock: new TestClock() });
  const { provider } = await world.pair();
  const event = `data: ${"y".repeat(65_000)}\n\n`;
  provider.respond = bytes(
    Array.from({ length: 200 }, () => event),
    EVENTS,
  );
  const slow = world.ask({ body: rpc(1, "x") });
  await slow.shows("data: ");
  slow.pause();
  for (let n = 0; n < 10; n++) {
    provider.respond = bytes([`data: ${n}\n\n`], EVENTS);
    expect((await world.call(rpc(2, "y"))).body.toString()).toContain(`data: ${n}\n\n`);
  }
  // Comments for somebody who does not read are not kept for ever.
  await world.pass(HOUR);
  slow.resume();
  const answer = await slow.answer();
  expect(answer.complete).toBeTrue();
  const text = answer.body.toString();
  expect(text.replaceAll(KEEP_ALIVE, "")).toBe(event.repeat(200));
  expect(text.split(KEEP_ALIVE).length).toBeLessThan(30);
  expect(await world.leftovers()).toEqual({});
});
