// A request to a relay and its answer are the same bytes at both ends.
import { expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { bytes, startRawBackend, status } from "../../kit/backend/backend.ts";
import { headerOf, jsonOf, McpWorld, result, rpc } from "../../kit/mcp/world.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { Gate } from "../../kit/time/gate.ts";

const EVENTS = { "content-type": "text/event-stream" };
/** What the broker may put before an event stream. */
const COMMENT = /^: keep-alive\n\n/;

test("the method, what follows the relay's address, and the body", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  provider.respond = status(200, "done");
  const body =
    '{"jsonrpc":"2.0", "id":1,\t"method":"x","params":{"n":12345678901234567890,"f":1.10,"e":1E5,"é":"\\u00e9"}}';
  for (const [method, rest, path] of [
    ["POST", "", "/mcp"],
    ["POST", "/", "/mcp"],
    ["POST", "?a=1&b=%zz&c=%2F", "/mcp?a=1&b=%zz&c=%2F"],
    ["POST", "/deep/er%20than/this?x=y?z", "/mcp/deep/er%20than/this?x=y?z"],
    ["DELETE", "/a", "/mcp/a"],
    ["OPTIONS", "/b?c", "/mcp/b?c"],
    ["GET", "/c//d", "/mcp/c//d"],
  ] as const) {
    const answer = await world.call(method === "GET" ? undefined : body, { method, rest });
    expect([answer.status, answer.body.toString(), answer.complete]).toEqual([200, "done", true]);
    const seen = provider.requests.at(-1);
    expect([seen?.method, `${seen?.path}${seen?.search}`]).toEqual([method, path]);
    expect(seen?.body ?? "").toBe(method === "GET" ? "" : body);
  }
  expect(await world.leftovers()).toEqual({});
});

test("every header but those of one hop, of the connection and of proxies", async () => {
  await using world = new McpWorld({ broker: { allowedOrigins: ["https://app.example"] } });
  const { provider } = await world.pair({ provider: { authMode: "end-to-end" } });
  await world.call(rpc(1, "x"), {
    headers: [
      ["Mcp-Session-Id", "s-1"],
      ["MCP-Protocol-Version", "2025-11-25"],
      ["Mcp-Method", "tools/call"],
      ["Mcp-Name", "add"],
      ["Mcp-Param-Region", "eu"],
      ["Last-Event-ID", "e-9"],
      ["Authorization", "Bearer mine"],
      ["X-Api-Key", "mine too"],
      ["X-Custom", "ä"],
      ["Accept-Language", "de"],
      ["Traceparent", "00-1-2-03"],
      ["X-Twice", "1"],
      ["X-Twice", "2"],
      ["User-Agent", "test/1"],
      ["X-Request-Id", "req-7"],
      ["Origin", "https://app.example"],
      ["Connection", "keep-alive, X-Of-This-Hop"],
      ["X-Of-This-Hop", "1"],
      ["Keep-Alive", "timeout=5"],
      ["TE", "trailers"],
      ["Proxy-Connection", "close"],
      ["Upgrade", "h2c"],
      ["Forwarded", "for=1.2.3.4"],
      ["X-Forwarded-For", "1.2.3.4"],
      ["X-Forwarded-Host", "evil"],
      ["X-Forwarded-Proto", "https"],
      ["X-Real-Ip", "1.2.3.4"],
      ["X-User-Roles", "admin"],
    ],
  });
  const [seen] = provider.requests;
  const headers = Object.fromEntries(seen?.headers ?? []);
  expect(headers).toEqual({
    host: new URL(provider.url).host,
    "content-length": String(rpc(1, "x").length),
    "accept-encoding": "identity",
    "content-type": "application/json",
    accept: "application/json, text/event-stream",
    "mcp-session-id": "s-1",
    "mcp-protocol-version": "2025-11-25",
    "mcp-method": "tools/call",
    "mcp-name": "add",
    "mcp-param-region": "eu",
    "last-event-id": "e-9",
    authorization: "Bearer mine",
    "x-api-key": "mine too",
    // The bytes of UTF-8, each read as a character by itself.
    "x-custom": "Ã¤",
    "accept-language": "de",
    traceparent: "00-1-2-03",
    "x-twice": "1, 2",
    "user-agent": "test/1",
    "x-request-id": "req-7",
  });
});

