// The broker's half of MCP on wire v1 against frames written by hand, as relays of the 0.9 series spell them.
import { describe, expect, test } from "bun:test";
import { NfrxError } from "../../../src/lib/errors.ts";
import { headerOf } from "../../../src/lib/http.ts";
import type { HeaderList } from "../../../src/protocol/frames.ts";
import { V1_MCP_ANSWER, V1_MCP_DEAD_MS, V1_MCP_FRAME, V1_MCP_WAIT_MS } from "../../../src/protocol/limits.ts";
import type { Stream } from "../../../src/protocol/stream.ts";
import { drain, Lone } from "./ends.ts";

const CALL = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add"}}';
const RESULT = '{"jsonrpc":"2.0","id":7,"result":{"content":[]}}';
const OPEN = '{"t":"open","sid":"s1","hint":"tools/call"}';
const OPEN_OK = '{"t":"open.ok","sid":"s1"}';
const RPC = `{"t":"rpc","sid":"s1","payload":${CALL}}`;

const newBroker = (): Lone => new Lone("broker", 1, {}, "mcp");

function ask(
  broker: Lone,
  body: string | Uint8Array,
  headers: HeaderList = [],
  method = "POST",
  path = "/mcp",
): Stream {
  const stream = broker.link.open({ method, path, headers });
  stream.end(Buffer.from(body));
  broker.run();
  return stream;
}

/** A broker that has opened a call, and, when `asked`, has sent it. */
function calling(asked = true): { broker: Lone; stream: Stream } {
  const broker = newBroker();
  const stream = ask(broker, CALL);
  if (asked) broker.text(OPEN_OK);
  broker.texts();
  return { broker, stream };
}

async function answerOf(stream: Stream): Promise<{ status: number; headers: HeaderList; text: string }> {
  const head = await stream.head();
  if (!("status" in head)) throw new Error("a request");
  return { ...head, text: (await drain(stream)).toString() };
}

async function errorOf(stream: Stream): Promise<{ status: number; body: object }> {
  const { status, headers, text } = await answerOf(stream);
  expect(headerOf(headers, "content-type")).toBe("application/json");
  return { status, body: JSON.parse(text) };
}

const rpcError = (mcp: string, message: unknown = expect.any(String), id: unknown = null) => ({
  jsonrpc: "2.0",
  id,
  error: { code: -32000, message, data: { mcp } },
});

