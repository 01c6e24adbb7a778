// What a worker says of itself and of its failures is bounded, whatever it says.
import { expect, test } from "bun:test";
import { CONTROL_MAX, ERROR_TEXT_BYTES, MODELS_MAX, NAME_MAX } from "../../src/protocol/limits.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { API_KEY } from "../kit/world.ts";

const MIB = 1024 * 1024;

async function registered(broker: BrokerProgram, v2: boolean, fields: object = {}): Promise<HandWorker> {
  const from = broker.mark;
  const hand = await HandWorker.connect(broker.connectUrl(), { v2 });
  hand.register(fields);
  await broker.line(line => line.msg === "worker registered", "it registers", undefined, from);
  return hand;
}

async function stateText(broker: BrokerProgram): Promise<string> {
  return (await fetch(`${broker.origin}/api/state`, { headers: { authorization: `Bearer ${API_KEY}` } })).text();
}

for (const v2 of [true, false]) {
  const wire = v2 ? "v2" : "v1";

  test(`${wire}: a long control message ends the connection and costs nobody else anything`, async () => {
    await using processes = new Processes();
    const broker = await processes.broker();
    await processes.agent(broker, await processes.backend());
    const models = Array.from({ length: 1_000_000 }, (_, n) => `model-${n}`);
    const long = [
      { type: "status_update", max_concurrency: 1, models },
      { type: "status_update", max_concurrency: 1, agent_config: { a: "x".repeat(100_000) } },
      { type: "heartbeat", ts: 1, more: "x".repeat(100_000) },
      { type: "a_word_nobody_knows", more: "x".repeat(100_000) },
    ];
    for (const message of long) {
      const hand = await registered(broker, v2);
      hand.send(message);
      expect([message.type, [1002, 1008].includes((await hand.end()).code)]).toEqual([message.type, true]);
      expect((await broker.chat()).status).toBe(200);
    }
  });

  test(`${wire}: more control messages in a second than anybody needs end the connection`, async () => {
    await using processes = new Processes();
    const broker = await processes.broker();
    const hand = await registered(broker, v2);
    const messages = [
      { type: "heartbeat", ts: 1 },
      { type: "status_update", max_concurrency: 1 },
      { type: "a_word_nobody_knows" },
    ];
    for (let n = 0; n <= CONTROL_MAX * 2; n++) hand.send(messages[n % messages.length]!);
    expect(await hand.end()).toEqual({ code: 1008, reason: `more than ${CONTROL_MAX} control messages a second` });
  });

  test(`${wire}: what a worker says of itself does not pile up, in the broker or in its state`, async () => {
    await using processes = new Processes();
    const broker = await processes.broker();
    const hand = await registered(broker, v2);
    for (let n = 0; n < CONTROL_MAX - 1; n++) {
      const agent_config = Object.fromEntries(
        Array.from({ length: 200 }, (_, at) => [`key-${n}-${at}${at % 2 ? "k".repeat(200) : ""}`, "v".repeat(60)]),
      );
      hand.send({ type: "status_update", max_concurrency: 1, agent_config });
    }
    const from = broker.mark;
    hand.send({ type: "status_update", max_concurrency: 2, agent_config: { hostname: "h".repeat(5000) } });
    await broker.line(
      line => line.msg === "worker changed" && line["max_concurrency"] === 2,
      "the last word",
      undefined,
      from,
    );
    const text = await stateText(broker);
    expect(text).toContain("h".repeat(NAME_MAX));
    expect(text).not.toContain("h".repeat(NAME_MAX + 1));
    expect(text).not.toContain("key-");
    expect(text.length).toBeLessThan(64 * 1024);
    hand.close();
  });

  test(`${wire}: a register with as many models as are taken is taken, and more are not`, async () => {
    await using processes = new Processes();
    const broker = await processes.broker();
    const names = (count: number): string[] =>
      Array.from({ length: count }, (_, n) => `${n}-${"m".repeat(240)}`.slice(0, 240));
    const hand = await registered(broker, v2, { models: names(MODELS_MAX) });
    const list = await fetch(`${broker.url}/models`, { headers: { authorization: `Bearer ${API_KEY}` } });
    expect(await list.json()).toMatchObject({ data: { length: MODELS_MAX } });
    hand.send({ type: "status_update", max_concurrency: 1, models: names(MODELS_MAX) });
    hand.close();
    expect((await hand.end()).code).toBe(1000);
    const more = await HandWorker.connect(broker.connectUrl(), { v2 });
    more.register({ worker_id: "more", models: names(MODELS_MAX * 2) });
    expect(await more.end()).toEqual({ code: 1008, reason: "expected register" });
  });
}

test("v1: the text of an error arrives cut, in the answer, the log and the state", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  const hand = await registered(broker, false);
  const text = "ä".repeat(2 * MIB);
  const answer = broker.chat();
  const { request_id } = await hand.message("http_proxy_request");
  hand.send({ type: "http_proxy_response_headers", request_id, status: 200, headers: {} });
  hand.send({ type: "http_proxy_response_end", request_id, error: { code: "upstream_error", message: text } });
  // The head had left: the connection is cut.
  await answer.then(response => response.text()).catch(() => "");
  const second = broker.chat();
  const asked = await hand.message("http_proxy_request", 2);
  hand.send({
    type: "http_proxy_response_end",
    request_id: asked["request_id"],
    error: { code: "timeout", message: text },
  });
  const body = await (await second).text();
  expect(body).toContain("ä".repeat(ERROR_TEXT_BYTES / 2));
  expect(body.length).toBeLessThan(ERROR_TEXT_BYTES + 500);
  const state = await stateText(broker);
  expect(state).toContain("ä".repeat(ERROR_TEXT_BYTES / 2));
  expect(state).not.toContain("ä".repeat(ERROR_TEXT_BYTES / 2 + 1));
  expect(JSON.stringify(broker.lines)).not.toContain("ä".repeat(ERROR_TEXT_BYTES / 2 + 1));
  hand.close();
});
