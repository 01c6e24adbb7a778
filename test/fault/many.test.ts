// More requests at once than Bun's own limit of 256 fetches in one process.
import { expect, test } from "bun:test";
import { chatJson } from "../kit/backend/backend.ts";
import { RawClient } from "../kit/http/raw-client.ts";
import { AUTHORIZED, chatBody } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { Gate } from "../kit/time/gate.ts";

const REQUESTS = 600;
const dist = process.env["NFRX_DIST"];

for (const from of dist ? [undefined, dist] : [undefined]) {
  test(`${REQUESTS} requests are at the backend of one agent at once (${from === undefined ? "from source" : "compiled"})`, async () => {
    await using processes = new Processes({ dist: from });
    const gate = new Gate();
    const backend = await processes.backend();
    backend.respond = async (request, recorded) => {
      await gate.wait(request.signal);
      return chatJson("Hello world")(request, recorded);
    };
    const broker = await processes.broker();
    const agent = await processes.agent(broker, backend, { MAX_CONCURRENCY: String(REQUESTS) });
    const body = JSON.stringify(chatBody());
    const clients = await Promise.all(Array.from({ length: REQUESTS }, () => RawClient.connect(broker.port)));
    for (const client of clients) void client.post("/api/llm/v1/chat/completions", body, AUTHORIZED);
    await backend.arrived(REQUESTS);
    expect(backend.inflight).toBe(REQUESTS);
    gate.open();
    await Promise.all(clients.map(client => client.settled()));
    expect(clients.filter(client => client.status === 200 && client.complete)).toHaveLength(REQUESTS);
    for (const client of clients) client.destroy();
    await broker.quiet();
    expect([...broker.strays, ...agent.strays]).toEqual([]);
  }, 60_000);
}
