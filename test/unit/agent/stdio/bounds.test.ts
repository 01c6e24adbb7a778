// What is bounded, in time and in number; the hands of the clock are turned by the test, and so are the servers.
import { describe, expect, test } from "bun:test";
import { Spawner } from "../../../../src/agent/providers/channels/spawner.ts";
import { SessionManager } from "../../../../src/agent/providers/sessions/manager.ts";
import { silentLog } from "../../../../src/lib/log.ts";
import { Hand, shakesHands } from "../../../kit/mcp/channel.ts";
import { answerOf, Events, listen, openSession, post, rpc } from "../../../kit/mcp/http.ts";
import { fetchOf, URL_OF_PROVIDER } from "../../../kit/mcp/provider.ts";
import { TestClock } from "../../../kit/time/clock.ts";
import { until } from "../../../kit/time/until.ts";

function world(more: { maxSessions?: number; sessionlessCompat?: boolean; starts?: Spawner } = {}, hand = new Hand()) {
  const clock = new TestClock();
  const starts = new Spawner(hand.open, clock, () => 0.5);
  const provider = new SessionManager({
    starts,
    initTimeoutMs: 120_000,
    sessionIdleMs: 60_000,
    maxSessions: 64,
    sessionlessCompat: true,
    shared: false,
    protocolVersion: undefined,
    clock,
    log: silentLog,
    ...more,
  });
  return { clock, hand, starts, provider, fetch: fetchOf(provider), [Symbol.asyncDispose]: () => provider.close() };
}

const forever = new AbortController().signal;
const reason = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    error => error.message,
  );

describe("sessions", () => {
  test("that nobody uses end", async () => {
    await using at = world();
    const quiet = await openSession(at);
    const busy = await openSession(at);
    const call = new Events(await post(at, rpc(1, "silent"), busy));
    at.clock.advance(59_000);
    expect(at.provider.sessions).toBe(2);
    at.clock.advance(61_000);
    expect([at.provider.sessions, at.hand.running]).toEqual([1, 1]);
    expect((await post(at, rpc(1, "x"), quiet)).status).toBe(404);
    // With nobody there, what is under way does not count for ever.
    await call.cancel();
    at.clock.advance(200_000);
    expect([at.provider.sessions, at.hand.running]).toEqual([0, 0]);
  });

  test("of clients that have gone end whatever their servers say", async () => {
    await using at = world();
    await openSession(at);
    for (let i = 0; i < 5; i++) {
      at.clock.advance(20_000);
      at.hand.last.say({ method: "notifications/message" });
    }
    expect([at.provider.sessions, at.hand.running]).toEqual([0, 0]);
  });

  test("answer the pings of a server whose client does not listen, and pass them to one that does", async () => {
    await using at = world();
    const session = await openSession(at);
    at.hand.last.say({ id: "p", method: "ping" });
    expect(at.hand.last.sent.at(-1)).toEqual({ jsonrpc: "2.0", id: "p", result: {} });
    const open = new Events(await listen(at, session));
    at.hand.last.say({ id: "q", method: "ping" });
    expect(JSON.parse((await open.next())?.data ?? "")).toMatchObject({ id: "q", method: "ping" });
    await open.cancel();
  });

  test("make room when there are too many, the one that was idle for longest first", async () => {
    await using at = world({ maxSessions: 3 });
    const [a, b, c] = [await openSession(at), await openSession(at), await openSession(at)];
    at.clock.advance(1000);
    await post(at, { jsonrpc: "2.0", method: "notifications/roots/list_changed" }, a);
    await openSession(at);
    expect((await post(at, rpc(1, "x"), b)).status).toBe(404);
    expect([at.provider.sessions, at.hand.running]).toEqual([3, 3]);
    for (const session of [a, c]) expect((await listen(at, session)).status).toBe(200);
    await openSession(at);
    expect(at.provider.sessions).toBe(3);
  });

  test("are refused when none is idle", async () => {
    await using at = world({ maxSessions: 2 });
    await listen(at, await openSession(at));
    await post(at, rpc(1, "silent"), await openSession(at));
    const response = await post(at, rpc(9, "initialize"));
    expect([response.status, response.headers.get("retry-after"), await response.json()]).toMatchObject([
      503,
      "10",
      { id: 9, error: { code: -32000 } },
    ]);
    expect(at.hand.servers).toHaveLength(2);
  });

  test("two hundred of them, abandoned, are never more than allowed", async () => {
    await using at = world({ maxSessions: 8 });
    for (let i = 0; i < 200; i++) {
      await openSession(at);
      expect(at.hand.running).toBeLessThanOrEqual(8);
    }
    expect([at.hand.servers.length, at.provider.sessions]).toEqual([200, 8]);
    await at.provider.close();
    expect([at.hand.running, at.clock.armed]).toEqual([0, 0]);
  });
});

