// The broker is told to end, as SIGTERM does it: nothing new, what runs finishes, agents come back later.
import { expect, test } from "bun:test";
import { chatStream, silent } from "../kit/backend/backend.ts";
import { Call, call } from "../kit/http/call.ts";
import { Events } from "../kit/http/events.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { TestClock } from "../kit/time/clock.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, CLIENT_KEY, World } from "../kit/world.ts";

test("new work is refused, running and waiting work finishes", async () => {
  await using world = new World();
  const { backend } = await world.worker({ maxConcurrency: 1 });
  const gate = new Gate();
  backend.respond = chatStream(["one", "two"], { gate });
  const running = world.chat({ stream: true });
  await backend.arrived(1);
  const waiting = world.chat({ stream: true });
  await world.when(() => world.pool.waiting === 1, "one waits");
  const finished = world.broker.finish(60_000);
  const refused = await world.chat();
  expect(refused.status).toBe(503);
  expect(refused.headers.get("retry-after")).not.toBeNull();
  expect(await refused.json()).toMatchObject({ error: { code: "draining", type: "server_error" } });
  expect((await call(`${world.origin}/healthz`)).status).toBe(503);
  // Who is not allowed in learns no more than before.
  const stranger = await call(`${world.url}/chat/completions`, { body: "{}" });
  expect(stranger.status).toBe(401);
  gate.open();
  for (const response of await Promise.all([running, waiting])) expect(await response.text()).toContain("[DONE]");
  expect(await finished).toBeTrue();
  expect(await world.leftovers()).toEqual({});
});

test("an agent that comes while the broker drains is sent away, one that is here goes on", async () => {
  await using world = new World();
  const here = await HandWorker.connect(world.connectUrl, { v2: true });
  here.register();
  await world.when(() => world.pool.registry.size === 1, "it is registered");
  const asked = world.chat();
  const { id } = await here.frame("head");
  const finished = world.broker.finish(60_000);
  const refused = await call(world.connectUrl.replace("ws:", "http:"), {
    headers: {
      Authorization: `Bearer ${CLIENT_KEY}`,
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    },
  });
  expect([refused.status, refused.body.toString()]).toEqual([503, "draining"]);
  here.answer(id, 200, "{}");
  expect((await asked).status).toBe(200);
  expect(await finished).toBeTrue();
  await world.broker.stop();
  expect((await here.end()).code).toBe(1012);
});

test("with nothing to wait for it is over at once; with no time, too", async () => {
  await using idle = new World();
  expect(await idle.broker.finish(Number.POSITIVE_INFINITY)).toBeTrue();
  await using busy = new World();
  const { backend } = await busy.worker();
  backend.respond = silent();
  const client = new Call(`${busy.url}/chat/completions`, {
    headers: { Authorization: `Bearer ${API_KEY}` },
    body: '{"model":"test-model"}',
  });
  await backend.arrived(1);
  expect(await busy.broker.finish(0)).toBeFalse();
  client.abort();
  await backend.aborted(1);
  expect(await busy.leftovers()).toEqual({});
});

test("work that does not end in time is cut", async () => {
  const clock = new TestClock();
  await using world = new World({ clock });
  const { backend } = await world.worker();
  backend.respond = silent();
  const client = new Call(`${world.url}/chat/completions`, {
    headers: { Authorization: `Bearer ${API_KEY}` },
    body: '{"model":"test-model"}',
  });
  await backend.arrived(1);
  const finished = world.broker.finish(10_000);
  clock.advance(10_000);
  expect(await finished).toBeFalse();
  await world.broker.stop();
  await client.closed();
  await backend.aborted(1);
});

test("an agent told to come back does so when a broker is there again", async () => {
  const gone = new World();
  const { port } = gone.broker;
  const clock = new TestClock();
  const { backend, agent } = await gone.worker({ reconnect: true, clock, random: () => 0.5 });
  await gone.broker.finish(1_000);
  await gone.broker.stop();
  await gone.when(() => gone.logs.some(({ message }) => message === "not connected"), "the agent waits");
  expect(agent.state).toBe("error");
  await using world = new World({ broker: { port } });
  clock.advance(1_000);
  await world.when(() => world.pool.registry.get(agent.id) !== undefined, "the agent is back");
  expect((await world.chat()).status).toBe(200);
  expect(backend.requests).toHaveLength(1);
  expect(await world.leftovers()).toEqual({});
  await gone.stop();
});

test.each([
  ["that would wait for its agent to come back", 5_000],
  ["that would not", 0],
])("those who wait when the time is over are refused as such, in a pool %s", async (_what, graceMs) => {
  const clock = new TestClock();
  await using world = new World({ clock, pool: { graceMs, queueUpdateMs: 5_000 } });
  const { backend } = await world.worker({ maxConcurrency: 1 });
  backend.respond = silent();
  const running = new Call(`${world.url}/chat/completions`, {
    headers: { Authorization: `Bearer ${API_KEY}` },
    body: '{"model":"test-model"}',
  });
  await backend.arrived(1);
  const plain = Array.from({ length: 50 }, () => world.chat());
  const streamed = await world.chat({ stream: true });
  await world.when(() => world.pool.waiting === 51, "all of them wait");
  const finished = world.broker.finish(10_000);
  clock.advance(10_000);
  expect(await finished).toBeFalse();
  await world.broker.stop();
  for (const response of await Promise.all(plain)) {
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "10"]);
    expect(await response.json()).toMatchObject({ error: { code: "draining" } });
  }
  const events = await new Events(streamed).all();
  expect(events.at(-1)?.event).toBe("error");
  expect(JSON.parse(events.at(-1)?.data ?? "")).toMatchObject({ error: { code: "draining" } });
  await running.closed();
  const ended = world.logs.filter(({ message }) => message === "request ended").map(({ fields }) => fields["outcome"]);
  expect(ended.filter(outcome => outcome === "draining").length).toBeGreaterThanOrEqual(51);
  expect(ended).not.toContain("canceled");
});
