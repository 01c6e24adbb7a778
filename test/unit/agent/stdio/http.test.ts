// Streamable HTTP as it is on the wire: what is refused, and how; where messages go; streams that are taken up again.
import { describe, expect, test } from "bun:test";
import { answerOf, Events, listen, openSession, post, rpc } from "../../../kit/mcp/http.ts";
import { type Reach, reach, URL_OF_PROVIDER } from "../../../kit/mcp/provider.ts";

const error = (code: number) => ({ jsonrpc: "2.0", error: { code, message: expect.any(String) } });
const handshake = rpc(1, "initialize", { protocolVersion: "2025-06-18", capabilities: {}, clientInfo: {} });
const note = (method: string, params: object = {}) => JSON.stringify({ jsonrpc: "2.0", method, params });
/** Lets the server say lines. */
const say = (server: Reach, session: Record<string, string>, lines: unknown[], id: string | number = "say") =>
  post(
    server,
    rpc(id, "say", { lines: lines.map(line => (typeof line === "string" ? line : JSON.stringify(line))) }),
    session,
  );

describe("a request that does not keep to the rules", () => {
  test.each<[string, string | object, Record<string, string>, number, number]>([
    ["an Accept that names neither form", handshake, { accept: "text/html" }, 406, -32000],
    ["a body that is not called JSON", handshake, { "content-type": "text/plain; a=application/json" }, 415, -32000],
    ["a body that is no JSON", "{", {}, 400, -32700],
    ["JSON that is no message", { hello: 1 }, {}, 400, -32700],
    ["an id that is null", { jsonrpc: "2.0", id: null, method: "x" }, {}, 400, -32700],
    ["an empty batch", [], {}, 400, -32600],
    ["a batch that is too long", Array.from({ length: 101 }, (_, at) => rpc(at, "x")), {}, 400, -32600],
    ["two handshakes", [handshake, rpc(2, "initialize")], {}, 400, -32600],
    ["a session that nobody knows", rpc(1, "x"), { "mcp-session-id": "none" }, 404, -32001],
    ["a request without a session", rpc(1, "x"), {}, 400, -32000],
    ["a version that nobody knows", rpc(1, "x"), { "mcp-protocol-version": "2020-01-01" }, 400, -32000],
  ])("%s", async (_what, body, headers, status, code) => {
    await using server = reach("raw", { sessionlessCompat: false });
    const response = await post(server, body, headers);
    expect([response.status, await response.json()]).toMatchObject([status, error(code)]);
    expect(server.provider.sessions).toBe(0);
  });

  test("other methods and paths", async () => {
    await using server = reach("raw");
    const put = await server.fetch(URL_OF_PROVIDER, { method: "PUT" });
    expect([put.status, put.headers.get("allow")]).toEqual([405, "GET, POST, DELETE"]);
    expect((await server.fetch(new URL("http://provider/elsewhere"))).status).toBe(404);
    expect((await listen(server, {})).status).toBe(400);
    expect((await listen(server, { accept: "application/json" })).status).toBe(406);
    expect((await server.fetch(URL_OF_PROVIDER, { method: "DELETE" })).status).toBe(400);
  });

  test("within a session", async () => {
    await using server = reach("raw");
    const session = await openSession(server);
    expect((await post(server, handshake, session)).status).toBe(400);
    expect((await post(server, rpc(1, "x"), { ...session, "mcp-protocol-version": "2020-01-01" })).status).toBe(400);
    const first = await post(server, rpc(1, "silent"), session);
    expect(first.status).toBe(200);
    expect([(await post(server, rpc(1, "silent"), session)).status]).toEqual([400]);
    expect((await listen(server, session)).status).toBe(200);
    expect((await server.fetch(URL_OF_PROVIDER, { method: "DELETE", headers: session })).status).toBe(200);
    expect((await post(server, rpc(2, "x"), session)).status).toBe(404);
    // Whoever waited is told.
    expect(await answerOf(first)).toMatchObject({ id: 1, error: { code: -32000 } });
  });
});

