// The agent's half of MCP on wire v1 against frames written by hand, as brokers of the 0.9 series spell them.
import { describe, expect, test } from "bun:test";
import { NfrxError } from "../../../src/lib/errors.ts";
import type { HeaderList } from "../../../src/protocol/frames.ts";
import {
  PING_MS,
  V1_MCP_ANSWER,
  V1_MCP_DEAD_MS,
  V1_MCP_LINGER_MS,
  V1_MCP_OPENED,
} from "../../../src/protocol/limits.ts";
import type { Stream } from "../../../src/protocol/stream.ts";
import { drain, Lone } from "./ends.ts";

const OPEN = '{"t":"open","sid":"a-1","req_id":"r-1","hint":"tools/call","auth":"secret"}';
const OPEN_OK = '{"t":"open.ok","sid":"a-1"}';
const CALL = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add"}}';
const RPC = `{"t":"rpc","sid":"a-1","payload":${CALL}}`;
const RESULT = '{"jsonrpc":"2.0","id":7,"result":{"content":[]}}';
const DONE = '{"t":"close","sid":"a-1","msg":"done"}';

const JSON_OK = { status: 200, headers: [["content-type", "application/json"]] as HeaderList };
const EVENTS = { status: 200, headers: [["Content-Type", "text/event-stream; charset=utf-8"]] as HeaderList };
const answerFrame = (payload: string, sid = "a-1"): string => `{"t":"rpc","sid":"${sid}","payload":${payload}}`;

const newAgent = (): Lone => new Lone("agent", 1, {}, "mcp");

/** An agent with one call under way. */
function called(call = CALL): { agent: Lone; stream: Stream } {
  const agent = newAgent();
  agent.text(OPEN, `{"t":"rpc","sid":"a-1","payload":${call}}`);
  agent.texts();
  const [stream] = agent.streams;
  if (stream === undefined) throw new Error("no stream came");
  return { agent, stream };
}

/** The error that the broker is told, with what it is told besides. */
function errorIn(agent: Lone): object {
  const [answer, ...rest] = agent.messages();
  expect(rest).toEqual([{ t: "close", sid: "a-1", msg: "done" }]);
  expect(answer).toMatchObject({ t: "rpc", sid: "a-1", payload: { jsonrpc: "2.0", id: 7, error: { code: -32000 } } });
  const { payload } = answer ?? {};
  return typeof payload === "object" && payload !== null && "error" in payload ? Object(payload.error) : {};
}

describe("registration", () => {
  test("is the first frame, of which nothing else is said later", () => {
    const agent = newAgent();
    const fields = { worker_id: "instance", max_concurrency: 5, version: "1", agent_config: {} };
    agent.link.control({ type: "register", ...fields, worker_name: "mine", client_key: "key", models: ["relay-1"] });
    agent.link.control({ type: "heartbeat", ts: 1 });
    agent.link.control({ type: "status_update", max_concurrency: 1, status: "draining" });
    expect(agent.texts()).toEqual(['{"id":"relay-1","client_name":"mine","client_key":"key"}']);
    agent.text('{"id":"relay-1"}');
    expect([agent.control, agent.farewell]).toEqual([[{ id: "relay-1" }], undefined]);
  });

  test("without an id asks for one", () => {
    const agent = newAgent();
    agent.link.control({ type: "register", worker_name: "mine", models: [] });
    expect(agent.texts()).toEqual(['{"id":"","client_name":"mine"}']);
  });
});