describe("a call", () => {
  test("is opened, and sent when the relay takes it; its answer is HTTP", async () => {
    const broker = newBroker();
    const stream = ask(broker, CALL, [
      ["content-type", "application/json"],
      ["Authorization", "bearer  secret"],
      ["x-request-id", "r-42"],
    ]);
    expect(broker.texts()).toEqual(['{"t":"open","sid":"s1","req_id":"r-42","hint":"tools/call","auth":"secret"}']);
    broker.text(OPEN_OK);
    expect(broker.texts()).toEqual([RPC]);
    broker.text(`{"t":"rpc","sid":"s1","payload":${RESULT}}`, '{"t":"close","sid":"s1","msg":"done"}');
    expect(await answerOf(stream)).toEqual({
      status: 200,
      headers: [["content-type", "application/json"]],
      text: RESULT,
    });
    expect([broker.texts(), broker.link.streams, broker.farewell]).toEqual([[], 0, undefined]);
  });

  test("keeps every character, of the request and of the answer", async () => {
    const body =
      ' {"jsonrpc" : "2.0",\r\n\t"id":9007199254740993,"method":"tools/call","a":1.0,"b":1e2,"c":-0,"d":"\\u00e9ä😀\\/","e":{"payload":1}} ';
    const broker = newBroker();
    const stream = ask(broker, body);
    broker.text(OPEN_OK);
    expect(broker.texts()[1]).toBe(`{"t":"rpc","sid":"s1","payload":${body}}`);
    const answer =
      '{"result" :{"n":123456789012345678901234567890,"x":1.50,"payload":{"payload":"}\\"]{"}} , "jsonrpc":"2.0","id": 9007199254740993}';
    broker.text(`{"payload":0, "sid":"s1", "x":{"payload":1}, "pay\\u006coad" : ${answer} ,"t":"rpc"}`);
    expect((await answerOf(stream)).text).toBe(answer);
  });

  test("may come in pieces", () => {
    const broker = newBroker();
    const stream = broker.link.open({ method: "POST", path: "/mcp", headers: [] });
    const bytes = Buffer.from(CALL);
    stream.write(bytes.subarray(0, 9)).catch(() => {});
    broker.run();
    // What has been written is the writer's again.
    bytes.fill(0, 0, 9);
    expect(broker.texts()).toEqual([]);
    stream.end(Buffer.from(CALL).subarray(9));
    expect(broker.texts()).toEqual([OPEN]);
    broker.text(OPEN_OK);
    expect(broker.texts()).toEqual([RPC]);
  });

  test.each(["/mcp", "/mcp/", "/mcp?key=1"])("may be to %s", path => {
    const broker = newBroker();
    ask(broker, CALL, [], "POST", path);
    expect(broker.texts()).toEqual([OPEN]);
  });

  test.each([[[]], [[["authorization", "Basic abc"]]], [[["authorization", "Bearer "]]]] satisfies [HeaderList][])(
    "without a bearer token has no auth: %j",
    headers => {
      const broker = newBroker();
      ask(broker, CALL, headers);
      expect(broker.texts()).toEqual([OPEN]);
    },
  );

  test("many at once with equal ids, answered in another order", async () => {
    const broker = newBroker();
    const streams = Array.from({ length: 50 }, () => ask(broker, CALL));
    const sids = broker.messages().map(({ sid }) => String(sid));
    expect(new Set(sids).size).toBe(50);
    broker.text(...sids.toReversed().map(sid => `{"t":"open.ok","sid":"${sid}"}`));
    expect(broker.messages().map(({ sid }) => sid)).toEqual(sids.toReversed());
    const answer = (sid: string): string => `{"jsonrpc":"2.0","id":7,"result":{"sid":"${sid}"}}`;
    for (const sid of sids.toReversed()) broker.text(`{"t":"rpc","sid":"${sid}","payload":${answer(sid)}}`);
    const texts = await Promise.all(streams.map(async stream => (await answerOf(stream)).text));
    expect(texts).toEqual(sids.map(answer));
    expect(broker.link.streams).toBe(0);
  });
});