describe("servers", () => {
  test("that take their time to end hold up new ones, so that they do not pile up", async () => {
    const hand = new Hand();
    hand.endsSlowly = true;
    await using at = world({ maxSessions: 2 }, hand);
    for (let i = 0; i < 18; i++) await openSession(at);
    expect([hand.running, at.provider.sessions]).toEqual([18, 2]);
    const more = openSession(at);
    await Promise.resolve();
    expect(hand.servers).toHaveLength(18);
    hand.servers[0]?.end("at last");
    await until(more, "the session");
    expect([hand.servers.length, hand.running, at.provider.sessions]).toEqual([19, 18, 2]);
    for (const server of hand.servers) server.end("at last");
  });
});

describe("requests", () => {
  test("of one session are bounded", async () => {
    await using at = world();
    const session = await openSession(at);
    for (let part = 0; part < 10; part++) {
      const batch = Array.from({ length: 100 }, (_, i) => rpc(part * 100 + i, "silent"));
      expect((await post(at, batch, session)).status).toBe(200);
    }
    expect((await post(at, rpc("more", "silent"), session)).status).toBe(503);
  });

  test("that were cancelled and are never answered do not keep their stream open", async () => {
    await using at = world();
    const session = await openSession(at);
    const call = await post(at, rpc(1, "silent"), session);
    await post(at, { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId: 1 } }, session);
    expect(at.hand.last.sent.at(-1)).toMatchObject({ method: "notifications/cancelled", params: { requestId: 1 } });
    at.clock.advance(10_000);
    expect(await answerOf(call)).toMatchObject({ id: 1, error: { code: -32800 } });
  });

  test("of a client that does not read slow down its server, until it is cut off", async () => {
    await using at = world();
    const session = await openSession(at);
    const call = await post(at, rpc(1, "silent"), session);
    const server = at.hand.last;
    const text = "x".repeat(100_000);
    const flood = () => {
      for (let i = 0; i < 12; i++) server.say({ method: "notifications/message", params: { text } });
    };
    flood();
    expect(server.paused).toBe(true);
    const events = new Events(call);
    for (let i = 0; i < 12; i++) await events.next();
    expect(server.paused).toBe(false);
    flood();
    expect(server.paused).toBe(true);
    at.clock.advance(30_000);
    expect(server.paused).toBe(false);
    expect(await reason(events.next())).toContain("stopped reading");
    // It may come back for what it missed.
    server.say({ id: 1, result: {} });
    const again = new Events(await listen(at, { ...session, "last-event-id": "2-12" }));
    expect((await again.rest()).at(-1)).toEqual({ jsonrpc: "2.0", id: 1, result: {} });
  });

  test("to a server that others share cut off a client that does not read", async () => {
    const hand = new Hand();
    await using at = world({}, hand);
    await at.provider.probe(forever);
    const call = post(at, rpc(1, "silent"));
    const server = hand.last;
    await hand.changes.when(() => server.sent.length === 4, "the call");
    const text = "x".repeat(8 * 1024 * 1024);
    server.say({ method: "notifications/message", params: { text: "first" } });
    const events = new Events(await call);
    expect((await events.next())?.data).toContain("first");
    for (let i = 0; i < 5; i++) server.say({ method: "notifications/message", params: { text } });
    expect(server.paused).toBe(false);
    expect(server.sent.at(-1)).toMatchObject({ method: "notifications/cancelled", params: { requestId: 3 } });
    expect(await reason(events.next())).toContain("stopped reading");
  });

  test("that are quiet are kept open by comments", async () => {
    await using at = world();
    const session = await openSession(at);
    const call = await post(at, rpc(1, "silent"), session);
    at.clock.advance(15_000);
    const reader = call.body?.getReader();
    const { value } = (await reader?.read()) ?? {};
    expect(new TextDecoder().decode(value)).toBe(": keep-alive\n\n");
    await reader?.cancel();
  });
});