describe("a call", () => {
  test("is a POST with its caller's token and its very text", async () => {
    const heads: object[] = [];
    const onStream = (stream: Stream, head: object): void => {
      agent.streams.push(stream);
      heads.push(head);
    };
    const agent: Lone = new Lone("agent", 1, { onStream }, "mcp");
    const text =
      ' {"id" :9007199254740993,"method":"tools/call","a":1.0,"jsonrpc":"2.0","p":"\\u00e9ä😀\\"}","payload":[1]} ';
    agent.text(OPEN);
    expect(agent.texts()).toEqual([OPEN_OK]);
    agent.text(`{"t":"rpc","payload" :${text}, "sid":"a-1"}`);
    expect(heads).toEqual([
      {
        method: "POST",
        path: "/mcp",
        headers: [
          ["content-type", "application/json"],
          ["accept", "application/json, text/event-stream"],
          ["accept-encoding", "identity"],
          ["authorization", "Bearer secret"],
          ["x-request-id", "r-1"],
        ],
      },
    ]);
    expect(agent.streams[0]?.arrived).toBe(true);
    expect((await drain(agent.streams[0]!)).toString()).toBe(text.trim());
    expect(agent.texts()).toEqual([]);
  });

  test.each([
    '{"t":"open","sid":"a-1"}',
    '{"t":"open","sid":"a-1","auth":"","req_id":null}',
    '{"t":"open","sid":"a-1","auth":"two words","req_id":"a\\r\\nb: c"}',
    '{"t":"open","sid":"a-1","auth":"caf\\u00e9"}',
    '{"t":"open","sid":"another","auth":"secret"}',
  ])("%s brings no header", opened => {
    const names: string[] = [];
    const agent = new Lone(
      "agent",
      1,
      { onStream: (_, { headers }) => names.push(...headers.map(([name]) => name)) },
      "mcp",
    );
    agent.text(opened, RPC);
    expect(names).toEqual(["content-type", "accept", "accept-encoding"]);
  });

  test("an answer in JSON goes back as it is", () => {
    const { agent, stream } = called('{"jsonrpc":"2.0","id":9007199254740993,"method":"x"}');
    const answer =
      '{"jsonrpc":"2.0", "result":{"n":12345678901234567890,"x":1.50,"s":"\\u00e9ä😀"},"id":9007199254740993}\n';
    const bytes = Buffer.from(answer);
    stream.sendHead(JSON_OK);
    for (const byte of bytes) {
      stream.write(Buffer.of(byte)).catch(() => {});
      agent.run();
    }
    expect(agent.texts()).toEqual([]);
    stream.end();
    expect(agent.texts()).toEqual([answerFrame(answer), DONE]);
    expect(agent.link.streams).toBe(0);
    agent.text('{"t":"close","sid":"a-1","msg":"done"}');
    expect([agent.texts(), agent.farewell]).toEqual([[], undefined]);
  });

  test("many at once with equal ids, answered in another order", () => {
    const agent = newAgent();
    const sids = Array.from({ length: 50 }, (_, at) => `sid ${at} "`);
    for (const sid of sids) agent.text(JSON.stringify({ t: "open", sid }));
    for (const sid of sids) agent.text(`{"t":"rpc","sid":${JSON.stringify(sid)},"payload":${CALL}}`);
    expect(agent.texts()).toEqual(sids.map(sid => JSON.stringify({ t: "open.ok", sid })));
    const answer = (at: number): string => `{"jsonrpc":"2.0","id":7,"result":${at}}`;
    for (const [at, stream] of [...agent.streams.entries()].toReversed()) {
      stream.sendHead(at % 2 === 0 ? JSON_OK : EVENTS);
      stream.end(Buffer.from(at % 2 === 0 ? answer(at) : `data: ${answer(at)}\n\n`));
    }
    expect(agent.texts()).toEqual(
      [...sids.entries()]
        .toReversed()
        .flatMap(([at, sid]) => [
          `{"t":"rpc","sid":${JSON.stringify(sid)},"payload":${answer(at)}}`,
          JSON.stringify({ t: "close", sid, msg: "done" }),
        ]),
    );
    expect(agent.link.streams).toBe(0);
  });

  test("a sid in use is not taken twice, one that is free again is", () => {
    const { agent, stream } = called();
    agent.text(OPEN, RPC);
    expect([agent.streams.length, agent.texts()]).toEqual([1, []]);
    stream.sendHead(JSON_OK);
    stream.end(Buffer.from(RESULT));
    agent.texts();
    agent.text(OPEN, OPEN, RPC);
    expect([agent.streams.length, agent.texts()]).toEqual([2, [OPEN_OK]]);
  });
});