describe("an answer that is none", () => {
  test.each([
    ["MCP_UNAUTHORIZED", 401],
    ["MCP_PROVIDER_UNAVAILABLE", 503],
    ["MCP_UPSTREAM_ERROR", 502],
    ["MCP_TIMEOUT", 504],
    ["MCP_LIMIT_EXCEEDED", 429],
    ["SOMETHING_NEW", 503],
  ])("open.fail %s is HTTP %d", async (code, status) => {
    const { broker, stream } = calling(false);
    broker.text(`{"t":"open.fail","sid":"s1","code":"${code}","msg":"why not"}`);
    expect(await errorOf(stream)).toEqual({ status, body: rpcError(code, "why not", 7) });
    expect([broker.texts(), broker.link.streams]).toEqual([[], 0]);
  });

  test("open.fail without words, and the challenge of a 401", async () => {
    const { broker, stream } = calling(false);
    broker.text('{"t":"open.fail","sid":"s1","code":null}');
    expect(await errorOf(stream)).toEqual({ status: 503, body: rpcError("MCP_PROVIDER_UNAVAILABLE", undefined, 7) });
    const again = calling(false);
    again.broker.text('{"t":"open.fail","sid":"s1","code":"MCP_UNAUTHORIZED"}');
    expect(headerOf((await answerOf(again.stream)).headers, "www-authenticate")).toBe("Bearer");
  });

  test("an error that names no id gets that of its request, as it was written", async () => {
    for (const id of ['"id":null,', ""]) {
      const broker = newBroker();
      const stream = ask(broker, '{"jsonrpc":"2.0","id":12345678901234567890,"method":"x"}');
      const error = '{"code":-32000,"message":"Provider error","data":{"n":12345678901234567890}}';
      broker.text(OPEN_OK, `{"t":"rpc","sid":"s1","payload":{"error":${error},${id}"jsonrpc":"2.0"}}`);
      const { status, text } = await answerOf(stream);
      expect([status, text]).toEqual([200, `{"jsonrpc":"2.0","id":12345678901234567890,"error":${error}}`]);
    }
  });

  test.each([
    '{"jsonrpc":"2.0","method":"notifications/progress","params":{}}',
    '{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{}}',
    '{"jsonrpc":"2.0","id":8,"result":{}}',
    '{"jsonrpc":"2.0","id":"7","result":{}}',
    '{"jsonrpc":"2.0","id":8,"error":{"code":1,"message":""}}',
    '{"jsonrpc":"2.0","id":null,"result":{}}',
    '{"id":7}',
    "{}",
    "[]",
    "null",
    '"text"',
  ])("%s is 502", async payload => {
    const { broker, stream } = calling();
    broker.text(`{"t":"rpc","sid":"s1","payload":${payload}}`);
    expect(await errorOf(stream)).toEqual({ status: 502, body: rpcError("MCP_UPSTREAM_ERROR", undefined, 7) });
    expect(broker.farewell).toBeUndefined();
  });

  test("no payload at all is 502", async () => {
    const { broker, stream } = calling();
    broker.text('{"t":"rpc","sid":"s1"}');
    expect((await errorOf(stream)).status).toBe(502);
  });

  test.each([true, false])("a close without an answer is an error (asked: %p)", asked => {
    const { broker, stream } = calling(asked);
    broker.text('{"t":"close","sid":"s1","msg":"gone"}');
    expect(stream.failure).toMatchObject({ code: "upstream_error", message: expect.stringContaining("gone") });
    expect([broker.texts(), broker.link.streams, broker.farewell]).toEqual([[], 0, undefined]);
  });

  test("one that is too large fails its call alone", () => {
    const { broker, stream } = calling();
    broker.text(`{"t":"rpc","sid":"s1","payload":{"jsonrpc":"2.0","id":7,"result":"${"x".repeat(V1_MCP_ANSWER)}"}}`);
    expect([stream.failure?.code, broker.link.isClosed]).toEqual(["too_large", false]);
  });

  test("a relay that says nothing is given up, and told so", () => {
    for (const asked of [true, false]) {
      const { broker, stream } = calling(asked);
      for (let passed = 0; passed < V1_MCP_WAIT_MS; passed += 15_000) {
        expect(stream.failure).toBeUndefined();
        broker.clock.advance(15_000);
        broker.text('{"t":"pong"}');
      }
      expect(stream.failure?.code).toBe("timeout");
      expect(broker.texts().filter(text => text !== '{"t":"ping"}')).toEqual([
        '{"t":"close","sid":"s1","msg":"timeout"}',
      ]);
    }
  });
});

describe("a client that goes away", () => {
  const gone = new NfrxError("canceled", "the client disconnected");
  const late = [OPEN_OK, `{"t":"rpc","sid":"s1","payload":${RESULT}}`, '{"t":"close","sid":"s1","msg":"done"}'];

  test("before its request was whole is not mentioned", () => {
    const broker = newBroker();
    const stream = broker.link.open({ method: "POST", path: "/mcp", headers: [] });
    stream.write(Buffer.from(CALL.slice(0, 9))).catch(() => {});
    broker.run();
    stream.reset(gone);
    expect([broker.texts(), broker.link.streams]).toEqual([[], 0]);
  });

  test.each([true, false])("while the relay works on it closes the call (asked: %p)", asked => {
    const { broker, stream } = calling(asked);
    stream.reset(gone);
    expect(broker.texts()).toEqual(['{"t":"close","sid":"s1","msg":"done"}']);
    broker.text(...late);
    expect([broker.texts(), broker.link.streams, broker.farewell]).toEqual([[], 0, undefined]);
  });

  test("by its time limit says timeout", () => {
    const { broker, stream } = calling();
    stream.reset(new NfrxError("timeout", "too slow"));
    expect(broker.texts()).toEqual(['{"t":"close","sid":"s1","msg":"timeout"}']);
  });

  test("after the answer needs no word", () => {
    const { broker, stream } = calling();
    broker.text(`{"t":"rpc","sid":"s1","payload":${RESULT}}`);
    stream.reset(gone);
    expect([broker.texts(), broker.link.streams]).toEqual([[], 0]);
  });
});

