import { expect, test } from "bun:test";
import { chatJson } from "../kit/backend/backend.ts";
import { RawClient } from "../kit/http/raw-client.ts";
import { AUTHORIZED, chatBody } from "../kit/process/broker.ts";
import { Gate } from "../kit/time/gate.ts";
import { World } from "../kit/world.ts";

const REQUESTS = 1_000;
const SEATS = 3;

test("1,000 requests at a worker with three seats: never more than three at its backend, and all are answered", async () => {
  await using world = new World({ pool: { queueSize: REQUESTS } });
  const { backend, agent } = await world.worker({ maxConcurrency: SEATS });
  // One may go whenever three are there, so that a fourth would have every chance to come.
  const gate = new Gate();
  backend.respond = async (request, recorded) => {
    const through = gate.wait(request.signal);
    if (backend.requests.length === REQUESTS) gate.open();
    else if (gate.waiting === SEATS) gate.release();
    await through;
    return chatJson("Hello world")(request, recorded);
  };
  const clients = await Promise.all(Array.from({ length: REQUESTS }, () => RawClient.connect(world.broker.port)));
  const body = JSON.stringify(chatBody());
  for (const client of clients) void client.post("/api/llm/v1/chat/completions", body, AUTHORIZED);
  await Promise.all(clients.map(client => client.settled(30_000)));
  expect(
    clients.filter(client => client.status === 200 && client.complete && client.text.includes("Hello world")),
  ).toHaveLength(REQUESTS);
  expect(backend.peakInflight).toBe(SEATS);
  expect(backend.requests).toHaveLength(REQUESTS);
  expect(await world.leftovers()).toEqual({});
  expect(world.pool.totals).toMatchObject({ completed: REQUESTS, failed: 0 });
  expect(agent.status()).toMatchObject({ current_jobs: 0 });
  for (const client of clients) client.destroy();
});