describe("an answer in events", () => {
  const noise = [
    ": a comment",
    "",
    "id: 1",
    "data:",
    "",
    'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}',
    "",
    "event: message",
    'data: {"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{}}',
    "",
    'data: {"jsonrpc":"2.0","id":8,"result":{}}',
    "",
    "data: not JSON",
    "",
    "retry: 10",
  ];
  const answer = '{"jsonrpc":"2.0","id":7,"result":{"n":12345678901234567890,"s":"ä😀"}}';

  test.each(["\n", "\r\n", "\r"])("is the response among them, with line ends %j and chunks of any size", end => {
    const bytes = Buffer.from([...noise, `data: ${answer}`, "", "data: later", "", ""].join(end));
    for (const size of [1, 2, 3, 7, 64, bytes.length]) {
      const { agent, stream } = called();
      stream.sendHead(EVENTS);
      for (let at = 0; at < bytes.length; at += size) {
        stream.write(bytes.subarray(at, at + size)).catch(() => {});
        agent.run();
      }
      expect(agent.texts()).toEqual([answerFrame(answer), DONE]);
      stream.end();
      expect([agent.texts(), agent.link.streams, stream.failure]).toEqual([[], 0, undefined]);
    }
  });

  test("may be spread over lines", () => {
    const { agent, stream } = called();
    stream.sendHead(EVENTS);
    stream.end(Buffer.from('data: {"jsonrpc":"2.0",\ndata: "id":7,\ndata:"result":\ndata: {}}\n\n'));
    expect(agent.texts()).toEqual([answerFrame('{"jsonrpc":"2.0",\n"id":7,\n"result":\n{}}'), DONE]);
  });

  test("leaves at once; a stream that does not end then is let go", () => {
    const { agent, stream } = called();
    stream.sendHead(EVENTS);
    stream.write(Buffer.from(`data: ${RESULT}\n\n`)).catch(() => {});
    expect(agent.texts()).toEqual([answerFrame(RESULT), DONE]);
    stream.write(Buffer.from(`data: ${RESULT}\n\n: more\n\n`)).catch(() => {});
    agent.text('{"t":"close","sid":"a-1","msg":"done"}');
    expect([agent.texts(), stream.closed]).toEqual([[], false]);
    agent.clock.advance(V1_MCP_LINGER_MS + 2_500);
    expect([stream.failure?.code, agent.link.streams, agent.texts()]).toEqual(["canceled", 0, []]);
  });

  test("an error that names no id is the answer when there is no other", () => {
    const error = '{"code":-32700,"message":"Parse error","data":12345678901234567890}';
    const { agent, stream } = called();
    stream.sendHead(EVENTS);
    stream.end(Buffer.from(`data: {"jsonrpc":"2.0","id":null,"error":${error}}\n\n`));
    expect(agent.texts()).toEqual([answerFrame(`{"jsonrpc":"2.0","id":7,"error":${error}}`), DONE]);
  });

  test("without a response is an error, and so is half of one", () => {
    for (const text of [`${noise.join("\n")}\n\n`, "", `data: ${RESULT}\n`]) {
      const { agent, stream } = called();
      stream.sendHead(EVENTS);
      stream.end(Buffer.from(text));
      expect(errorIn(agent)).toMatchObject({ data: { mcp: "MCP_UPSTREAM_ERROR" } });
    }
  });

  test("may be long, in all, and not in one event", () => {
    const { agent, stream } = called();
    stream.sendHead(EVENTS);
    const piece = Buffer.from(`data: ${"x".repeat(V1_MCP_ANSWER / 2)}\n\n`);
    for (let n = 0; n < 3; n++) {
      stream.write(piece).catch(() => {});
      agent.run();
    }
    expect([agent.texts(), stream.closed]).toEqual([[], false]);
    for (let n = 0; n < 3; n++) stream.write(piece.subarray(0, -2)).catch(() => {});
    expect(errorIn(agent)).toMatchObject({ data: { mcp: "MCP_LIMIT_EXCEEDED" } });
    expect([stream.failure?.code, agent.link.streams]).toEqual(["too_large", 0]);
  });
});

