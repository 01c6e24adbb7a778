// What a stranger gets at the door of the agents: 401 before the upgrade, and very little where an old agent may come without a key.
import { expect, test } from "bun:test";
import { randomInt } from "node:crypto";
import { KEYLESS_PER_ADDRESS } from "../../src/broker/pool/admission.ts";
import { CONTROL_BYTES } from "../../src/protocol/limits.ts";
import type { RawClient } from "../kit/http/raw-client.ts";
import { rawUpgrade, textFrame, wsFrame } from "../kit/http/raw-socket.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";

const V2 = { "sec-websocket-protocol": "nfrx.v2" };
const DOORS = ["/api/llm/connect", "/api/asr/connect", "/api/docling/connect", "/api/mcp/connect"];

/** The status for an upgrade from an address that has not tried yet, so that its wrong keys are not too many. */
async function upgraded(broker: BrokerProgram, path: string, headers: Record<string, string>): Promise<number> {
  const from = `2001:db8:${randomInt(65_536).toString(16)}:${randomInt(65_536).toString(16)}::1`;
  const client = await rawUpgrade(broker.port, path, { "x-forwarded-for": from, ...headers });
  client.destroy("rst");
  return client.status;
}

test("every credential is judged at the upgrade, and only an old agent may come without one", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  const wrong = [
    { authorization: "Bearer wrong" },
    { authorization: `Bearer ${API_KEY}` },
    { authorization: "Basic d3Jvbmc6d3Jvbmc=" },
    { authorization: "" },
    { "x-api-key": "wrong" },
    { "api-key": "wrong" },
    { "x-user-roles": "admin" },
    { "x-api-key": "wrong", "x-user-roles": "admin" },
  ];
  for (const path of DOORS) {
    for (const headers of wrong) {
      expect([path, headers, await upgraded(broker, path, headers)]).toEqual([path, headers, 401]);
      expect([path, headers, await upgraded(broker, path, { ...V2, ...headers })]).toEqual([path, headers, 401]);
    }
    expect([path, await upgraded(broker, path, V2)]).toEqual([path, 401]);
    expect([path, await upgraded(broker, path, { ...V2, "x-api-key": CLIENT_KEY })]).toEqual([path, 101]);
    expect([path, await upgraded(broker, path, { authorization: `Bearer ${CLIENT_KEY}` })]).toEqual([path, 101]);
  }
  const keyless = await rawUpgrade(broker.port, DOORS[0]!);
  expect(keyless.status).toBe(101);
  keyless.destroy();
});

test("where roles alone open the door, nobody comes without one", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({ CLIENT_KEY: "", CLIENT_HTTP_ROLES: "agents" });
  expect(await upgraded(broker, DOORS[0]!, {})).toBe(401);
  expect(await upgraded(broker, DOORS[0]!, { "x-user-roles": "agents" })).toBe(101);
});

test("strangers' connections are few, and take no agent's place", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({ MAX_WORKERS: "1" });
  const strangers: RawClient[] = [];
  for (let n = 0; n < 25; n++) strangers.push(await rawUpgrade(broker.port, DOORS[n % DOORS.length]!));
  const statuses = strangers.map(({ status }) => status);
  expect(statuses.filter(status => status === 101)).toHaveLength(KEYLESS_PER_ADDRESS);
  expect(statuses.filter(status => status === 503)).toHaveLength(25 - KEYLESS_PER_ADDRESS);
  // An address behind a trusted proxy counts by itself; one network of IPv6 is one address.
  const from = (address: string): Promise<RawClient> =>
    rawUpgrade(broker.port, DOORS[0]!, { "x-forwarded-for": address });
  for (let n = 1; n <= KEYLESS_PER_ADDRESS + 1; n++) strangers.push(await from(`2001:db8::${n}`));
  expect(strangers.slice(25).map(({ status }) => status)).toEqual([101, 101, 101, 101, 503]);
  await processes.agent(broker, await processes.backend());
  expect((await broker.chat()).status).toBe(200);
  for (const stranger of strangers) stranger.destroy();
});

test("a stranger that says nothing, or too much, is gone, and the next one is heard", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  const quiet = await Promise.all(
    Array.from({ length: KEYLESS_PER_ADDRESS }, () => rawUpgrade(broker.port, DOORS[0]!)),
  );
  const waiting = await rawUpgrade(broker.port, DOORS[0]!, { "x-forwarded-for": "203.0.113.1" });
  expect(waiting.status).toBe(101);
  await waiting.write(textFrame({ type: "register", worker_id: "old", client_key: CLIENT_KEY, models: ["old"] }));
  const registered = broker.line(
    line => line.msg === "worker registered" && line["worker_id"] === "old",
    "an old agent registers behind them",
  );
  await Promise.all(quiet.map(client => client.when(() => client.closed, "the end of a quiet one")));
  await registered;
  waiting.destroy();
  for (const message of [
    textFrame({ type: "register", client_key: CLIENT_KEY, worker_name: "x".repeat(CONTROL_BYTES) }),
    wsFrame(2, Buffer.alloc(CONTROL_BYTES + 1, 7)),
    textFrame({ type: "register", client_key: "wrong" }),
  ]) {
    const client = await rawUpgrade(broker.port, DOORS[0]!);
    await client.write(message);
    await client.when(() => client.closed, "the end of one that says too much");
  }
});

test("sixteen megabytes of a message from each of many strangers are not held", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  await processes.agent(broker, await processes.backend());
  const before = broker.rss;
  // All but the last byte of the longest message that a broker takes.
  const almost = wsFrame(1, Buffer.alloc(16 * 1024 * 1024, 0x20)).subarray(0, -1);
  const strangers = await Promise.all(
    Array.from({ length: 24 }, (_, n) =>
      rawUpgrade(broker.port, DOORS[n % DOORS.length]!, { "x-forwarded-for": `203.0.113.${n}` }),
    ),
  );
  expect(strangers.map(({ status }) => status)).toEqual(strangers.map(() => 101));
  const most = { rss: 0 };
  const sending = strangers.map(client => client.write(almost));
  for (let n = 0; n < 20; n++) {
    expect((await broker.chat()).status).toBe(200);
    most.rss = Math.max(most.rss, broker.rss);
  }
  // Four are read at once; without that bound it would be 384 MiB.
  expect((most.rss - before) / 1024 / 1024).toBeLessThan(250);
  for (const stranger of strangers) stranger.destroy("rst");
  await Promise.all(sending);
}, 60_000);

test("a real agent of ours comes in while strangers hold all the places that they have", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  const strangers = await Promise.all(
    Array.from({ length: 70 }, (_, n) => rawUpgrade(broker.port, DOORS[0]!, { "x-forwarded-for": `203.0.113.${n}` })),
  );
  expect(strangers.filter(({ status }) => status === 101)).toHaveLength(64);
  const hand = await HandWorker.connect(broker.connectUrl(), { v2: true });
  hand.register({ worker_id: "ours" });
  await broker.line(line => line.msg === "worker registered" && line["worker_id"] === "ours", "it registers");
  hand.close();
  for (const stranger of strangers) stranger.destroy("rst");
});
