// One agent that serves two brokers, which know nothing of each other.
import { expect, test } from "bun:test";
import { chatJson, type TestBackend } from "../kit/backend/backend.ts";
import { Gate } from "../kit/time/gate.ts";
import { eventually } from "../kit/time/until.ts";
import { CLIENT_KEY, World } from "../kit/world.ts";

interface Pair {
  one: World;
  two: World;
  backend: TestBackend;
  gate: Gate;
  /** The most requests that the backend has had at once. */
  most(): number;
}

async function pair(maxConcurrency: number): Promise<AsyncDisposable & Pair> {
  const one = new World();
  const two = new World();
  const backend = await one.backend();
  const gate = new Gate();
  let now = 0;
  let most = 0;
  backend.respond = async (request, recorded) => {
    most = Math.max(most, ++now);
    try {
      await gate.wait(request.signal);
      return await chatJson("done")(request, recorded);
    } finally {
      now--;
    }
  };
  const servers = [one, two].map(({ connectUrl: serverUrl }) => ({ serverUrl, clientKey: CLIENT_KEY }));
  const agent = await one.agent(backend, { servers, maxConcurrency });
  await two.when(() => two.pool.registry.get(agent.id) !== undefined, "the agent at the second broker");
  return {
    one,
    two,
    backend,
    gate,
    most: () => most,
    async [Symbol.asyncDispose]() {
      gate.open();
      await Promise.all([one.stop(), two.stop()]);
    },
  };
}

const oneWaits = (world: World): Promise<void> => world.when(() => world.pool.waiting === 1, "a request waits");

test("a request for which another broker has taken the slot waits for it", async () => {
  await using fleet = await pair(1);
  const { one, two, backend, gate } = fleet;
  const first = one.chat();
  await backend.arrived(1);
  const second = two.chat();
  await oneWaits(two);
  expect(backend.requests).toHaveLength(1);
  gate.open();
  expect((await first).status).toBe(200);
  expect((await second).status).toBe(200);
  expect(fleet.most()).toBe(1);
  expect(await two.leftovers()).toEqual({});
});

test("an agent takes no more than it may, whichever brokers ask, and every request is served", async () => {
  await using fleet = await pair(2);
  const { one, two, gate } = fleet;
  const chats = Array.from({ length: 40 }, (_, at) => (at % 2 === 0 ? one : two).chat());
  await eventually(() => gate.waiting === 2, "two requests are served");
  gate.open();
  const statuses = (await Promise.all(chats)).map(({ status }) => status);
  expect(new Set(statuses)).toEqual(new Set([200]));
  expect(fleet.most()).toBe(2);
  for (const world of [one, two]) expect(await world.leftovers()).toEqual({});
});

test("a refused request has its turn before those that came after it", async () => {
  await using fleet = await pair(1);
  const { one, two, backend, gate } = fleet;
  const blocker = one.chat({ user: "blocker" });
  await backend.arrived(1);
  const early = two.chat({ user: "early" });
  await oneWaits(two);
  const late = two.chat({ user: "late" });
  await two.when(() => two.pool.waiting === 2, "both wait");
  gate.open();
  await Promise.all([blocker, early, late]);
  const order = backend.requests.map(request => (request.json() as { user?: string }).user);
  expect(order).toEqual(["blocker", "early", "late"]);
});

test("the end of one broker is not that of the agent, and the end of both is", async () => {
  await using fleet = await pair(1);
  const { one, two, gate } = fleet;
  gate.open();
  const [agent] = one.agents;
  await one.broker.stop();
  await two.when(() => agent?.state === "connected_idle", "the agent serves on");
  expect((await two.chat()).status).toBe(200);
  await two.broker.stop();
  await eventually(() => agent?.state === "error", "the agent has ended");
  expect(agent?.status()).toMatchObject({ connected_to_server: false });
});