describe("an answer that is none", () => {
  test.each([
    [400, "MCP_SCHEMA_ERROR"],
    [401, "MCP_UNAUTHORIZED"],
    [403, "MCP_UNAUTHORIZED"],
    [404, "MCP_UPSTREAM_ERROR"],
    [413, "MCP_LIMIT_EXCEEDED"],
    [429, "MCP_LIMIT_EXCEEDED"],
    [500, "MCP_UPSTREAM_ERROR"],
    [502, "MCP_UPSTREAM_ERROR"],
    [503, "MCP_PROVIDER_UNAVAILABLE"],
    [504, "MCP_TIMEOUT"],
  ])("%d is %s", (status, mcp) => {
    for (const text of ["", "<html>sorry</html>", '{"error":"no"}', `data: ${RESULT}\n\n`]) {
      const { agent, stream } = called();
      stream.sendHead({ status, headers: text.startsWith("data") ? EVENTS.headers : [] });
      stream.end(Buffer.from(text));
      expect(errorIn(agent)).toMatchObject({ message: expect.stringContaining(`${status}`), data: { mcp, status } });
    }
  });

  test("an error in HTTP that is one of JSON-RPC too goes back as that", () => {
    const error = '{"code":-32001,"message":"Session not found","data":1.0}';
    for (const id of ['"id":7', '"id":null', '"x":1']) {
      const { agent, stream } = called();
      const text = `{"jsonrpc":"2.0","error":${error},${id}}`;
      stream.sendHead({ status: 404, headers: [] });
      stream.end(Buffer.from(text));
      const payload = id === '"id":7' ? text : `{"jsonrpc":"2.0","id":7,"error":${error}}`;
      expect(agent.texts()).toEqual([answerFrame(payload), DONE]);
    }
  });

  test.each([
    ["nothing", 202, ""],
    ["nothing", 200, ""],
    ["what is not JSON", 200, "hello"],
    ["half of it", 200, RESULT.slice(0, -1)],
    ["what is not UTF-8", 200, Buffer.from('{"jsonrpc":"2.0","id":7,"result":"\xff"}', "latin1")],
  ] as const)("%s with %d is an error", (_, status, body) => {
    const { agent, stream } = called();
    stream.sendHead({ status, headers: [] });
    stream.end(Buffer.from(body));
    expect(errorIn(agent)).toMatchObject({ data: { mcp: "MCP_UPSTREAM_ERROR" } });
    expect([agent.link.streams, agent.farewell]).toEqual([0, undefined]);
  });

  test("JSON of another kind is for the caller to judge", () => {
    const { agent, stream } = called();
    stream.sendHead(JSON_OK);
    stream.end(Buffer.from('[{"jsonrpc":"2.0"}]'));
    expect(agent.texts()).toEqual([answerFrame('[{"jsonrpc":"2.0"}]'), DONE]);
  });

  test.each([
    ["refused", "MCP_PROVIDER_UNAVAILABLE"],
    ["draining", "MCP_PROVIDER_UNAVAILABLE"],
    ["timeout", "MCP_TIMEOUT"],
    ["upstream_error", "MCP_UPSTREAM_ERROR"],
    ["unauthorized", "MCP_UNAUTHORIZED"],
  ] as const)("a failure %s is %s, before and after the head", (code, mcp) => {
    for (const begun of [false, true]) {
      const { agent, stream } = called();
      if (begun) stream.sendHead(JSON_OK);
      agent.run();
      stream.reset(new NfrxError(code, "why"));
      expect(errorIn(agent)).toMatchObject({ message: "why", data: { mcp } });
      expect(agent.link.streams).toBe(0);
    }
  });

  test("one that is too large is told so, and stopped", () => {
    const { agent, stream } = called();
    stream.sendHead(JSON_OK);
    stream.write(Buffer.alloc(V1_MCP_ANSWER, "1")).catch(() => {});
    expect(agent.texts()).toEqual([]);
    stream.write(Buffer.of(0x31)).catch(() => {});
    expect(errorIn(agent)).toMatchObject({ data: { mcp: "MCP_LIMIT_EXCEEDED" } });
    expect([stream.failure?.code, agent.link.streams]).toEqual(["too_large", 0]);
  });

  test("what has no id is answered without one", () => {
    const { agent, stream } = called('{"jsonrpc":"2.0","method":"notifications/x"}');
    stream.sendHead({ status: 202, headers: [] }, true);
    expect(agent.messages()[0]).toMatchObject({ t: "rpc", payload: { id: null, error: { code: -32000 } } });
  });
});