describe("what v1 cannot carry is refused, and not sent", () => {
  test.each(["GET", "DELETE", "OPTIONS", "PUT"])("%s: 405, at once", async method => {
    const broker = newBroker();
    const stream = broker.link.open({ method, path: "/mcp", headers: [] });
    broker.run();
    const { status, headers, text } = await answerOf(stream);
    expect([status, headerOf(headers, "allow"), JSON.parse(text)]).toEqual([405, "POST", rpcError("MCP_SCHEMA_ERROR")]);
    stream.end();
    expect([broker.texts(), broker.link.streams]).toEqual([[], 0]);
  });

  test.each([
    ["/mcp/more", "POST"],
    ["/mcpx", "POST"],
    ["/.well-known/oauth-protected-resource", "GET"],
  ])("%s: 404", async (path, method) => {
    const broker = newBroker();
    expect((await errorOf(ask(broker, CALL, [], method, path))).status).toBe(404);
    expect([broker.texts(), broker.link.streams]).toEqual([[], 0]);
  });

  test("notifications/initialized: 202, for no client may fail over it", async () => {
    const broker = newBroker();
    const stream = ask(broker, '{"jsonrpc":"2.0","method":"notifications/initialized"}');
    expect(await answerOf(stream)).toEqual({ status: 202, headers: [], text: "" });
    expect([broker.texts(), broker.link.streams]).toEqual([[], 0]);
  });

  test.each([
    [
      '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}',
      501,
      "notifications/cancelled was dropped",
    ],
    ['{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}', 501, "0.9 relay"],
    ['{"jsonrpc":"2.0","id":1,"result":{}}', 501, "0.9 relay"],
    ['{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"no"}}', 501, "0.9 relay"],
    [`[${CALL}]`, 400, "batch"],
    ["[]", 400, "batch"],
    ["", 400, "not JSON"],
    ["{", 400, "not JSON"],
    [`${CALL} x`, 400, "not JSON"],
    [`${CALL}},"sid":"s9"`, 400, "not JSON"],
    [Buffer.from('{"jsonrpc":"2.0","id":1,"method":"\xff"}', "latin1"), 400, "not JSON"],
    ["1", 400, "not a JSON-RPC 2.0 request"],
    ["null", 400, "not a JSON-RPC 2.0 request"],
    ['{"id":1,"method":"x"}', 400, "not a JSON-RPC 2.0 request"],
    ['{"jsonrpc":"1.0","id":1,"method":"x"}', 400, "not a JSON-RPC 2.0 request"],
    ['{"jsonrpc":"2.0","id":null,"method":"x"}', 400, "not a JSON-RPC 2.0 request"],
    ['{"jsonrpc":"2.0","id":{},"method":"x"}', 400, "not a JSON-RPC 2.0 request"],
    ['{"jsonrpc":"2.0","id":1,"method":""}', 400, "not a JSON-RPC 2.0 request"],
    ['{"jsonrpc":"2.0","id":1}', 400, "not a JSON-RPC 2.0 request"],
  ] as const)("%s: %d", async (body, status, words) => {
    const broker = newBroker();
    expect(await errorOf(ask(broker, body))).toEqual({
      status,
      body: rpcError("MCP_SCHEMA_ERROR", expect.stringContaining(words)),
    });
    expect([broker.texts(), broker.link.streams]).toEqual([[], 0]);
  });

  test("a frame larger than a relay's socket takes: 413", async () => {
    const room = V1_MCP_FRAME - RPC.length;
    const padded = (more: number): string => CALL.replace('"add"', `"add${"x".repeat(room + more)}"`);
    const broker = newBroker();
    ask(broker, padded(0));
    broker.text(OPEN_OK);
    expect(broker.texts()[1]).toHaveLength(V1_MCP_FRAME);
    expect(await errorOf(ask(broker, padded(1)))).toEqual({
      status: 413,
      body: rpcError("MCP_LIMIT_EXCEEDED", undefined, 7),
    });
    // Counted in bytes.
    expect((await errorOf(ask(broker, padded(-1).replace("x", "😀")))).status).toBe(413);
    expect(broker.texts()).toEqual([]);
  });

  test("and that as soon as it is known, whatever is still on its way", async () => {
    const broker = newBroker();
    const stream = broker.link.open({ method: "POST", path: "/mcp", headers: [] });
    const piece = Buffer.alloc(20_000, "x");
    stream.write(piece).catch(() => {});
    broker.run();
    expect(stream.headArrived).toBe(false);
    stream.write(piece).catch(() => {});
    broker.run();
    expect((await errorOf(stream)).status).toBe(413);
    stream.write(piece).catch(() => {});
    broker.run();
    expect([stream.out.bytes, broker.link.streams]).toEqual([0, 1]);
    stream.end();
    expect([broker.texts(), broker.link.streams]).toEqual([[], 0]);
  });

  test("an authorization that would not fit: 431", async () => {
    const broker = newBroker();
    const stream = ask(broker, CALL, [["authorization", `Bearer ${'"'.repeat(V1_MCP_FRAME / 2)}`]]);
    expect((await errorOf(stream)).status).toBe(431);
    expect(broker.texts()).toEqual([]);
  });
});