describe("answers", () => {
  test("come as events, or as JSON to whoever takes nothing else", async () => {
    await using server = reach("raw");
    const session = await openSession(server);
    const events = await post(server, rpc("e", "raw"), session);
    expect([events.headers.get("content-type"), events.headers.get("mcp-session-id")]).toEqual([
      "text/event-stream",
      session["mcp-session-id"] ?? "",
    ]);
    expect(await answerOf(events)).toMatchObject({ id: "e" });
    const json = await post(server, rpc("j", "raw"), { ...session, accept: "application/json" });
    expect([json.headers.get("content-type"), await json.json()]).toMatchObject(["application/json", { id: "j" }]);
    const told = await post(server, { jsonrpc: "2.0", method: "notifications/x" }, session);
    expect([told.status, await told.text()]).toEqual([202, ""]);
  });

  test("to a batch come on one stream, and their requests one by one to the server", async () => {
    await using server = reach("raw");
    const session = await openSession(server, "2025-03-26");
    const batch = [rpc(1, "raw", { a: 1 }), JSON.parse(note("notifications/x")), rpc(2, "raw", { b: 2 })];
    const answers = await new Events(await post(server, batch, session)).rest();
    expect(answers).toEqual([
      { jsonrpc: "2.0", id: 1, result: { line: JSON.stringify(batch[0]) } },
      { jsonrpc: "2.0", id: 2, result: { line: JSON.stringify(batch[2]) } },
    ]);
    const json = await post(server, batch, { ...session, accept: "application/json" });
    expect(await json.json()).toMatchObject([{ id: 1 }, { id: 2 }]);
  });

  test("keep every digit, and requests every character but line ends", async () => {
    await using server = reach("raw");
    const session = await openSession(server);
    const digits = await new Events(await post(server, rpc(1, "digits"), session)).next();
    expect(digits?.data).toBe('{"jsonrpc":"2.0","result":{"n":12345678901234567890, "f":1.10},"id":1}');
    const body =
      '{"jsonrpc":"2.0",\r\n "id":9007199254740993, "method":"raw","params":{"n":12345678901234567890,"s":"\\u00e9é"}}\n';
    const event = await new Events(await post(server, body, session)).next();
    const sent =
      '{"jsonrpc":"2.0",  "id":9007199254740993, "method":"raw","params":{"n":12345678901234567890,"s":"\\u00e9é"}}';
    // The server took the id for a double; the client gets its own.
    expect(event?.data).toBe(`{"jsonrpc":"2.0","id":9007199254740993,"result":{"line":${JSON.stringify(sent)}}}`);
  });

  test("may be large, and too large", async () => {
    await using server = reach("raw", { lineBytes: 10 * 1024 * 1024 });
    const session = await openSession(server);
    const bytes = 9 * 1024 * 1024;
    expect(await answerOf(await post(server, rpc(1, "big", { bytes }), session))).toEqual({
      jsonrpc: "2.0",
      id: 1,
      result: { text: "y".repeat(bytes) },
    });
    const tooLarge = await answerOf(await post(server, rpc(2, "big", { bytes: 11 * 1024 * 1024 }), session));
    expect(tooLarge).toMatchObject({ id: 2, ...error(-32000) });
    expect(await answerOf(await post(server, rpc(3, "raw"), session))).toMatchObject({ id: 3 });
  });

  test("come through what a server writes besides", async () => {
    await using server = reach("raw", {}, ["garbage"]);
    const session = await openSession(server);
    const lines = ["not JSON", '{"a":1}', "", '{"jsonrpc":"2.0","id":"nobody","result":{}}'];
    expect(await answerOf(await say(server, session, lines, 5))).toMatchObject({ id: 5, result: {} });
  });
});