describe("a server that ends", () => {
  test("answers everybody who waits, and its session is gone", async () => {
    await using at = world();
    const session = await openSession(at);
    const calls = [await post(at, rpc(1, "silent"), session), await post(at, rpc("two", "silent"), session)];
    const open = new Events(await listen(at, session));
    at.hand.last.end("it ended with exit code 9");
    const error = { code: -32000, message: "it ended with exit code 9" };
    expect(await answerOf(calls[0] ?? new Response())).toMatchObject({ id: 1, error });
    expect(await answerOf(calls[1] ?? new Response())).toMatchObject({ id: "two", error });
    expect(await open.next()).toBeUndefined();
    expect((await post(at, rpc(3, "x"), session)).status).toBe(404);
    expect((await listen(at, { ...session, "last-event-id": "1-1" })).status).toBe(404);
  });

  test("again and again is started less and less often, which a probe tells", async () => {
    await using at = world({}, new Hand((_message, server) => server.end("no luck")));
    for (let i = 0; i < 3; i++) expect(await reason(openSession(at))).toContain("no luck");
    expect(await reason(openSession(at))).toContain("ended 3 times in a row: no luck");
    expect(await reason(at.provider.probe(forever))).toContain("ended 3 times in a row: no luck");
    // A provider that takes its place knows it too.
    await using next = world({ starts: at.starts });
    expect(await reason(next.provider.probe(forever))).toContain("ended 3 times in a row: no luck");
    expect(at.hand.servers).toHaveLength(3);
    const waits: number[] = [];
    for (let i = 0; i < 5; i++) {
      let waited = 0;
      for (; at.hand.servers.length === 4 + i - 1; waited += 500) {
        await reason(openSession(at));
        if (at.hand.servers.length === 4 + i - 1) at.clock.advance(500);
      }
      waits.push(waited - 500);
    }
    expect(waits).toEqual([1000, 1000, 1000, 5000, 5000]);
  });

  test("is forgiven once it works again", async () => {
    let works = false;
    const hand = new Hand((message, server) => (works ? shakesHands(message, server) : server.end("no luck")));
    await using at = world({}, hand);
    for (let i = 0; i < 3; i++) await reason(openSession(at));
    works = true;
    at.clock.advance(1_000);
    const session = await openSession(at);
    expect((await at.fetch(URL_OF_PROVIDER, { method: "DELETE", headers: session })).status).toBe(200);
    await at.provider.probe(forever);
  });

  test("refuses the handshake: the client hears why, and there is no session", async () => {
    const error = { code: -32022, message: "no", data: { supported: ["2026-07-28"] } };
    await using at = world({}, new Hand(({ id }, server) => server.say({ id, error })));
    const response = await post(at, rpc(1, "initialize"));
    expect([response.status, response.headers.get("mcp-session-id"), await response.json()]).toEqual([
      400,
      null,
      { jsonrpc: "2.0", id: 1, error },
    ]);
    expect([at.provider.sessions, at.hand.running]).toEqual([0, 0]);
  });

  test("takes its time for the handshake: the head comes first", async () => {
    await using at = world({}, new Hand(() => {}));
    const asked = post(at, rpc(1, "initialize"));
    await at.hand.changes.when(() => at.hand.servers[0]?.sent.length === 1, "the handshake");
    await Promise.resolve();
    at.clock.advance(15_000);
    const response = await until(asked, "the head");
    expect(response.headers.get("mcp-session-id")).toBeString();
    at.hand.last.say({ id: 1, result: {} });
    expect(await new Events(response).rest()).toMatchObject([{ id: 1, result: {} }]);
    // One that takes too long is given up.
    const second = post(at, rpc(2, "initialize"));
    await at.hand.changes.when(() => at.hand.servers[1]?.sent.length === 1, "the handshake");
    await Promise.resolve();
    at.clock.advance(15_000);
    const late = new Events(await until(second, "the head"));
    at.clock.advance(105_000);
    expect(JSON.stringify(await late.rest())).toContain("did not start within 2m (MCP_INIT_TIMEOUT)");
    expect(at.hand.servers[1]?.ended).toBe(true);
  });
});

