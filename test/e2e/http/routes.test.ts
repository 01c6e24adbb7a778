// The route table: what is declared is what is served, and no door opens to a wrong key.
import { expect, test } from "bun:test";
import { holdersOf } from "../../../src/broker/http/access/authenticator.ts";
import { servedPaths } from "../../../src/broker/http/served-paths.ts";
import { wholeBroker } from "../../kit/broker/whole.ts";
import { call } from "../../kit/http/call.ts";

const KEYS = { apiKey: "the-api-key", clientKey: "the-client-key" };
const OPENS = {
  api: [KEYS.apiKey],
  client: [KEYS.clientKey],
  // There is no such key.
  admin: [],
} as const;
const UPGRADE = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
};

test("the framework has the declared routes and no other", async () => {
  const broker = wholeBroker();
  const served = broker.app.table.map(({ method, path }) => `${method} ${path}`);
  expect(served.toSorted()).toEqual(
    broker.routes.flatMap(route => servedPaths(route).map(path => `${route.method} ${path}`)).toSorted(),
  );
  expect(served.length).toBeGreaterThan(50);
  await broker.stop();
});

test("a route without an operation is there to refuse its method", async () => {
  const broker = wholeBroker();
  const refusals = broker.routes.filter(route => route.operation === undefined);
  expect(refusals.length).toBeGreaterThan(0);
  for (const { method, path } of refusals) {
    const answer = await call(`http://127.0.0.1:${broker.port}${path.replace(":id", "x")}`, { method });
    expect([method, path, answer.status]).toEqual([method, path, 405]);
  }
  await broker.stop();
});

test("every route that asks for a key refuses a wrong one", async () => {
  const broker = wholeBroker(KEYS);
  const keys = ["wrong", KEYS.apiKey, KEYS.clientKey];
  let asked = 0;
  for (const { method, path, scopes, operation } of broker.routes) {
    if (operation === undefined || scopes.includes("public") || scopes.includes("mcp")) continue;
    const holders = holdersOf(scopes);
    const opens = new Set<string>(holders.flatMap(kind => OPENS[kind]));
    for (const key of keys.filter(one => !opens.has(one))) {
      const url = `http://127.0.0.1:${broker.port}${path.replace(/[:*](\w+)/g, "$1")}`;
      // From an address of its own: too many wrong keys from one are a 429.
      const from = { "X-Forwarded-For": `198.51.${Math.floor(asked / 250)}.${asked++ % 250}` };
      const answer = await call(url, { method, headers: { ...UPGRADE, ...from, Authorization: `Bearer ${key}` } });
      const expected = holders[0] === "admin" ? 403 : 401;
      expect([method, path, key, answer.status]).toEqual([method, path, key, expected]);
    }
  }
  await broker.stop();
});
