// EXPOSE_ROUTING: who served a request, and where its time went.
import { expect, test } from "bun:test";
import { chatJson, chatStream, status } from "../kit/backend/backend.ts";
import { Events } from "../kit/http/events.ts";
import { Gate } from "../kit/time/gate.ts";
import { World } from "../kit/world.ts";

const TIMING = /^queue;dur=\d+\.\d, worker;dur=\d+\.\d$/;

test("an answer names its worker, whatever that is called, and says what it waited for", async () => {
  await using world = new World({ broker: { exposeRouting: true } });
  const clientName = 'Ann\'s "box"\r\nX-Evil: 1 ☃ \ud800';
  const { backend } = await world.worker({ clientName });
  const answers = [await world.chat(), await world.chat({ stream: true })];
  backend.respond = status(500, {});
  answers.push(await world.chat());
  for (const answer of answers) {
    await answer.text();
    expect(answer.headers.get("server-timing")).toMatch(TIMING);
    const name = answer.headers.get("x-nfrx-worker") ?? "";
    expect(name).toMatch(/^[\w.~!'()*%-]+$/);
    expect(decodeURIComponent(name)).toBe([...world.pool.registry.workers][0]?.name.toWellFormed() ?? "");
    expect(answer.headers.get("x-evil")).toBeNull();
  }
  await world.when(() => world.quiet, "nothing is left");
});

test("it is not said unless it is asked for, and nobody else says it", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  backend.respond = status(200, {}, { "x-nfrx-worker": "somebody", "server-timing": "db;dur=5" });
  const answer = await world.chat();
  await answer.text();
  expect(answer.headers.get("x-nfrx-worker")).toBeNull();
  // A backend's own timings are its own affair.
  expect(answer.headers.get("server-timing")).toBe("db;dur=5");
});

test("a stream that a queue event has opened says so in a comment", async () => {
  await using world = new World({ broker: { exposeRouting: true } });
  const { backend } = await world.worker({ maxConcurrency: 1, clientName: "the one" });
  const gate = new Gate();
  backend.respond = chatStream(["x"], { gate });
  const first = world.chat({ stream: true });
  await backend.arrived(1);
  const waiting = await world.chat({ stream: true });
  expect(waiting.headers.get("x-nfrx-worker")).toBeNull();
  const events = new Events(waiting);
  expect((await events.next())?.event).toBe("nfrx.queue");
  gate.open();
  await (await first).text();
  const { comments } = await events.find(event => event.comments.length > 0);
  expect(comments).toEqual([
    expect.stringMatching(/^server-timing queue;dur=.*, worker;dur=/),
    "x-nfrx-worker the%20one",
  ]);
  expect((await events.all()).at(-1)?.data).toBe("[DONE]");
});

test("an error says who failed", async () => {
  await using world = new World({ broker: { exposeRouting: true }, pool: { queueSize: 0 } });
  const { backend } = await world.worker({ clientName: "broken" });
  backend.respond = chatJson("x");
  await backend.stop();
  const answer = await world.chat();
  expect([answer.status, answer.headers.get("x-nfrx-worker")]).toEqual([502, "broken"]);
  const nobody = await world.chat({ model: "nobody's" });
  expect([nobody.status, nobody.headers.get("x-nfrx-worker")]).toEqual([404, null]);
});
