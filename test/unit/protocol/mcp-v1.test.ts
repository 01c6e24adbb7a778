// MCP on wire v1 from end to end: both halves of the codec on two joined links.
import { describe, expect, test } from "bun:test";
import { NfrxError } from "../../../src/lib/errors.ts";
import { headerOf } from "../../../src/lib/http.ts";
import type { HeaderList, RequestHead } from "../../../src/protocol/frames.ts";
import { PING_MS, V1_MCP_DEAD_MS } from "../../../src/protocol/limits.ts";
import type { Stream } from "../../../src/protocol/stream.ts";
import { drain, Ends, NOTHING_HELD, Watched } from "./ends.ts";

const call = (params: string): string => `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":${params}}`;
const result = (value: string): string => `{"jsonrpc":"2.0","id":1,"result":${value}}`;
const JSON_HEADERS: HeaderList = [["content-type", "application/json"]];
const EVENT_HEADERS: HeaderList = [["content-type", "text/event-stream"]];

const newEnds = (serve?: (stream: Stream, head: RequestHead) => void): Ends => new Ends(1, serve, "mcp");

function ask(ends: Ends, body: string, headers: HeaderList = []): Stream {
  const stream = ends.broker.open({ method: "POST", path: "/mcp", headers });
  stream.end(Buffer.from(body));
  return stream;
}

/** Answers with the params of the request, as JSON or, when told, as events around it. */
async function echo(stream: Stream, events = false): Promise<void> {
  const body = (await drain(stream)).toString();
  const answer = result(body.slice(body.indexOf("params") + 8, -1));
  if (!events) {
    stream.sendHead({ status: 200, headers: JSON_HEADERS });
    return stream.end(Buffer.from(answer));
  }
  stream.sendHead({ status: 200, headers: EVENT_HEADERS });
  const progress = 'data: {"jsonrpc":"2.0","method":"notifications/progress"}\r\n\r\n';
  for (const piece of [progress, "data: ", answer.slice(0, 20), answer.slice(20), "\r\n\r", "\n", progress])
    await stream.write(Buffer.from(piece));
  stream.end();
}

test("numbers, spaces and bytes stay as they were written, both ways", async () => {
  const params = '{ "big":12345678901234567890, "exact":[1.0, 1e2, -0, 1E400], "text":"\\u00e9ä😀\\/" }';
  for (const events of [false, true]) {
    const ends = newEnds(stream => void echo(stream, events));
    const stream = ask(ends, call(params));
    await ends.quiet();
    expect(await stream.head()).toEqual({ status: 200, headers: JSON_HEADERS });
    expect((await drain(stream)).toString()).toBe(result(params));
    expect(ends.counts).toEqual(NOTHING_HELD);
  }
});

test("eight megabytes come back whole", async () => {
  const large = JSON.stringify("ä".repeat(4 * 1024 * 1024));
  const ends = newEnds(async stream => {
    await drain(stream);
    stream.sendHead({ status: 200, headers: JSON_HEADERS });
    stream.end(Buffer.from(result(large)));
  });
  const stream = ask(ends, call("{}"));
  await ends.quiet();
  expect((await drain(stream)).toString() === result(large)).toBe(true);
});

test("the caller's token reaches the service, and its 401 the caller, as JSON-RPC", async () => {
  const ends = newEnds((stream, head) => {
    const fine = headerOf(head.headers, "authorization") === "Bearer good";
    stream.sendHead({ status: fine ? 200 : 401, headers: JSON_HEADERS });
    stream.end(Buffer.from(fine ? result("{}") : '{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"no"}}'));
  });
  const streams = ["Bearer good", "Bearer bad"].map(value => ask(ends, call("{}"), [["authorization", value]]));
  await ends.quiet();
  const texts = await Promise.all(streams.map(async stream => (await drain(stream)).toString()));
  expect(texts).toEqual([result("{}"), '{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}']);
});

test("a relay that leaves refuses with 503", async () => {
  const ends = newEnds();
  ends.agent.goaway();
  const stream = ask(ends, call("{}"));
  await ends.quiet();
  expect(await stream.head()).toMatchObject({ status: 503 });
  expect(ends.counts).toEqual(NOTHING_HELD);
});

describe("a client that goes away", () => {
  const gone = new NfrxError("canceled", "the client disconnected");

  // Each step lets one thing happen at each end, so that every moment of a call is met.
  test.each(Array.from({ length: 12 }, (_, steps) => steps))("after %d steps leaves nothing behind", async steps => {
    for (const begin of [false, true]) {
      const ends = newEnds(stream => {
        if (begin) stream.sendHead({ status: 200, headers: EVENT_HEADERS });
      });
      const stream = ask(ends, call("{}"));
      for (let n = 0; n < steps; n++) {
        ends.pair.step("broker");
        ends.pair.step("agent");
      }
      stream.reset(gone);
      await ends.quiet();
      expect(ends.counts).toEqual(NOTHING_HELD);
      for (const served of ends.served) expect(served.failure?.code).toBe("canceled");
      expect(ends.closed).toEqual({ broker: [], agent: [] });
    }
  });
});

test("hundreds of calls with one id, in any order, some given up: everybody gets his own answer", async () => {
  let state = 42;
  const random = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  for (let round = 0; round < 20; round++) {
    const waiting: (() => void)[] = [];
    const ends = newEnds(stream => {
      waiting.push(() => {
        if (random() < 0.1) stream.reset(new NfrxError("upstream_error", "broken"));
        else echo(stream, random() < 0.5).catch(() => {});
      });
    });
    const calls = Array.from({ length: 40 }, (_, n) => {
      const stream = ask(ends, call(`{"n":${n}}`));
      return { n, stream, body: new Watched(drain(stream)), canceled: random() < 0.2 };
    });
    const late = calls.filter(({ canceled }) => canceled);
    while (true) {
      const moved = ends.pair.step(random() < 0.5 ? "broker" : "agent");
      if (random() < 0.05) late.shift()?.stream.reset(new NfrxError("canceled", "gone"));
      if (random() < 0.1) waiting.splice(Math.floor(random() * waiting.length), 1)[0]?.();
      if (moved) continue;
      await ends.quiet();
      if (waiting.length === 0 && late.length === 0) break;
    }
    await ends.quiet();
    for (const { n, body, canceled } of calls)
      expect(outcomes(n, canceled)).toContain(String(body.error ?? body.value));
    expect(ends.counts).toEqual(NOTHING_HELD);
    expect(ends.closed).toEqual({ broker: [], agent: [] });
  }
});

/** How the call number `n` may end. */
function outcomes(n: number, canceled: boolean): string[] {
  const error = '{"code":-32000,"message":"broken","data":{"mcp":"MCP_UPSTREAM_ERROR"}}';
  const ends = [result(`{"n":${n}}`), `{"jsonrpc":"2.0","id":1,"error":${error}}`];
  return canceled ? [...ends, "NfrxError: gone"] : ends;
}

test("both ends live by each other's pings, and die of silence", async () => {
  const ends = newEnds();
  for (let n = 0; n < 40; n++) {
    ends.clock.advance(PING_MS);
    await ends.quiet();
  }
  expect([ends.broker.isClosed, ends.agent.isClosed]).toEqual([false, false]);
  const stream = ask(ends, call("{}"));
  await ends.quiet();
  ends.clock.advance(V1_MCP_DEAD_MS);
  expect([ends.broker.isClosed, ends.agent.isClosed]).toEqual([true, true]);
  expect([stream.failure?.code, ends.served[0]?.failure?.code]).toEqual(["link_lost", "link_lost"]);
  expect(ends.clock.armed).toBe(0);
});
