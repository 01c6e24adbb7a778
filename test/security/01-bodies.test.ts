// Request bodies that are announced and never come, or that trickle, cost nobody else a request.
import { afterEach, expect, test } from "bun:test";
import { Call } from "../kit/http/call.ts";
import { Processes } from "../kit/processes.ts";
import { API_KEY } from "../kit/world.ts";

const MIB = 1024 * 1024;
const SOCKETS = 128;
const KEY = { Authorization: `Bearer ${API_KEY}` };

let open: Call[] = [];

afterEach(() => {
  for (const call of open) call.abort();
  open = [];
});

/** Announces a body of 8 MiB and sends nothing of it. */
function announce(url: string, headers: Record<string, string>): Call {
  const call = new Call(url, { headers, body: "", announced: 8 * MIB });
  open.push(call);
  return call;
}

test("128 sockets that announce 8 MiB to a relay nobody knows are answered at once, and cost nobody a request", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({});
  const backend = await processes.backend();
  await processes.agent(broker, backend);
  const calls = Array.from({ length: SOCKETS }, () => announce(broker.relayUrl("nobody"), {}));
  for (const call of calls) expect((await call.head()).status).toBeGreaterThanOrEqual(400);
  expect(await broker.metric("nfrx_buffered_body_bytes")).toBe(0);
  expect((await broker.chat()).status).toBe(200);
  expect(backend.requests.filter(({ method }) => method === "POST")).toHaveLength(1);
});

test("what a caller announces and does not send takes no memory", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({});
  await processes.agent(broker, await processes.backend());
  for (let at = 0; at < SOCKETS; at++) announce(`${broker.url}/chat/completions`, KEY);
  expect((await broker.chat()).status).toBe(200);
  expect(await broker.metric("nfrx_buffered_body_bytes")).toBe(0);
  expect((await broker.chat({ messages: [{ role: "user", content: "x".repeat(2 * MIB) }] })).status).toBe(200);
});

test("what one caller sends and does not finish leaves room for another", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({
    MAX_BODY_BYTES: String(4 * MIB),
    MAX_BUFFERED_BYTES: String(8 * MIB),
    API_HTTP_ROLES: "user",
  });
  await processes.agent(broker, await processes.backend());
  const url = `${broker.url}/chat/completions`;
  const from = (address: string): Record<string, string> => ({ "X-User-Roles": "user", "X-Forwarded-For": address });
  const hoarders = Array.from({ length: 4 }, () => {
    const call = new Call(url, { headers: from("203.0.113.1"), body: Buffer.alloc(2 * MIB, "["), announced: 3 * MIB });
    open.push(call);
    return call;
  });
  // At least one is more than its address may have.
  await Promise.any(hoarders.map(call => call.head())).then(({ status }) => expect(status).toBe(503));
  const body = JSON.stringify({ model: "test-model", messages: [{ role: "user", content: "x".repeat(2 * MIB) }] });
  const other = new Call(url, { headers: { ...from("203.0.113.2"), "Content-Type": "application/json" }, body });
  expect((await other.answer()).status).toBe(200);
});

test("a body that does not come at its pace is a 408", async () => {
  await using processes = new Processes();
  // So many bytes a second nobody sends: what has come after the first half minute is too little.
  const broker = await processes.broker({ BODY_MIN_RATE: String(MIB) });
  const slow = [MIB, 100].map(announced => {
    const call = new Call(`${broker.url}/chat/completions`, { headers: KEY, body: "{", announced });
    open.push(call);
    return call;
  });
  for (const call of slow) {
    const answer = await call.answer(45_000);
    expect([answer.status, JSON.parse(answer.body.toString()).error.code]).toEqual([408, "request_timeout"]);
  }
}, 60_000);