describe("a broker that gives up", () => {
  const cancel = '{"t":"close","sid":"a-1","msg":"timeout"}';

  test("before it has sent the call leaves nothing", () => {
    const agent = newAgent();
    agent.text(OPEN, cancel, cancel);
    expect([agent.texts(), agent.streams]).toEqual([[OPEN_OK], []]);
    agent.text(OPEN);
    expect(agent.texts()).toEqual([OPEN_OK]);
  });

  test.each(["before the answer", "after its head", "in mid-answer", "between events"])("%s cancels the call", when => {
    const { agent, stream } = called();
    if (when !== "before the answer") stream.sendHead(when === "between events" ? EVENTS : JSON_OK);
    if (when.startsWith("in mid")) stream.write(Buffer.from(RESULT.slice(0, 9))).catch(() => {});
    if (when.startsWith("between")) stream.write(Buffer.from("data: {}\n\n")).catch(() => {});
    agent.run();
    agent.text(cancel);
    expect(stream.failure).toMatchObject({ code: "canceled", message: expect.stringContaining("timeout") });
    stream.end(Buffer.from("for nobody"));
    expect([agent.texts(), agent.link.streams]).toEqual([[], 0]);
    agent.text(cancel, '{"t":"close","sid":"other"}');
    expect([agent.texts(), agent.farewell]).toEqual([[], undefined]);
  });

  test("without a word is forgotten after a while", () => {
    const names: string[][] = [];
    const agent = new Lone(
      "agent",
      1,
      { onStream: (_, { headers }) => names.push(headers.map(([name]) => name)) },
      "mcp",
    );
    for (let at = 0; at <= V1_MCP_OPENED; at++) agent.text(`{"t":"open","sid":"s${at}","auth":"x"}`);
    for (const sid of ["s0", "s1"]) agent.text(`{"t":"rpc","sid":"${sid}","payload":${CALL}}`);
    expect(names.map(list => list.includes("authorization"))).toEqual([false, true]);
  });
});

describe("an agent that leaves", () => {
  test("takes no more calls, and ends those it has", () => {
    const { agent, stream } = called();
    agent.text('{"t":"open","sid":"a-2"}');
    agent.texts();
    agent.link.goaway();
    agent.text('{"t":"open","sid":"a-3"}', `{"t":"rpc","sid":"a-2","payload":${CALL}}`);
    expect(agent.messages()).toMatchObject([
      { t: "open.fail", sid: "a-3", code: "MCP_PROVIDER_UNAVAILABLE", msg: "draining" },
      { t: "rpc", sid: "a-2", payload: { id: 7, error: { data: { mcp: "MCP_PROVIDER_UNAVAILABLE" } } } },
      { t: "close", sid: "a-2", msg: "done" },
    ]);
    stream.sendHead(JSON_OK);
    stream.end(Buffer.from(RESULT));
    expect(agent.texts()).toEqual([answerFrame(RESULT), DONE]);
    expect([agent.streams.length, agent.link.streams]).toEqual([1, 0]);
  });
});

describe("frames", () => {
  test.each([
    '{"t":"open"}',
    '{"t":"open","sid":""}',
    '{"t":"open","sid":"a","auth":1}',
    '{"t":"rpc","payload":{}}',
    '{"t":"rpc","sid":"a"}',
    '{"t":"rpc","sid":"","payload":{}}',
    '{"t":"close"}',
    "null",
    "hello",
  ])("%s ends the connection", text => {
    const { agent, stream } = called();
    agent.text(text);
    expect([agent.farewell?.code, stream.failure?.code]).toEqual([1002, "link_lost"]);
  });

  test.each(['{"t":"open.ok","sid":"a-1"}', '{"t":"later"}', '{"t":null}', '{"type":"ping"}', '{"t":"pong"}', "{}"])(
    "%s is let pass",
    text => {
      const { agent, stream } = called();
      agent.text(text);
      expect([agent.texts(), agent.farewell, stream.closed]).toEqual([[], undefined, false]);
    },
  );

  test("a broker that only says that it is there lives; one that is silent for 45 seconds is gone", () => {
    const { agent, stream } = called();
    for (let n = 1; n <= 4; n++) {
      agent.clock.advance(PING_MS);
      agent.text('{"type":"ping"}');
      // The second one is for a broker that says nothing for longer than that.
      expect([agent.texts(), agent.pings]).toEqual([['{"t":"ping"}'], n]);
    }
    agent.text('{"t":"ping"}');
    expect(agent.texts()).toEqual(['{"t":"pong"}']);
    agent.clock.advance(V1_MCP_DEAD_MS - 1);
    expect(agent.link.isClosed).toBe(false);
    agent.clock.advance(1);
    expect([agent.link.isClosed, agent.terminated, stream.failure?.code]).toEqual([true, true, "link_lost"]);
    expect(agent.clock.armed).toBe(0);
  });
});
