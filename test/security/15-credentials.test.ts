// What opens a door of the broker, cookies and words to proxies go no further than the broker.
import { expect, test } from "bun:test";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { HandWorker, type V2Frame } from "../kit/protocol/hand.ts";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";

const ADMIN_KEY = "of-the-operator";
const SECRETS = [API_KEY, CLIENT_KEY, ADMIN_KEY];
const OTHERS = { cookie: "session=1", "proxy-authorization": "Basic eDp5", "proxy-x": "1" };

/** Sends the API key and one of `secrets` in every header that carries one; what the agent at the other end saw of it. */
async function seen(broker: BrokerProgram, hand: HandWorker, path: string, body: string): Promise<[string, string][]> {
  const all: [string, string][] = [];
  for (const secret of SECRETS) {
    for (const carrier of [
      { authorization: `Bearer ${secret}` },
      { authorization: `BEARER  ${secret}` },
      { "x-api-key": secret },
      { "api-key": secret },
    ]) {
      const n = hand.frames.filter(({ kind }) => kind === "head").length + 1;
      const acceptor = "x-api-key" in carrier ? { authorization: `Bearer ${API_KEY}` } : { "x-api-key": API_KEY };
      const headers = { "content-type": "application/json", ...acceptor, ...carrier, ...OTHERS };
      const answer = fetch(`${broker.origin}${path}`, { method: "POST", body, headers });
      const { id, head }: V2Frame = await hand.frame("head", n);
      all.push(...(head?.headers ?? []));
      hand.answer(id, 200, "{}");
      expect((await answer).status).toBe(200);
    }
  }
  return all;
}

for (const [kind, module, register, path, body] of [
  ["a relay", "mcp", { models: ["r"], agent_config: { mcp_auth: "end-to-end" } }, "/api/mcp/id/r", "{}"],
  ["a worker", "llm", { models: ["m"] }, "/api/llm/v1/chat/completions", '{"model":"m"}'],
  ["a worker by its id", "llm", { models: ["m"] }, "/api/llm/id/hand/v1/chat/completions", '{"model":"m"}'],
  ["a document's worker", "docling", { models: [] }, "/api/docling/v1/convert/source", "{}"],
] as const) {
  test(`${kind} sees none of the broker's keys`, async () => {
    await using processes = new Processes();
    const broker = await processes.broker({ ADMIN_KEY, FORWARD_HEADERS: "x-session-id, x-own-*" });
    const hand = await HandWorker.connect(broker.connectUrl(module === "docling" ? "docling" : module), { v2: true });
    hand.register({ max_concurrency: 4, ...register });
    await hand.handled();
    const headers = await seen(broker, hand, path, body);
    expect(headers.length).toBeGreaterThan(10);
    const text = JSON.stringify(headers);
    for (const secret of [...SECRETS, "session=1", "eDp5"]) expect(text).not.toContain(secret);
    const names = new Set(headers.map(([name]) => name.toLowerCase()));
    for (const name of ["cookie", "proxy-authorization", "proxy-x"]) expect([...names]).not.toContain(name);
    hand.close();
  });
}

test("FORWARD_HEADERS lets named headers of callers through, and never a credential", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({ FORWARD_HEADERS: "X-Session-Id,openai-*" });
  const backend = await processes.backend();
  await processes.agent(broker, backend, { CLIENT_ID: "w" });
  const headers = {
    authorization: `Bearer ${API_KEY}`,
    "content-type": "application/json",
    "x-session-id": "s",
    "openai-organization": "o",
    "x-other": "no",
  };
  const body = '{"model":"test-model","messages":[]}';
  expect((await fetch(`${broker.url}/chat/completions`, { method: "POST", body, headers })).status).toBe(200);
  const [request] = backend.requests;
  expect(["x-session-id", "openai-organization", "x-other", "authorization"].map(n => request?.headers.get(n))).toEqual(
    ["s", "o", null, null],
  );
  for (const name of ["authorization", "x-api-key", "api-key", "cookie", "proxy-*", "x-forwarded-for", "host", "*"]) {
    const wrong = processes.start("nfrx", { PORT: "0", FORWARD_HEADERS: name });
    expect([name, (await wrong.ending()).code]).toEqual([name, 2]);
  }
});