describe("what a server says by itself", () => {
  const progress = (progressToken: string | number) => note("notifications/progress", { progressToken, progress: 1 });
  const ofTask = (taskId: string) => ({ _meta: { "io.modelcontextprotocol/related-task": { taskId } } });

  test("goes to whom it names", async () => {
    await using server = reach("raw");
    const session = await openSession(server);
    const a = new Events(await post(server, rpc("a", "silent", { _meta: { progressToken: "A" } }), session));
    const b = new Events(await post(server, rpc("b", "silent", { _meta: { progressToken: 7 } }), session));
    const c = new Events(await post(server, rpc("c", "tasks/result", { taskId: "T" }), session));
    const own = new Events(
      await say(server, session, [
        progress(7),
        progress("A"),
        progress("8"),
        JSON.parse(note("elicitation/x", ofTask("T"))),
        { jsonrpc: "2.0", id: "q", method: "sampling/createMessage", params: ofTask("T") },
        note("notifications/cancelled", { requestId: "q" }),
        note("notifications/message"),
      ]),
    );
    const open = new Events(await listen(server, session));
    expect(JSON.parse((await b.next())?.data ?? "")).toEqual(JSON.parse(progress(7)));
    expect(JSON.parse((await a.next())?.data ?? "")).toEqual(JSON.parse(progress("A")));
    expect([await c.next(), await c.next(), await c.next()].map(event => JSON.parse(event?.data ?? ""))).toMatchObject([
      { method: "elicitation/x" },
      { id: "q" },
      { method: "notifications/cancelled" },
    ]);
    expect(await own.rest()).toMatchObject([{ id: "say" }]);
    // Nobody has a token "8": it goes to the stream for what nobody claims, as does what names nobody.
    const others = [await open.next(), await open.next()].map(event => JSON.parse(event?.data ?? ""));
    expect(others).toMatchObject([JSON.parse(progress("8")), { method: "notifications/message" }]);
    await c.cancel();
    await open.cancel();
  });

  test("goes to whom it names though the server has made a string of a number", async () => {
    await using server = reach("raw");
    const session = await openSession(server);
    const a = new Events(await post(server, rpc(1, "silent", { _meta: { progressToken: 1 } }), session));
    const b = new Events(await post(server, rpc(2, "silent", { _meta: { progressToken: 2 } }), session));
    const answers = [2, 1].map(id => ({ jsonrpc: "2.0", id: `${id}`, result: { of: id } }));
    await answerOf(await say(server, session, [progress("1"), ...answers]));
    expect(await a.rest()).toEqual([JSON.parse(progress("1")), { jsonrpc: "2.0", id: 1, result: { of: 1 } }]);
    expect(await b.rest()).toEqual([{ jsonrpc: "2.0", id: 2, result: { of: 2 } }]);
  });

  test("goes to the only request under way", async () => {
    await using server = reach("raw");
    const session = await openSession(server);
    const messages = await new Events(await say(server, session, [note("notifications/message")])).rest();
    expect(messages).toMatchObject([{ method: "notifications/message" }, { id: "say" }]);
  });

  test("waits for a stream when nobody claims it, in bounded number", async () => {
    await using server = reach("raw");
    const session = await openSession(server);
    const quiet = new Events(await post(server, rpc("quiet", "silent"), session));
    const lines = Array.from({ length: 300 }, (_, at) => note("notifications/message", { at }));
    expect(await new Events(await say(server, session, lines)).rest()).toMatchObject([{ id: "say" }]);
    const open = new Events(await listen(server, session));
    expect(JSON.parse((await open.next())?.data ?? "")).toMatchObject({ params: { at: 300 - 256 } });
    await quiet.cancel();
    await open.cancel();
  });

  test("as a question reaches a client that never listens", async () => {
    await using server = reach("raw");
    const session = await openSession(server);
    const older = new Events(await post(server, rpc("older", "silent"), session));
    const question = { jsonrpc: "2.0", id: 1, method: "roots/list" };
    const messages = await new Events(await say(server, session, [question])).rest();
    expect(messages).toEqual([question, { jsonrpc: "2.0", id: "say", result: {} }]);
    await older.cancel();
  });
});

