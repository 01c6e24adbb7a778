// Wire v1 against frames written by hand, as the 0.9 series spells them (shared contract: README.md, "Wire v1").
import { describe, expect, test } from "bun:test";
import { NfrxError } from "../../../src/lib/errors.ts";
import {
  V1_BROKER_DEAD_MS,
  V1_CHUNK,
  V1_DEAD_MS,
  V1_PING_MS,
  V1_REQUEST_BODY,
  V1_STREAM_BUFFER,
} from "../../../src/protocol/limits.ts";
import { drain, Ends, Lone, NOTHING_HELD, POST, pattern, Watched } from "./ends.ts";

const canceled = new NfrxError("canceled", "the client disconnected");
const base64 = (text: string): string => Buffer.from(text).toString("base64");

/** A broker whose agent is the test, with one request under way. */
function asked(body?: string) {
  const broker = new Lone("broker", 1);
  const stream = broker.link.open(POST);
  stream.end(body === undefined ? undefined : Buffer.from(body));
  broker.messages();
  return { broker, stream };
}

describe("the broker's half", () => {
  test("sends a request as one frame, with the whole body", async () => {
    const broker = new Lone("broker", 1);
    const stream = broker.link.open({
      method: "POST",
      path: "/v1/convert/source",
      headers: [
        ["content-type", "application/json"],
        ["accept", "a/b"],
        ["accept", "c/d"],
        ["x-request-id", "42"],
      ],
    });
    const one = Buffer.from("one, ");
    await Promise.all([stream.write(one), Promise.resolve(broker.run())]);
    one.fill(0); // once it is written it is the writer's again
    expect(broker.messages()).toEqual([]);
    await Promise.all([stream.write(Buffer.from("two, ")), Promise.resolve(broker.run())]);
    expect(broker.messages()).toEqual([]);
    stream.end(Buffer.from("three"));
    broker.run();
    expect(broker.sent).toEqual([
      '{"type":"http_proxy_request","request_id":"r1","method":"POST","path":"/v1/convert/source",' +
        '"headers":{"content-type":"application/json","accept":"a/b, c/d","x-request-id":"42"},' +
        '"stream":false,"body":"b25lLCB0d28sIHRocmVl"}',
    ]);
  });

  test("leaves an empty body out and says when events are wanted", () => {
    const broker = new Lone("broker", 1);
    broker.link.open({ method: "GET", path: "/models", headers: [["Accept", "text/event-stream"]] }, true);
    expect(broker.messages()).toEqual([
      {
        type: "http_proxy_request",
        request_id: "r1",
        method: "GET",
        path: "/models",
        headers: { Accept: "text/event-stream" },
        stream: true,
      },
    ]);
  });

  test("reads headers, chunks and end", async () => {
    const { broker, stream } = asked("hello");
    broker.text(
      '{"type":"http_proxy_response_headers","request_id":"r1","status":200,"headers":{"Content-Type":"text/plain","Vary":"a, b"}}',
      '{"type":"http_proxy_response_chunk","request_id":"r1","data":"aGVs"}',
      '{"type":"http_proxy_response_chunk","request_id":"r1","data":"bG8="}',
      '{"type":"http_proxy_response_chunk","request_id":"r1","data":""}',
      '{"type":"http_proxy_response_chunk","request_id":"r1","data":null}',
      '{"type":"http_proxy_response_chunk","request_id":"r1"}',
      '{"type":"http_proxy_response_end","request_id":"r1"}',
    );
    expect(await stream.head()).toEqual({
      status: 200,
      headers: [
        ["Content-Type", "text/plain"],
        ["Vary", "a, b"],
      ],
    });
    expect((await drain(stream)).toString()).toBe("hello");
    expect([broker.link.streams, broker.messages()]).toEqual([0, []]);
  });

  test.each([
    '{"type":"http_proxy_response_headers","request_id":"r1","status":204}',
    '{"type":"http_proxy_response_headers","request_id":"r1","status":204,"headers":null}',
    '{"type":"http_proxy_response_headers","request_id":"r1","status":204,"headers":{},"later":[1]}',
  ])("reads the head %s", async text => {
    const { broker, stream } = asked();
    broker.text(text, '{"type":"http_proxy_response_end","request_id":"r1","error":null}');
    expect(await stream.head()).toEqual({ status: 204, headers: [] });
    expect(await stream.read()).toBeNull();
  });

  test("cancels once the request has been sent, and not before", () => {
    const { broker, stream } = asked("hello");
    stream.reset(canceled);
    expect(broker.messages()).toEqual([{ type: "http_proxy_cancel", request_id: "r1" }]);
    const unsent = broker.link.open(POST);
    unsent.write(Buffer.from("half of it")).catch(() => {});
    broker.run();
    unsent.reset(canceled);
    expect(broker.messages()).toEqual([]);
    expect(broker.link.streams).toBe(0);
    // What the agent had already sent.
    broker.text(
      '{"type":"http_proxy_response_headers","request_id":"r1","status":200}',
      '{"type":"http_proxy_response_chunk","request_id":"r1","data":"aGVs"}',
      '{"type":"http_proxy_response_end","request_id":"r1","error":{"code":"canceled","message":"as asked"}}',
    );
    expect([broker.farewell, broker.messages()]).toEqual([undefined, []]);
  });

  test("a held 502 that ends in upstream_error was the agent's own: nothing was done", async () => {
    const { broker, stream } = asked("hello");
    const head = new Watched(stream.head());
    broker.text(
      '{"type":"http_proxy_response_headers","request_id":"r1","status":502,"headers":{"Content-Type":"application/json"}}',
      `{"type":"http_proxy_response_chunk","request_id":"r1","data":"${base64('{"error":"upstream_error"}')}"}`,
    );
    expect(stream.headArrived).toBe(false);
    broker.text(
      '{"type":"http_proxy_response_end","request_id":"r1","error":{"code":"upstream_error","message":"connection refused"}}',
    );
    await Promise.resolve();
    expect(stream.failure).toMatchObject({ code: "refused", message: "connection refused" });
    expect(head.error).toBe(stream.failure);
    expect(broker.link.streams).toBe(0);
  });

  test("a 503 that ends in worker_draining is a refusal", () => {
    const { broker, stream } = asked("hello");
    broker.text(
      '{"type":"http_proxy_response_headers","request_id":"r1","status":503,"headers":{}}',
      '{"type":"http_proxy_response_end","request_id":"r1","error":{"code":"worker_draining","message":"worker is draining"}}',
    );
    expect(stream.failure).toMatchObject({ code: "refused", message: "worker is draining" });
  });

  test.each([502, 503])("a %d of the backend comes through, in order", async status => {
    const { broker, stream } = asked("hello");
    broker.text(
      `{"type":"http_proxy_response_headers","request_id":"r1","status":${status},"headers":{"Retry-After":"3"}}`,
      `{"type":"http_proxy_response_chunk","request_id":"r1","data":"${base64("the backend ")}"}`,
      `{"type":"http_proxy_response_chunk","request_id":"r1","data":"${base64("said so")}"}`,
      '{"type":"http_proxy_response_end","request_id":"r1"}',
    );
    expect(await stream.head()).toEqual({ status, headers: [["Retry-After", "3"]] });
    expect((await drain(stream)).toString()).toBe("the backend said so");
  });

  test("and is not held for longer than a chunk", async () => {
    const { broker, stream } = asked("hello");
    const chunk = Buffer.alloc(V1_CHUNK / 2 + 1).toString("base64");
    broker.text('{"type":"http_proxy_response_headers","request_id":"r1","status":502,"headers":{}}');
    broker.text(`{"type":"http_proxy_response_chunk","request_id":"r1","data":"${chunk}"}`);
    expect(stream.headArrived).toBe(false);
    broker.text(`{"type":"http_proxy_response_chunk","request_id":"r1","data":"${chunk}"}`);
    expect([stream.headArrived, stream.buffered]).toEqual([true, V1_CHUNK + 2]);
    broker.text('{"type":"http_proxy_response_chunk","request_id":"r1","data":"aGVs"}');
    broker.text('{"type":"http_proxy_response_end","request_id":"r1"}');
    expect((await drain(stream)).length).toBe(V1_CHUNK + 5);
  });

  test("an end with an error cuts the answer", async () => {
    const { broker, stream } = asked("hello");
    broker.text(
      '{"type":"http_proxy_response_headers","request_id":"r1","status":200,"headers":{}}',
      '{"type":"http_proxy_response_chunk","request_id":"r1","data":"aGVs"}',
      '{"type":"http_proxy_response_end","request_id":"r1","error":{"code":"upstream_error","message":"reset by peer"}}',
    );
    expect(Buffer.from((await stream.read()) ?? []).toString()).toBe("hel");
    expect(stream.read()).rejects.toMatchObject({ code: "upstream_error", message: "reset by peer" });
  });

  test.each([
    ["{}", "upstream_error", "upstream_error"],
    ['{"code":"something_new"}', "upstream_error", "something_new"],
    ['{"message":"why"}', "upstream_error", "why"],
    ['{"code":"timeout","message":"slow"}', "timeout", "slow"],
  ])("the end error %s", (error, code, message) => {
    const { broker, stream } = asked("hello");
    broker.text(`{"type":"http_proxy_response_end","request_id":"r1","error":${error}}`);
    expect(stream.failure).toMatchObject({ code, message });
  });

  test.each([
    ["an end before its head", '{"type":"http_proxy_response_end","request_id":"r1"}'],
    [
      "a response body before the response head",
      '{"type":"http_proxy_response_chunk","request_id":"r1","data":"aGVs"}',
    ],
    ["the status 0", '{"type":"http_proxy_response_headers","request_id":"r1","status":0}'],
    ["the status 99", '{"type":"http_proxy_response_headers","request_id":"r1","status":99}'],
    ["the status 600", '{"type":"http_proxy_response_headers","request_id":"r1","status":600}'],
    ["the status 1e9", '{"type":"http_proxy_response_headers","request_id":"r1","status":1e9}'],
    ["the status 200.5", '{"type":"http_proxy_response_headers","request_id":"r1","status":200.5}'],
  ])("%s fails the stream alone and cancels it", (_, text) => {
    const { broker, stream } = asked("hello");
    broker.text(text);
    expect(stream.failure).toMatchObject({ code: "upstream_error" });
    expect(broker.messages()).toEqual([{ type: "http_proxy_cancel", request_id: "r1" }]);
    expect([broker.farewell, broker.link.streams]).toEqual([undefined, 0]);
  });

  test("a second head changes nothing", async () => {
    const { broker, stream } = asked("hello");
    for (const status of [200, 404, 502])
      broker.text(`{"type":"http_proxy_response_headers","request_id":"r1","status":${status}}`);
    broker.text('{"type":"http_proxy_response_end","request_id":"r1"}');
    expect(await stream.head()).toMatchObject({ status: 200 });
    expect(broker.farewell).toBeUndefined();
  });

  test("what nobody reads is capped for each stream, and only that stream is reset", async () => {
    const broker = new Lone("broker", 1);
    const [slow, fast] = [broker.link.open(POST, true), broker.link.open(POST, true)];
    broker.messages();
    for (const id of ["r1", "r3"])
      broker.text(`{"type":"http_proxy_response_headers","request_id":"${id}","status":200}`);
    const chunk = Buffer.alloc(V1_CHUNK).toString("base64");
    let read = 0;
    for (let sent = 0; sent < V1_STREAM_BUFFER; sent += V1_CHUNK) {
      for (const id of ["r1", "r3"])
        broker.text(`{"type":"http_proxy_response_chunk","request_id":"${id}","data":"${chunk}"}`);
      read += fast.take()?.length ?? 0;
    }
    expect([slow.buffered, slow.failure, read]).toEqual([V1_STREAM_BUFFER, undefined, V1_STREAM_BUFFER]);
    broker.text('{"type":"http_proxy_response_chunk","request_id":"r1","data":"eA=="}');
    expect([slow.failure?.code, slow.buffered]).toEqual(["too_large", 0]);
    expect(slow.read()).rejects.toMatchObject({ code: "too_large" });
    expect(broker.messages()).toEqual([{ type: "http_proxy_cancel", request_id: "r1" }]);
    broker.text('{"type":"http_proxy_response_end","request_id":"r3"}');
    expect(await fast.read()).toBeNull();
    expect(broker.farewell).toBeUndefined();
  });

  test.each([true, false])("a request body has a limit (ended: %p)", async ended => {
    const broker = new Lone("broker", 1);
    const stream = broker.link.open(POST);
    const half = Buffer.alloc(V1_REQUEST_BODY / 2);
    await Promise.all([stream.write(half), Promise.resolve(broker.run())]);
    const rest = new Watched(stream.write(Buffer.alloc(V1_REQUEST_BODY / 2 + 1)));
    if (ended) stream.end();
    broker.run();
    await Promise.resolve();
    expect(stream.failure).toMatchObject({ code: "too_large", status: 413 });
    expect(rest.done).toBe(true);
    expect([broker.messages(), broker.link.streams]).toEqual([[], 0]);
    broker.link.open(POST, true);
    expect(broker.messages()).toHaveLength(1);
  });

  test("the largest request body passes", async () => {
    const ends = new Ends(1);
    const body = Buffer.alloc(V1_REQUEST_BODY, "nfrx");
    ends.broker.open(POST).end(body);
    await ends.quiet();
    expect(ends.closed.agent).toEqual([]);
    expect(body.equals(ends.last.take() ?? Buffer.alloc(0))).toBe(true);
  });

  test("hands everything it does not know to its owner", () => {
    const { broker, stream } = asked();
    const control = [
      '{"type":"heartbeat","ts":1769850000,"host_cpu_percent":12.5,"host_ram_used_percent":null}',
      '{"type":"status_update","max_concurrency":2,"models":["a"],"status":"idle"}',
      '{"type":"job_result","job_id":"1"}',
      '{"type":7}',
      "{}",
    ];
    broker.text(...control);
    expect(broker.control).toEqual(control.map(text => JSON.parse(text)));
    expect([stream.closed, broker.farewell]).toEqual([false, undefined]);
  });

  test("ignores answers to requests it does not know", () => {
    const { broker, stream } = asked();
    broker.text(
      '{"type":"http_proxy_response_headers","request_id":"r99","status":200}',
      '{"type":"http_proxy_response_headers","request_id":"__proto__","status":200}',
      '{"type":"http_proxy_response_chunk","request_id":"","data":"aGVs"}',
      '{"type":"http_proxy_response_end","request_id":"r99"}',
      '{"type":"http_proxy_response_end","request_id":"r99","error":{"code":"x","message":"y"}}',
    );
    expect([broker.farewell, stream.closed, broker.messages()]).toEqual([undefined, false, []]);
  });

  test("takes text in a binary message as text", async () => {
    const { broker, stream } = asked();
    broker.receive(Buffer.from('{"type":"http_proxy_response_headers","request_id":"r1","status":200}'));
    expect(await stream.head()).toEqual({ status: 200, headers: [] });
  });

  test.each([
    '{"type":"http_proxy_response_headers","request_id":"r1"}',
    '{"type":"http_proxy_response_headers","status":200}',
    '{"type":"http_proxy_response_headers","request_id":"r1","status":"200"}',
    '{"type":"http_proxy_response_headers","request_id":"r1","status":200,"headers":{"a":["b"]}}',
    '{"type":"http_proxy_response_chunk","request_id":1,"data":""}',
    '{"type":"http_proxy_response_chunk","request_id":"r1","data":[1]}',
    '{"type":"http_proxy_response_end"}',
    '{"type":"http_proxy_response_end","request_id":"r1","error":"no"}',
  ])("the malformed frame %s ends the link", text => {
    const { broker, stream } = asked();
    broker.text(text);
    expect(broker.farewell).toMatchObject({ code: 1002, reason: expect.stringContaining("malformed frame") });
    expect(stream.failure?.code).toBe("link_lost");
  });

  test("drops an agent that has been silent for fifteen seconds", () => {
    const broker = new Lone("broker", 1);
    broker.clock.advance(V1_DEAD_MS - 1);
    expect([broker.link.routable, broker.link.isClosed]).toEqual([true, false]);
    broker.text('{"type":"heartbeat","ts":1}');
    broker.clock.advance(V1_DEAD_MS - 1);
    expect(broker.link.routable).toBe(true);
    broker.clock.advance(2_500);
    expect([broker.terminated, broker.link.isClosed, broker.pings]).toEqual([true, true, 0]);
  });
});

