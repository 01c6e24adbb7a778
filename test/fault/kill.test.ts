import { expect, test } from "bun:test";
import { AfterFirst } from "../kit/backend/after-first.ts";
import { bytes, chatJson, chatStream, type Respond, type TestBackend } from "../kit/backend/backend.ts";
import { RawClient } from "../kit/http/raw-client.ts";
import { AUTHORIZED, type BrokerProgram, chatBody } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { Gate } from "../kit/time/gate.ts";

const SEATS = 10;
const WAITING = 200;
const PATH = "/api/llm/v1/chat/completions";
const WORDS = ["one ", "two ", "three ", "four"];
const JSON_BODY = chunkedJson();

/** A body in pieces and without a length, of which the client sees the first before the last is written. */
function chunkedJson(): string[] {
  return ['{"choices":[{"message":{"content":"', "x".repeat(1000), '"}}]}'];
}

/** Events or a piecemeal JSON body, as the request wants it; every piece but the first takes one pass of the gate. */
function piecemeal(shared: Gate): Respond {
  return (request, recorded) => {
    const gate = new AfterFirst(shared);
    const events = recorded.body?.includes('"stream":true') === true;
    const respond = events
      ? chatStream(WORDS, { gate })
      : bytes(JSON_BODY, { "content-type": "application/json" }, 200, gate);
    return respond(request, recorded);
  };
}

interface Asked {
  id: string;
  stream: boolean;
  client: RawClient;
}

/** Every other request wants events. */
async function ask(broker: BrokerProgram, count: number, name: string): Promise<Asked[]> {
  return Promise.all(
    Array.from({ length: count }, async (_, i) => {
      const asked = { id: `${name}-${i}`, stream: i % 2 === 0, client: await RawClient.connect(broker.port) };
      await asked.client.post(PATH, JSON.stringify(chatBody({ stream: asked.stream })), {
        ...AUTHORIZED,
        "x-request-id": asked.id,
      });
      return asked;
    }),
  );
}

const idsAt = (backend: TestBackend): Set<string> =>
  new Set(backend.requests.map(request => request.headers.get("x-request-id") ?? ""));

const isWhole = ({ client, stream }: Asked): boolean =>
  client.status === 200 &&
  client.complete &&
  (stream
    ? client.text.endsWith("data: [DONE]\n\n") &&
      WORDS.every(word => client.text.includes(word)) &&
      !client.text.includes("event: error")
    : client.text === JSON_BODY.join(""));

/** Seen as a failure by whoever reads it: a last event of the kind `error`, or a body that is cut. */
const isCut = ({ client, stream }: Asked): boolean =>
  stream
    ? client.text.includes("event: error\ndata: {") && !client.text.includes("[DONE]")
    : !client.complete && client.closed;

test("SIGKILL of one of two agents with 20 requests streaming and 200 waiting", async () => {
  await using processes = new Processes();
  const gate = new Gate();
  const first = await processes.backend({ respond: piecemeal(gate) });
  const second = await processes.backend({ respond: piecemeal(gate) });
  const broker = await processes.broker({ LLM_QUEUE_SIZE: "1000" });
  const doomed = await processes.agent(broker, first, { MAX_CONCURRENCY: String(SEATS), CLIENT_ID: "doomed" });
  const survivor = await processes.agent(broker, second, { MAX_CONCURRENCY: String(SEATS), CLIENT_ID: "survivor" });

  const streaming = await ask(broker, 2 * SEATS, "streaming");
  await Promise.all([first.arrived(SEATS), second.arrived(SEATS)]);
  await Promise.all(streaming.map(({ client }) => client.when(() => client.text !== "", "the first piece")));
  const waiting = await ask(broker, WAITING, "waiting");
  await broker.state(state => state.waiting === WAITING && state.inflight === 2 * SEATS, "200 wait and 20 stream");

  const cutIds = idsAt(first);
  await doomed.kill();
  const cut = streaming.filter(({ id }) => cutIds.has(id));
  await Promise.all(cut.map(({ client }) => client.settled()));
  gate.open();
  await Promise.all([...streaming, ...waiting].map(({ client }) => client.settled(30_000)));

  expect(cut).toHaveLength(SEATS);
  expect(cut.filter(asked => !isCut(asked)).map(({ id }) => id)).toEqual([]);
  expect(streaming.filter(asked => !cut.includes(asked) && !isWhole(asked)).map(({ id }) => id)).toEqual([]);
  expect(waiting.filter(asked => !isWhole(asked)).map(({ id, client }) => [id, client.text])).toEqual([]);
  expect(second.peakInflight).toBe(SEATS);
  expect(first.requests).toHaveLength(SEATS);
  await first.idle();
  await broker.quiet();
  for (const { client } of [...streaming, ...waiting]) client.destroy();
  expect([broker.strays, survivor.strays, doomed.strays]).toEqual([[], [], []]);
}, 60_000);

test("SIGKILL of an agent whose backends have not answered yet: the other one serves its requests", async () => {
  await using processes = new Processes();
  const first = await processes.backend();
  const second = await processes.backend();
  const never = new Gate();
  first.respond = async (request, recorded) => {
    await never.wait(request.signal);
    return chatJson("never")(request, recorded);
  };
  second.respond = piecemeal(openGate());
  const broker = await processes.broker();
  const doomed = await processes.agent(broker, first, { MAX_CONCURRENCY: "4", CLIENT_ID: "doomed" });
  const asked = await ask(broker, 4, "unanswered");
  await first.arrived(4);
  const survivor = await processes.agent(broker, second, { MAX_CONCURRENCY: "1", CLIENT_ID: "survivor" });
  await doomed.kill();
  await Promise.all(asked.map(({ client }) => client.settled()));
  expect(asked.filter(one => !isWhole(one)).map(({ id, client }) => [id, client.text])).toEqual([]);
  await broker.quiet();
  for (const { client } of asked) client.destroy();
  expect([broker.strays, survivor.strays]).toEqual([[], []]);
}, 60_000);

test("SIGKILL of the broker: its agents give their requests up and come back to the next broker on the port", async () => {
  await using processes = new Processes();
  const gate = new Gate();
  const backend = await processes.backend({ respond: piecemeal(gate) });
  const broker = await processes.broker();
  const agent = await processes.agent(broker, backend, {
    MAX_CONCURRENCY: "4",
    CLIENT_ID: "faithful",
    RECONNECT: "true",
  });
  const asked = await ask(broker, 4, "lost");
  await backend.arrived(4);
  await Promise.all(asked.map(({ client }) => client.when(() => client.text !== "", "the first piece")));
  await broker.kill();
  await backend.aborted(4);
  await Promise.all(asked.map(({ client }) => client.settled()));
  expect(asked.filter(({ client }) => client.complete).map(({ id }) => id)).toEqual([]);

  gate.open();
  const next = await processes.broker({ PORT: String(broker.port) });
  await next.line(line => line.msg === "worker registered" && line["worker_id"] === "faithful", "the agent is back");
  const again = await ask(next, 2, "again");
  await Promise.all(again.map(({ client }) => client.settled()));
  expect(again.filter(one => !isWhole(one)).map(({ id, client }) => [id, client.text])).toEqual([]);
  await next.quiet();
  for (const { client } of again) client.destroy();
  expect([broker.strays, next.strays, agent.strays]).toEqual([[], [], []]);
}, 60_000);

function openGate(): Gate {
  const gate = new Gate();
  gate.open();
  return gate;
}