describe("a stream that was cut", () => {
  test("is taken up where it ended, with what came meanwhile", async () => {
    await using server = reach("raw");
    const session = await openSession(server, "2025-11-25");
    const abort = new AbortController();
    const response = await post(server, rpc("long", "silent", { _meta: { progressToken: 1 } }), session, abort.signal);
    const events = new Events(response);
    const primer = await events.nextOfAny();
    expect(primer).toEqual({ id: expect.any(String), data: "" });
    const told = (at: number) => note("notifications/progress", { progressToken: 1, progress: at });
    await answerOf(await say(server, session, [told(1), told(2)]));
    const first = await events.next();
    expect(JSON.parse(first?.data ?? "")).toEqual(JSON.parse(told(1)));
    abort.abort();
    // It goes on without the client: this is no cancel.
    await answerOf(await say(server, session, [told(3), { jsonrpc: "2.0", id: "long", result: { done: true } }]));
    const again = await listen(server, { ...session, "last-event-id": first?.id ?? "" });
    const rest = await new Events(again).rest();
    expect(rest).toEqual([
      JSON.parse(told(2)),
      JSON.parse(told(3)),
      { jsonrpc: "2.0", id: "long", result: { done: true } },
    ]);
    // From the very beginning, and from the very end.
    const whole = await listen(server, { ...session, "last-event-id": primer?.id ?? "" });
    expect(await new Events(whole).rest()).toHaveLength(4);
    const last = (primer?.id ?? "").replace(/\d+$/, "4");
    expect((await listen(server, { ...session, "last-event-id": last })).status).toBe(204);
    expect((await listen(server, { ...session, "last-event-id": "what" })).status).toBe(400);
    expect((await listen(server, { ...session, "last-event-id": "99-1" })).status).toBe(400);
  });

  test("goes on live on the connection that takes it up, and the old one ends", async () => {
    await using server = reach("raw");
    const session = await openSession(server);
    const old = new Events(await listen(server, session));
    await answerOf(await say(server, session, [note("notifications/message", { at: 1 })]));
    const busy = new Events(await post(server, rpc("busy", "silent"), session));
    await answerOf(await say(server, session, [note("notifications/message", { at: 2 })]));
    const first = await old.next();
    expect(JSON.parse(first?.data ?? "")).toMatchObject({ params: { at: 2 } });
    const fresh = new Events(await listen(server, { ...session, "last-event-id": first?.id ?? "" }));
    expect(
      await old.next().then(
        () => "more",
        () => "cut",
      ),
    ).toBe("cut");
    await answerOf(await say(server, session, [note("notifications/message", { at: 3 })]));
    expect(JSON.parse((await fresh.next())?.data ?? "")).toMatchObject({ params: { at: 3 } });
    await busy.cancel();
    await fresh.cancel();
  });

  test("of a client that has come back without its last event is its newest one's, and is resumed", async () => {
    await using server = reach("raw");
    const session = await openSession(server, "2025-11-25");
    const busy = new Events(await post(server, rpc("busy", "silent"), session));
    await answerOf(await say(server, session, [note("notifications/message", { at: 0 })]));
    const old = new Events(await listen(server, session));
    const oldPrimer = await old.nextOfAny();
    expect(oldPrimer).toEqual({ id: expect.any(String), data: "" });
    expect(JSON.parse((await old.next())?.data ?? "")).toMatchObject({ params: { at: 0 } });
    const fresh = await listen(server, session);
    expect(fresh.status).toBe(200);
    const events = new Events(fresh);
    const primer = await events.nextOfAny();
    expect(primer).toEqual({ id: expect.any(String), data: "" });
    expect(await old.next().catch(() => "cut")).toBe("cut");
    await answerOf(await say(server, session, [note("notifications/message", { at: 1 })]));
    expect(JSON.parse((await events.next())?.data ?? "")).toMatchObject({ params: { at: 1 } });
    // Either may be taken up where it began.
    for (const [id, at] of [
      [primer?.id, 1],
      [oldPrimer?.id, 0],
    ] as const) {
      const again = new Events(await listen(server, { ...session, "last-event-id": id ?? "" }));
      expect(JSON.parse((await again.next())?.data ?? "")).toMatchObject({ params: { at } });
      await again.cancel();
    }
    await busy.cancel();
  });

  test("keeps a bounded number of events", async () => {
    await using server = reach("raw");
    const session = await openSession(server, "2025-11-25");
    const events = new Events(await post(server, rpc("long", "silent", { _meta: { progressToken: 1 } }), session));
    const primer = await events.nextOfAny();
    await events.cancel();
    const told = (at: number) => note("notifications/progress", { progressToken: 1, progress: at });
    const lines = Array.from({ length: 1200 }, (_, at) => told(at));
    await answerOf(await say(server, session, [...lines, { jsonrpc: "2.0", id: "long", result: {} }]));
    const rest = await new Events(await listen(server, { ...session, "last-event-id": primer?.id ?? "" })).rest();
    expect(rest.length).toBeLessThanOrEqual(1000);
    expect(rest.at(-1)).toEqual({ jsonrpc: "2.0", id: "long", result: {} });
  });
});