describe("the agent's half", () => {
  const request =
    '{"type":"http_proxy_request","request_id":"abc-1","method":"POST","path":"/chat/completions",' +
    '"headers":{"Content-Type":"application/json","Accept":"text/event-stream"},"stream":true,"body":"eyJtb2RlbCI6ImEifQ=="}';

  test("reads a request", async () => {
    const heads: unknown[] = [];
    const agent = new Lone("agent", 1, { onStream: (stream, head) => heads.push(head, stream) });
    agent.text(request);
    expect(heads[0]).toEqual({
      method: "POST",
      path: "/chat/completions",
      headers: [
        ["Content-Type", "application/json"],
        ["Accept", "text/event-stream"],
      ],
    });
    const [stream] = [agent.link.stream(1)];
    if (stream === undefined) throw new Error("no stream");
    expect(stream.arrived).toBe(true);
    expect((await drain(stream)).toString()).toBe('{"model":"a"}');
  });

  test.each([
    '{"type":"http_proxy_request","request_id":"1","method":"GET","path":"/models"}',
    '{"type":"http_proxy_request","request_id":"1","method":"GET","path":"/models","headers":null,"body":null}',
    '{"type":"http_proxy_request","request_id":"1","method":"GET","path":"/models","headers":{},"body":"","later":1}',
  ])("reads the request %s", async text => {
    const agent = new Lone("agent", 1);
    agent.text(text);
    expect(agent.streams).toHaveLength(1);
    expect(await agent.streams[0]?.read()).toBeNull();
  });

  test("answers headers, chunks and end", () => {
    const agent = new Lone("agent", 1);
    agent.text(request);
    const [stream] = agent.streams;
    stream?.sendHead({
      status: 201,
      headers: [
        ["content-type", "text/plain"],
        ["set-cookie", "a=1"],
        ["set-cookie", "b=2"],
      ],
    });
    agent.run();
    stream?.write(Buffer.from("hello"));
    agent.run();
    stream?.end();
    agent.run();
    expect(agent.sent).toEqual([
      '{"type":"http_proxy_response_headers","request_id":"abc-1","status":201,"headers":{"content-type":"text/plain","set-cookie":"a=1, b=2"}}',
      '{"type":"http_proxy_response_chunk","request_id":"abc-1","data":"aGVsbG8="}',
      '{"type":"http_proxy_response_end","request_id":"abc-1"}',
    ]);
    expect(agent.link.streams).toBe(0);
  });

  test("cuts an answer into chunks of 32 KiB", () => {
    const agent = new Lone("agent", 1);
    agent.text(request);
    const body = pattern(100_000);
    agent.streams[0]?.sendHead({ status: 200, headers: [] });
    agent.streams[0]?.end(body);
    const messages = agent.messages();
    expect(messages.at(0)).toMatchObject({ type: "http_proxy_response_headers" });
    expect(messages.at(-1)).toEqual({ type: "http_proxy_response_end", request_id: "abc-1" });
    const chunks = messages.slice(1, -1).map(({ data }) => Buffer.from(data ?? "", "base64"));
    expect(chunks.map(chunk => chunk.length)).toEqual([V1_CHUNK, V1_CHUNK, V1_CHUNK, 100_000 - 3 * V1_CHUNK]);
    expect(Buffer.concat(chunks).equals(body)).toBe(true);
  });

  test("two answers take turns", () => {
    const agent = new Lone("agent", 1);
    agent.text(request, request.replace("abc-1", "abc-2"));
    for (const stream of agent.streams) {
      stream.sendHead({ status: 200, headers: [] });
      stream.end(Buffer.alloc(V1_CHUNK * 3));
    }
    const order = agent.messages().map(message => message.request_id?.slice(-1));
    expect(order.join("")).toMatch(/^11?2/);
    expect(order.join("")).not.toMatch(/111|222/);
  });

  test("a cancel aborts and is not answered", async () => {
    const agent = new Lone("agent", 1);
    agent.text(request);
    const [stream] = agent.streams;
    stream?.sendHead({ status: 200, headers: [] });
    agent.messages();
    agent.text('{"type":"http_proxy_cancel","request_id":"abc-1"}');
    expect(stream?.failure?.code).toBe("canceled");
    stream?.end(Buffer.from("for nobody"));
    expect([agent.messages(), agent.link.streams]).toEqual([[], 0]);
    agent.text('{"type":"http_proxy_cancel","request_id":"abc-1"}', '{"type":"http_proxy_cancel","request_id":"no"}');
    expect([agent.farewell, agent.messages()]).toEqual([undefined, []]);
  });

  test.each(["refused", "draining"] as const)("%s: 503 and worker_draining", code => {
    const agent = new Lone("agent", 1);
    agent.text(request);
    agent.streams[0]?.reset(new NfrxError(code, "no room"));
    expect(agent.messages()).toEqual([
      { type: "http_proxy_response_headers", request_id: "abc-1", status: 503, headers: {} },
      { type: "http_proxy_response_end", request_id: "abc-1", error: { code: "worker_draining", message: "no room" } },
    ]);
  });

  test("a leaving agent refuses by itself", () => {
    const agent = new Lone("agent", 1);
    agent.link.goaway();
    expect(agent.messages()).toEqual([]);
    agent.text(request);
    expect(agent.streams).toEqual([]);
    expect(agent.messages()).toEqual([
      { type: "http_proxy_response_headers", request_id: "abc-1", status: 503, headers: {} },
      { type: "http_proxy_response_end", request_id: "abc-1", error: { code: "worker_draining", message: "draining" } },
    ]);
    expect(agent.link.streams).toBe(0);
  });

  test("another failure is a 502 with its code, or the code alone after the head", () => {
    const agent = new Lone("agent", 1);
    agent.text(request, request.replace("abc-1", "abc-2"));
    agent.streams[1]?.sendHead({ status: 200, headers: [] });
    agent.messages();
    agent.streams[0]?.reset(new NfrxError("upstream_error", "broken"));
    agent.streams[1]?.reset(new NfrxError("timeout", "silent"));
    expect(agent.messages()).toEqual([
      { type: "http_proxy_response_headers", request_id: "abc-1", status: 502, headers: {} },
      { type: "http_proxy_response_end", request_id: "abc-1", error: { code: "upstream_error", message: "broken" } },
      { type: "http_proxy_response_end", request_id: "abc-2", error: { code: "timeout", message: "silent" } },
    ]);
  });

  test("a request id in use is not taken twice, one that is free again is", () => {
    const agent = new Lone("agent", 1);
    agent.text(request, request);
    expect(agent.streams).toHaveLength(1);
    agent.streams[0]?.sendHead({ status: 200, headers: [] }, true);
    agent.run();
    agent.text(request);
    expect(agent.streams).toHaveLength(2);
  });

  test("hands everything it does not know to its owner", () => {
    const agent = new Lone("agent", 1);
    agent.text('{"type":"models_update","models":[]}', '{"type":"job_request","job_id":"1"}', '{"t":"ping"}');
    expect(agent.control).toEqual([
      { type: "models_update", models: [] },
      { type: "job_request", job_id: "1" },
      { t: "ping" },
    ]);
    expect(agent.farewell).toBeUndefined();
  });

  test.each([
    '{"type":"http_proxy_request","request_id":"","method":"GET","path":"/"}',
    '{"type":"http_proxy_request","request_id":"1","method":"","path":"/"}',
    '{"type":"http_proxy_request","request_id":"1","method":"GET","path":"http://elsewhere/"}',
    '{"type":"http_proxy_request","request_id":"1","method":"GET","path":"@elsewhere/"}',
    '{"type":"http_proxy_request","request_id":"1","method":"GET","path":"/","body":"not base64!"}',
    '{"type":"http_proxy_request","request_id":"1","method":"GET","path":"/","headers":{"a":1}}',
    '{"type":"http_proxy_cancel"}',
  ])("the malformed frame %s ends the link", text => {
    const agent = new Lone("agent", 1);
    agent.text(text);
    expect(agent.farewell?.code).toBe(1002);
    expect(agent.streams).toEqual([]);
  });

  test("pings a broker that says nothing of its own, and gives it two pings' time", () => {
    const agent = new Lone("agent", 1);
    for (let n = 1; n <= 4; n++) {
      agent.clock.advance(V1_PING_MS);
      expect(agent.pings).toBe(n);
      agent.link.ponged();
    }
    agent.clock.advance(V1_BROKER_DEAD_MS - 1);
    expect(agent.link.isClosed).toBe(false);
    agent.clock.advance(1);
    expect([agent.link.isClosed, agent.terminated]).toEqual([true, true]);
  });
});

test("both halves understand each other's refusals", async () => {
  for (const [code, heard, message = "why"] of [
    ["refused", "refused"],
    ["draining", "refused"],
    ["upstream_error", "upstream_error"],
    ["upstream_error", "refused", "dial tcp 127.0.0.1:11434: connect: connection refused"],
    ["timeout", "timeout"],
  ] as const) {
    const ends = new Ends(1, stream => stream.reset(new NfrxError(code, message)));
    const stream = ends.broker.open(POST, true);
    await ends.quiet();
    expect(stream.failure).toMatchObject({ code: heard, message });
    expect(ends.counts).toEqual(NOTHING_HELD);
  }
});
