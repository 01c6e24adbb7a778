// Guessing keys: after ten wrong ones from an address each further one is a 429, whatever it is tried at; a right key opens.
import { expect, test } from "bun:test";
import { AUTHORIZED, type BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";

const ADMIN_KEY = "test-admin-key";
const UPGRADE = {
  connection: "Upgrade",
  upgrade: "websocket",
  "sec-websocket-version": "13",
  "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
};

/** Every way in, and a key that opens it. */
const WAYS: Record<string, (key: string) => [path: string, init: RequestInit]> = {
  api: key => ["/api/llm/v1/models", { headers: { authorization: `Bearer ${key}` } }],
  "api by x-api-key": key => ["/api/state", { headers: { "x-api-key": key } }],
  "api by api-key": key => ["/api/jobs", { headers: { "api-key": key } }],
  "job worker": key => ["/api/jobs/claim", { method: "POST", headers: { authorization: `Bearer ${key}` } }],
  upgrade: key => ["/api/llm/connect", { headers: { ...UPGRADE, authorization: `Bearer ${key}` } }],
  "relay upgrade": key => ["/api/mcp/connect", { headers: { ...UPGRADE, "x-api-key": key } }],
  admin: key => ["/api/admin/llm/workers/x/drain", { method: "POST", headers: { authorization: `Bearer ${key}` } }],
};

async function ask(broker: BrokerProgram, way: string, key: string, from: string): Promise<Response> {
  const [path, init] = WAYS[way]?.(key) ?? ["/", {}];
  const headers = { ...Object.fromEntries(new Headers(init.headers)), "x-forwarded-for": from };
  const response = await fetch(broker.origin + path, { ...init, headers, keepalive: false });
  await response.body?.cancel();
  return response;
}

test("the eleventh wrong key is a 429 with a Retry-After that grows, and a right key opens all the same", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({ ADMIN_KEY });
  for (const [index, way] of Object.keys(WAYS).entries()) {
    const from = `198.51.100.${index + 1}`;
    for (let guess = 0; guess < 10; guess++)
      expect([way, (await ask(broker, way, `guess-${guess}`, from)).status]).toEqual([way, 401]);
    const waits: number[] = [];
    for (let guess = 10; guess < 13; guess++) {
      const answer = await ask(broker, way, `guess-${guess}`, from);
      expect([way, answer.status]).toEqual([way, 429]);
      waits.push(Number(answer.headers.get("retry-after")));
    }
    expect([way, waits.toSorted((a, b) => a - b)]).toEqual([way, waits]);
    expect(new Set(waits).size).toBe(3);
    for (const right of [API_KEY, CLIENT_KEY, ADMIN_KEY]) await ask(broker, "api", right, from);
    expect((await ask(broker, "api", API_KEY, from)).status).toBe(200);
    expect((await ask(broker, "admin", ADMIN_KEY, from)).status).toBe(404);
  }
  const text = await (await fetch(`${broker.origin}/metrics`, { headers: AUTHORIZED })).text();
  expect(text).toMatch(/^nfrx_wrong_keys_total\{kind="api",outcome="throttled"\} [1-9]/m);
  expect(text).toMatch(/^nfrx_wrong_keys_total\{kind="client",outcome="throttled"\} [1-9]/m);
  expect(text).toMatch(/^nfrx_wrong_keys_total\{kind="admin",outcome="throttled"\} [1-9]/m);
});

test("the keys in register messages count, too", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  for (let guess = 0; guess < 11; guess++) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const socket = new WebSocket(broker.connectUrl());
    socket.onopen = () =>
      socket.send(JSON.stringify({ type: "register", worker_id: "w", client_key: `guess-${guess}`, models: [] }));
    socket.onclose = () => resolve();
    await promise;
  }
  const response = await fetch(`${broker.origin}/api/state`, { headers: { authorization: "Bearer another guess" } });
  expect(response.status).toBe(429);
});

test("a request without a key is no guess", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  for (let time = 0; time < 20; time++) expect((await fetch(`${broker.origin}/api/state`)).status).toBe(401);
});