for (const [code, body] of [
  [200, '{"jsonrpc":"2.0","id":1,"result":{"big":9007199254740993, "pi":3.140}}'],
  [202, ""],
  [204, ""],
  [400, '{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: no session"},"id":null}'],
  [404, '{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}'],
  [405, "Method Not Allowed"],
  [406, "not acceptable"],
  [409, "conflict"],
  [415, "<html>unsupported</html>"],
  [429, "slow down"],
  [500, "oops"],
  [503, ""],
] as const) {
  test(`status ${code} with its headers and body`, async () => {
    await using world = new McpWorld();
    const { provider } = await world.pair();
    const headers = {
      "content-type": "application/json; charset=utf-8",
      "mcp-session-id": "session-1",
      "www-authenticate": 'Bearer realm="x", error="invalid_token"',
      "retry-after": "7",
      allow: "POST, DELETE",
      "cache-control": "no-cache, no-transform",
      "x-custom": "yes",
    };
    provider.respond = code === 204 ? () => new Response(null, { status: 204, headers }) : status(code, body, headers);
    for (const method of ["POST", "GET", "DELETE"]) {
      const answer = await world.call(method === "POST" ? rpc(1, "x") : undefined, { method });
      expect([answer.status, answer.body.toString(), answer.complete]).toEqual([code, body, true]);
      for (const [name, value] of Object.entries(headers)) expect(headerOf(answer, name)).toBe(value);
    }
    expect(provider.requests).toHaveLength(3);
    expect(await world.leftovers()).toEqual({});
  });
}

test("no cookies, and nothing of the provider's connection or of CORS", async () => {
  await using world = new McpWorld();
  const raw = await startRawBackend(async exchange => {
    await exchange.write(
      "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nConnection: close\r\nKeep-Alive: timeout=5\r\nAccess-Control-Allow-Origin: *\r\nX-Empty:\r\nContent-Length: 2\r\n\r\n{}",
    );
    exchange.end();
  });
  try {
    await world.relay({ url: raw.url });
    const answer = await world.call(rpc(1, "x"));
    expect(answer.body.toString()).toBe("{}");
    expect(headerOf(answer, "set-cookie")).toBeUndefined();
    expect(headerOf(answer, "keep-alive")).toBeUndefined();
    expect(headerOf(answer, "access-control-allow-origin")).toBeUndefined();
  } finally {
    await raw.stop();
  }
});

test("an event stream with CRLF, ids, retry and comments, however it is cut into chunks", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  const stream = [
    "retry: 250\r\nid: 0\r\ndata:\r\n\r\n",
    ": a comment of the server's own\r\n\r\n",
    'event: message\r\nid: 7_8\r\ndata: {"jsonrpc":"2.0","method":"n","params":{"x":18446744073709551615}}\r\n\r\n',
    "data: one\ndata: two\n\n",
    "\uFEFFdata: not at the beginning\r\r",
    'id: 9\ndata: {"jsonrpc":"2.0","id":1,"result":{"text":"ünï€"}}\n\n',
  ].join("");
  const whole = Buffer.from(stream);
  for (const size of [1, 2, 3, 7, 64, whole.length]) {
    const chunks = Array.from({ length: Math.ceil(whole.length / size) }, (_, at) =>
      whole.subarray(at * size, (at + 1) * size),
    );
    provider.respond = bytes(chunks, { "content-type": "text/event-stream; charset=utf-8" });
    const answer = await world.call(rpc(1, "x"));
    expect(headerOf(answer, "content-type")).toBe("text/event-stream; charset=utf-8");
    expect(answer.complete).toBeTrue();
    expect(answer.body.toString().replace(COMMENT, "")).toBe(stream);
  }
  expect(await world.leftovers()).toEqual({});
});