describe("frames", () => {
  test.each([
    '{"t":"open.ok"}',
    '{"t":"open.ok","sid":1}',
    '{"t":"open.fail"}',
    '{"t":"open.fail","sid":"s1","code":5}',
    '{"t":"rpc","payload":{}}',
    '{"t":"rpc","sid":{},"payload":{}}',
    '{"t":"close"}',
    '{"t":"close","sid":"s1","msg":[]}',
    "[]",
    "ping",
    '{"t":"rpc","sid":"s1","payload":{}',
    '{"t":"rpc","sid":"s1","payload":01}',
  ])("%s ends the connection", text => {
    const { broker, stream } = calling();
    broker.text(text);
    expect([broker.farewell?.code, stream.failure?.code]).toEqual([1002, "link_lost"]);
  });

  test.each([
    '{"t":"open.ok","sid":"other"}',
    '{"t":"open.fail","sid":"other"}',
    '{"t":"rpc","sid":"other","payload":{}}',
    '{"t":"close","sid":"other"}',
    OPEN_OK,
    '{"t":"open.fail","sid":"s1"}',
    '{"t":"open","sid":"s1"}',
    '{"t":"later","sid":5}',
    '{"t":7}',
    '{"t":"pong"}',
    '{"type":"ping"}',
    '{"id":"me","client_name":"again"}',
    "{}",
  ])("%s is let pass", async text => {
    const { broker, stream } = calling();
    broker.text(text);
    expect([broker.texts(), broker.farewell, stream.closed]).toEqual([[], undefined, false]);
    broker.text(`{"t":"rpc","sid":"s1","payload":${RESULT}}`, text);
    expect((await answerOf(stream)).text).toBe(RESULT);
    expect(broker.farewell).toBeUndefined();
  });

  test("an answer before the call was taken is let pass", () => {
    const { broker, stream } = calling(false);
    broker.text(`{"t":"rpc","sid":"s1","payload":${RESULT}}`);
    expect(stream.headArrived).toBe(false);
    broker.text(OPEN_OK);
    expect(broker.texts()).toEqual([RPC]);
  });

  test("ping is answered; a relay that is silent for 45 seconds is gone", () => {
    const { broker, stream } = calling();
    broker.text('{"t":"ping"}');
    expect(broker.texts()).toEqual(['{"t":"pong"}']);
    broker.clock.advance(V1_MCP_DEAD_MS - 1);
    expect(broker.texts()).toEqual(['{"t":"ping"}', '{"t":"ping"}']);
    expect([broker.link.isClosed, broker.link.routable]).toEqual([false, false]);
    broker.clock.advance(1);
    expect([broker.link.isClosed, broker.terminated, stream.failure?.code]).toEqual([true, true, "link_lost"]);
    expect(broker.clock.armed).toBe(0);
  });
});