describe("a probe", () => {
  test("finds out the era, shakes hands, and keeps that server", async () => {
    await using at = world();
    await at.provider.probe(forever);
    await at.provider.probe(forever);
    expect(at.hand.servers.map(({ sent, ended }) => [sent.map(({ method }) => method), ended])).toEqual([
      [["server/discover", "initialize", "notifications/initialized"], false],
    ]);
  });

  test("keeps no server where none is needed", async () => {
    await using at = world({ sessionlessCompat: false });
    await at.provider.probe(forever);
    await at.provider.probe(forever);
    expect([at.hand.servers.length, at.hand.running]).toEqual([1, 0]);
  });

  test("takes a server that does not say what it speaks for one with sessions, once that shakes hands", async () => {
    const hand = new Hand((message, server) => {
      if (message["method"] === "initialize") shakesHands(message, server);
    });
    await using at = world({}, hand);
    const probe = at.provider.probe(forever);
    await hand.changes.when(() => hand.servers[0]?.sent.length === 1, "the question");
    at.clock.advance(5_000);
    await until(probe, "the probe");
    expect((await listen(at, {})).status).toBe(400);
    expect((await post(at, { jsonrpc: "2.0", method: "x" })).status).toBe(202);
    expect([hand.servers.length, hand.running]).toEqual([1, 1]);
  });

  test("waits for a server that starts slowly, and does not start another meanwhile", async () => {
    const hand = new Hand(() => {});
    await using at = world({}, hand);
    const late = AbortSignal.timeout(1);
    expect(await reason(at.provider.probe(late))).toBeString();
    const probe = at.provider.probe(forever);
    await hand.changes.when(() => hand.servers[0]?.sent.length === 1, "the question");
    at.clock.advance(5_000);
    await hand.changes.when(() => hand.servers[0]?.sent.length === 2, "the handshake");
    const { armed } = at.clock;
    const call = reason(post(at, rpc(1, "x")));
    while (at.clock.armed === armed) await new Promise(setImmediate);
    at.clock.advance(15_000);
    expect(await call).toBe("the MCP server is still starting");
    at.clock.advance(80_000);
    expect([hand.servers.length, hand.running]).toEqual([1, 1]);
    // It answers both in the order in which it was asked.
    hand.last.say({ id: 1, error: { code: -32601, message: "Method not found" } });
    hand.last.say({ id: 2, result: { protocolVersion: "2025-11-25", capabilities: {} } });
    await until(probe, "the probe");
    expect([hand.servers.length, hand.running]).toEqual([1, 1]);
  });

  test("gives a server up that has not started within MCP_INIT_TIMEOUT", async () => {
    const hand = new Hand(() => {});
    await using at = world({}, hand);
    const probe = reason(at.provider.probe(forever));
    await hand.changes.when(() => hand.servers[0]?.sent.length === 1, "the question");
    at.clock.advance(120_000);
    expect(await probe).toContain("no response within 2m (MCP_INIT_TIMEOUT)");
    expect(hand.running).toBe(0);
  });

  test("a session does not run beside the server that is kept for calls without one, where that cannot be", async () => {
    // It cannot start while another of it runs.
    const hand: Hand = new Hand((message, server) =>
      hand.running > 1 ? server.end("the port is in use") : shakesHands(message, server),
    );
    await using at = world({}, hand);
    await at.provider.probe(forever);
    const session = await openSession(at);
    expect([hand.running, at.provider.sessions]).toEqual([1, 1]);
    const { length } = hand.servers;
    expect(await reason(post(at, rpc(1, "x")))).toContain("MCP_SHARED=true");
    await at.provider.probe(forever);
    expect(hand.servers).toHaveLength(length);
    await at.fetch(URL_OF_PROVIDER, { method: "DELETE", headers: session });
    await at.provider.probe(forever);
    expect([hand.running, at.provider.sessions]).toEqual([1, 0]);
  });

  test("ends with its signal, and with the provider", async () => {
    await using at = world({}, new Hand(() => {}));
    const abort = new AbortController();
    const probe = reason(at.provider.probe(abort.signal));
    abort.abort(new Error("enough"));
    expect(await probe).toContain("enough");
    const second = reason(at.provider.probe(forever));
    await at.provider.close();
    expect(await second).toBeString();
    expect(at.hand.running).toBe(0);
    expect(await reason(post(at, rpc(1, "initialize")))).toContain("stopping");
  });
});
