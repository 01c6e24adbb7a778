import { expect, test } from "bun:test";
import { cut, type Respond } from "../kit/backend/backend.ts";
import { RawClient } from "../kit/http/raw-client.ts";
import { AUTHORIZED, chatBody } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";

const JSON_HEAD = { headers: { "content-type": "application/json" } };
const EVENT_HEAD = { headers: { "content-type": "text/event-stream" } };
const LARGE = "x".repeat(200_000);

/** An error instead of the answer. Bun's fetch may hear of the end of a connection before it has handed out the last bytes. */
const refused = (client: RawClient): boolean =>
  client.status === 502 && client.complete && client.text.includes('"code":"upstream_error"');
/** The beginning of the answer, then the end of the connection. */
const cutOff = (sent: string) => (client: RawClient) =>
  refused(client) || (client.status === 200 && !client.complete && client.closed && sent.startsWith(client.text));
/** The beginning of the events, then one that is an error. */
const told = (sent: string) => (client: RawClient) => {
  const [before = "", error = ""] = client.text.split("event: error\ndata: {");
  const last = client.status === 200 && sent.startsWith(before) && error.includes('"code":"upstream_error"');
  return client.complete && (last || refused(client));
};

/** What the backend does, and what the client is to see. */
const cases: { name: string; respond: Respond; stream?: boolean; sees: (client: RawClient) => boolean }[] = [
  { name: "a body of unknown length", respond: cut(LARGE, JSON_HEAD), sees: cutOff(LARGE) },
  {
    name: "a large body of known length",
    respond: cut(LARGE, { ...JSON_HEAD, announced: 2 * LARGE.length }),
    sees: cutOff(LARGE),
  },
  { name: "a small body of known length", respond: cut("{", { ...JSON_HEAD, announced: 100 }), sees: refused },
  { name: "a body before its first byte", respond: cut("", JSON_HEAD), sees: refused },
  {
    name: "events, between two of them",
    respond: cut("data: 1\n\ndata: 2\n\n", EVENT_HEAD),
    stream: true,
    sees: told("data: 1\n\ndata: 2\n\n"),
  },
  {
    name: "events, in the middle of one",
    respond: cut('data: {"a', EVENT_HEAD),
    stream: true,
    sees: told('data: {"a\n\n'),
  },
  { name: "events, before the first", respond: cut("", EVENT_HEAD), stream: true, sees: told("") },
];

test("an answer that its backend cuts is an error at the client, and no process says a word beside its log", async () => {
  await using processes = new Processes();
  const backend = await processes.backend();
  const broker = await processes.broker();
  const agent = await processes.agent(broker, backend);
  for (const { name, respond, stream = false, sees } of cases) {
    for (let round = 0; round < 10; round++) {
      backend.respond = respond;
      const client = await RawClient.connect(broker.port);
      await client.post("/api/llm/v1/chat/completions", JSON.stringify(chatBody({ stream })), AUTHORIZED);
      await client.settled();
      const { status, complete, closed, text } = client;
      expect([name, sees(client) || { status, complete, closed, length: text.length, text: text.slice(-200) }]).toEqual(
        [name, true],
      );
      client.destroy();
    }
  }
  await broker.quiet();
  await backend.idle();
  expect([...broker.strays, ...agent.strays]).toEqual([]);
  expect(await broker.metric("nfrx_unhandled_errors_total")).toBe(0);
}, 60_000);
