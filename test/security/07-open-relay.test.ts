// A relay is guarded: by its token, by the API key, or open when both ends say so.
import { expect, test } from "bun:test";
import { status } from "../kit/backend/backend.ts";
import { RawClient } from "../kit/http/raw-client.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { API_KEY } from "../kit/world.ts";

const TOKEN = "for-callers";
const BODY = '{"jsonrpc":"2.0","id":1,"method":"ping"}';

async function statuses(broker: BrokerProgram, id: string): Promise<Record<string, number>> {
  const ask = async (headers: Record<string, string>): Promise<number> => {
    const response = await fetch(broker.relayUrl(id), { method: "POST", body: BODY, headers });
    await response.arrayBuffer();
    return response.status;
  };
  return {
    nothing: await ask({}),
    wrong: await ask({ authorization: "Bearer wrong", "x-api-key": "wrong" }),
    token: await ask({ authorization: `Bearer ${TOKEN}` }),
    key: await ask({ authorization: `Bearer ${API_KEY}` }),
    keyInItsHeader: await ask({ "x-api-key": API_KEY }),
    both: await ask({ authorization: `Bearer ${TOKEN}`, "x-api-key": API_KEY }),
  };
}

const NOBODY = { nothing: 401, wrong: 401, token: 401, key: 401, keyInItsHeader: 401, both: 401 };
const BY_KEY = { ...NOBODY, key: 200, keyInItsHeader: 200, both: 200 };
const BY_TOKEN = { ...NOBODY, token: 200, both: 200 };
const BY_BOTH = { ...NOBODY, both: 200 };
const BY_ALL = { nothing: 200, wrong: 200, token: 200, key: 200, keyInItsHeader: 200, both: 200 };

for (const [what, relay, broker, expected] of [
  ["without a token the API key", { MCP_OPEN: "false" }, {}, BY_KEY],
  ["with a token the token", { AUTH_TOKEN: TOKEN }, {}, BY_TOKEN],
  ["a relay alone cannot open itself", {}, { MCP_ALLOW_OPEN: "false" }, BY_KEY],
  ["a broker alone cannot open a relay", { MCP_OPEN: "false" }, { MCP_ALLOW_OPEN: "true" }, BY_KEY],
  ["both together open it", {}, { MCP_ALLOW_OPEN: "true" }, BY_ALL],
  ["a relay with a token is not open", { AUTH_TOKEN: TOKEN, MCP_OPEN: "true" }, { MCP_ALLOW_OPEN: "true" }, BY_TOKEN],
  ["both are asked for", { AUTH_TOKEN: TOKEN }, { MCP_REQUIRE_API_KEY: "true" }, BY_BOTH],
  ["end to end the API key", { MCP_AUTH_MODE: "end-to-end", MCP_OPEN: "false" }, {}, BY_KEY],
] as const) {
  test(what, async () => {
    await using processes = new Processes();
    const started = await processes.broker({ MCP_ALLOW_OPEN: "false", ...broker });
    const backend = await processes.backend({ respond: status(200, "{}") });
    await processes.relay(started, { http: `${backend.origin}/mcp` }, { CLIENT_ID: "r", ...relay });
    expect(await statuses(started, "r")).toEqual(expected);
  });
}

test("a relay of the 0.9 series, whose token nobody knows, is reached with the API key", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  const old = await HandWorker.connect(broker.connectUrl("mcp"));
  old.send({ id: "old", client_name: "old" });
  await old.when(() => old.messages.some(message => message["id"] === "old"), "the relay is let in");
  for (const headers of [{}, { authorization: "Bearer anything" }]) {
    const refused = await fetch(broker.relayUrl("old"), { method: "POST", body: BODY, headers });
    expect([refused.status, await refused.json()]).toMatchObject([401, { error: { data: { code: "unauthorized" } } }]);
  }
  const headers = { authorization: `Bearer ${TOKEN}`, "x-api-key": API_KEY };
  const asked = fetch(broker.relayUrl("old"), { method: "POST", body: BODY, headers });
  await old.when(() => old.messages.some(({ t }) => t === "open"), "the call arrives");
  // The token is the relay's to judge.
  expect(old.messages.find(({ t }) => t === "open")).toMatchObject({ auth: TOKEN });
  old.close();
  await (await asked).arrayBuffer();
});

test("a stranger's body is not read: relay and credentials come first", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  const backend = await processes.backend({ respond: status(200, "{}") });
  await processes.relay(broker, { http: `${backend.origin}/mcp` }, { CLIENT_ID: "r", AUTH_TOKEN: TOKEN });
  for (const [id, code] of [
    ["nobody", 503],
    ["r", 401],
  ] as const) {
    const client = await RawClient.connect(broker.port);
    // Its body never comes.
    await client.write(`POST /api/mcp/id/${id} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8388608\r\n\r\n`);
    await client.when(() => client.status !== 0, "an answer");
    expect([id, client.status]).toEqual([id, code]);
    client.destroy();
  }
});