test("a result of 8 MiB, as JSON and as one event, with a call of 8 MiB", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  const text = "äöü€ ".repeat(932_067);
  const json = JSON.stringify({ jsonrpc: "2.0", id: 1, result: { text } });
  expect(Buffer.byteLength(json)).toBeGreaterThan(8 * 1024 * 1024);
  const big = rpc(1, "tools/call", { text: "x".repeat(8 * 1024 * 1024) });
  provider.respond = status(200, json, { "content-type": "application/json" });
  expect((await world.call(big)).body.equals(Buffer.from(json))).toBeTrue();
  provider.respond = bytes([json], { "content-type": "application/json" });
  expect((await world.call(big)).body.equals(Buffer.from(json))).toBeTrue();
  provider.respond = bytes([`data: ${json}\n\n`], EVENTS);
  expect((await world.call(big)).body.toString().replace(COMMENT, "")).toBe(`data: ${json}\n\n`);
  const hash = new Bun.CryptoHasher("sha256").update(big).digest("hex");
  expect(provider.requests.map(({ sha256 }) => sha256)).toEqual([hash, hash, hash]);
  expect(await world.leftovers()).toEqual({});
});

test("compressed answers stay compressed, events too, and are asked for only when the client did", async () => {
  await using world = new McpWorld({ clock: new TestClock() });
  const { provider } = await world.pair();
  const packed = gzipSync('{"jsonrpc":"2.0","id":1,"result":{}}');
  provider.respond = bytes([packed], { "content-type": "application/json", "content-encoding": "gzip" });
  const json = await world.call(rpc(1, "x"), { headers: { "Accept-Encoding": "gzip" } });
  expect(json.body.equals(packed)).toBeTrue();
  expect(headerOf(json, "content-encoding")).toBe("gzip");
  const events = gzipSync("data: 1\n\n");
  const gate = new Gate();
  const packedEvents = { ...EVENTS, "content-encoding": "gzip" };
  provider.respond = bytes([events.subarray(0, 5), events.subarray(5)], packedEvents, 200, gate);
  const stream = world.ask({ body: rpc(1, "x"), headers: { "Accept-Encoding": "gzip, br" } });
  // The head reaches the broker long before the first byte.
  await provider.arrived(2);
  await world.when(() => world.relays.pool.inflight === 1, "the call runs");
  await world.pass(60_000);
  gate.release();
  await stream.received(5);
  await world.pass(60_000);
  gate.open();
  const unpacked = await stream.answer();
  expect(unpacked.body.equals(events)).toBeTrue();
  provider.respond = result();
  await world.call(rpc(1, "x"));
  expect(provider.requests.map(({ headers }) => headers.get("accept-encoding"))).toEqual([
    "gzip",
    "gzip, br",
    "identity",
  ]);
  expect(await world.leftovers()).toEqual({});
});

test("a redirect below the relay's address is the client's to follow; others lead nowhere", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  for (const [location, seen] of [
    ["/api/mcp/id/tools/below", "/api/mcp/id/tools/below"],
    ["/mcp/", undefined],
    ["http://10.0.0.1/mcp", undefined],
  ] as const) {
    provider.respond = status(307, "", { location });
    const answer = await world.call(rpc(1, "x"));
    expect([answer.status, headerOf(answer, "location")]).toEqual([307, seen]);
  }
  expect(provider.requests).toHaveLength(3);
});

test("a provider's address with a query of its own", async () => {
  await using world = new McpWorld();
  const provider = await world.provider();
  await world.relay({ url: `${provider.url}/?key=1` });
  for (const [rest, seen] of [
    ["", "/mcp/?key=1"],
    ["?a=b", "/mcp/?key=1&a=b"],
    ["/sub", "/mcp/sub?key=1"],
    ["/sub?a=b", "/mcp/sub?key=1&a=b"],
  ] as const) {
    expect(jsonOf(await world.call(rpc(1, "x"), { rest }))).toMatchObject({ result: { ok: true } });
    expect(`${provider.requests.at(-1)?.path}${provider.requests.at(-1)?.search}`).toBe(seen);
  }
});
