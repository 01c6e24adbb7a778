// What an operator does to workers: drain, undrain, disconnect.
import { describe, expect, test } from "bun:test";
import { chatJson } from "../../kit/backend/backend.ts";
import { ADMIN_KEY, moduleOf, operate, stateOf } from "../../kit/broker/state.ts";
import { call } from "../../kit/http/call.ts";
import { headerOf, McpWorld, rpc } from "../../kit/mcp/world.ts";
import { HandWorker } from "../../kit/protocol/hand.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { Gate } from "../../kit/time/gate.ts";
import { API_KEY, CLIENT_KEY, World, type WorldOptions } from "../../kit/world.ts";

const broker = { adminKey: ADMIN_KEY };
const worldOf = (options: WorldOptions = {}): World =>
  new World({ ...options, broker: { ...broker, ...options.broker } });

async function hand(world: World, fields: object = {}, v2 = true): Promise<HandWorker> {
  const worker = await HandWorker.connect(world.connectUrl, { v2 });
  const logged = world.logs.length;
  worker.register(fields);
  await world.when(
    () => world.logs.slice(logged).some(line => line.message === "worker registered"),
    "it is registered",
  );
  return worker;
}

describe("who may", () => {
  test("nobody without ADMIN_KEY", async () => {
    await using world = new World();
    const { agent } = await world.worker();
    for (const key of ["", API_KEY, CLIENT_KEY, "undefined"]) {
      const { status, answer } = await operate(world, "llm", agent.id, "drain", { Authorization: `Bearer ${key}` });
      expect([key, status]).toEqual([key, 403]);
      expect(answer).toMatchObject({ error: { code: "forbidden", type: "permission_error" } });
    }
    expect((await moduleOf(world)).workers).toMatchObject([{ status: "idle", drained_by_operator: false }]);
  });

  test("requests with the key, however it is brought, and no others", async () => {
    await using world = worldOf();
    const { agent } = await world.worker();
    const wrong: Record<string, string>[] = [
      {},
      { Authorization: "Bearer wrong" },
      { Authorization: `Bearer ${API_KEY}` },
      { Authorization: `Bearer ${CLIENT_KEY}` },
      { Authorization: `Basic ${Buffer.from(`:${ADMIN_KEY}`).toString("base64")}` },
      { "X-Api-Key": API_KEY },
      { Cookie: `key=${ADMIN_KEY}` },
      { "X-User-Roles": "admin" },
    ];
    for (const headers of wrong) {
      for (const id of [agent.id, "nobody"]) {
        const { status, answer } = await operate(world, "llm", id, "disconnect", headers);
        expect([headers, status]).toEqual([headers, 401]);
        expect(answer).toMatchObject({ error: { code: "unauthorized" } });
      }
    }
    for (const headers of [{ "X-Api-Key": ADMIN_KEY }, { "Api-Key": ADMIN_KEY }])
      expect((await operate(world, "llm", agent.id, "undrain", headers)).status).toBe(200);
    expect((await operate(world, "llm", agent.id, "drain")).status).toBe(200);
  });

  test("no page of another origin, whatever may call the API", async () => {
    await using world = worldOf({ broker: { allowedOrigins: ["*"] } });
    const { agent } = await world.worker();
    const path = `${world.origin}/api/admin/llm/workers/${agent.id}/drain`;
    const asked = { "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization" };
    const evil = { Origin: "https://evil.example" };
    const preflight = await call(path, { method: "OPTIONS", headers: { ...evil, ...asked } });
    expect(preflight.status).toBe(404);
    const posted = await operate(world, "llm", agent.id, "drain", { ...evil, "Content-Type": "text/plain" });
    expect(posted.status).toBe(401);
    for (const { headers } of [preflight, posted])
      expect(headers.filter(([name]) => name.startsWith("access-control-"))).toEqual([]);
    const other = await call(`${world.url}/models`, { method: "OPTIONS", headers: { ...evil, ...asked } });
    expect(headerOf(other, "access-control-allow-origin")).toBe("https://evil.example");
  });

  test("what is not there is a 404, what is no POST too", async () => {
    await using world = worldOf();
    const { agent } = await world.worker();
    for (const [module, id, action] of [
      ["llm", "nobody", "drain"],
      ["llm", "nobody", "undrain"],
      ["asr", agent.id, "drain"],
      ["nothing", agent.id, "drain"],
      ["llm", agent.id, "explode"],
      ["llm", "%", "drain"],
      ["llm", "a/b", "drain"],
    ] as const) {
      const { status, answer } = await operate(world, module, id, action);
      expect([module, id, action, status]).toEqual([module, id, action, 404]);
      expect(answer).toMatchObject({ error: { code: "not_found" } });
    }
    const read = await call(`${world.origin}/api/admin/llm/workers/${agent.id}/drain`, {
      headers: { Authorization: `Bearer ${ADMIN_KEY}` },
    });
    expect(read.status).toBe(404);
  });

  test("what is done is logged with the operator's fingerprint and without the key", async () => {
    await using world = worldOf();
    const { agent } = await world.worker();
    await operate(world, "llm", agent.id, "drain");
    const line = world.logs.find(({ message }) => message === "operator action");
    expect(line).toMatchObject({
      level: "info",
      fields: { module: "llm", worker_id: agent.id, action: "drain", status: "draining" },
    });
    expect(line?.fields["operator"]).toMatch(/^[0-9a-f]{8}$/);
    expect(JSON.stringify(world.logs)).not.toContain(ADMIN_KEY);
  });
});

describe.each(["llm", "asr", "docling"] as const)("a worker of %s", module => {
  test("is drained, given work again, and disconnected", async () => {
    await using world = worldOf({ module });
    const { agent } = await world.worker({ reconnect: true });
    expect(await operate(world, module, agent.id, "drain")).toMatchObject({
      status: 200,
      answer: { id: agent.id, status: "draining" },
    });
    const drained = await moduleOf(world, module);
    expect(drained.workers).toMatchObject([{ status: "draining", drained_by_operator: true }]);
    expect(drained.workers_summary).toMatchObject({ connected: 1, idle: 0, draining: 1 });
    expect(drained.models).toEqual([]);
    expect(await operate(world, module, agent.id, "undrain")).toMatchObject({
      answer: { id: agent.id, status: "idle" },
    });
    expect((await moduleOf(world, module)).workers).toMatchObject([{ status: "idle", drained_by_operator: false }]);
    const before = world.pool.registry.get(agent.id);
    expect(await operate(world, module, agent.id, "disconnect")).toMatchObject({
      status: 200,
      answer: { id: agent.id, status: "gone" },
    });
    const isNew = (): boolean => ![undefined, before].includes(world.pool.registry.get(agent.id));
    await world.when(isNew, "the agent has come back");
    expect((await moduleOf(world, module)).workers).toMatchObject([{ id: agent.id, status: "idle" }]);
  });
});

describe.each([
  [1, false],
  [2, true],
])("a worker of wire v%d that is drained", (wire, v2) => {
  test("stays so, whatever it says itself, and when it comes back", async () => {
    await using world = worldOf();
    const worker = await hand(world, {}, v2);
    expect((await operate(world, "llm", "hand", "drain")).status).toBe(200);
    const changed = (): number => world.logs.filter(({ message }) => message === "worker changed").length;
    worker.send({ type: "status_update", max_concurrency: 4, status: "idle", models: ["test-model", "another"] });
    worker.send({ type: "heartbeat" });
    await world.when(() => changed() === 1, "the broker has heard it");
    expect((await moduleOf(world)).workers).toMatchObject([
      { status: "draining", drained_by_operator: true, max_concurrency: 4, wire },
    ]);
    worker.terminate();
    await world.when(() => world.pool.registry.size === 0, "it has gone");
    expect((await moduleOf(world)).workers).toMatchObject([{ status: "gone", drained_by_operator: true }]);
    await hand(world, {}, v2);
    expect((await moduleOf(world)).workers).toMatchObject([{ status: "draining", drained_by_operator: true }]);
    await hand(world, { worker_id: "other" }, v2);
    expect((await moduleOf(world)).workers).toMatchObject([{ id: "hand" }, { id: "other", status: "idle" }]);
    await operate(world, "llm", "hand", "undrain");
    expect((await moduleOf(world)).workers[0]).toMatchObject({ status: "idle", drained_by_operator: false });
  });
});

test("what runs goes on, and nothing new comes", async () => {
  await using world = worldOf();
  const { backend, agent } = await world.worker();
  const other = await world.worker();
  const gate = new Gate();
  backend.respond = async (request, recorded) => {
    await gate.wait(request.signal);
    return chatJson("done")(request, recorded);
  };
  await operate(world, "llm", other.agent.id, "drain");
  const running = world.chat();
  await backend.arrived(1);
  await operate(world, "llm", other.agent.id, "undrain");
  expect(await operate(world, "llm", agent.id, "drain")).toMatchObject({ answer: { status: "draining" } });
  for (let n = 0; n < 4; n++) expect((await world.chat()).status).toBe(200);
  expect([backend.requests.length, other.backend.requests.length]).toEqual([1, 4]);
  const pinned = await call(`${world.origin}/api/llm/id/${agent.id}/v1/chat/completions`, {
    body: JSON.stringify({ model: "test-model", messages: [] }),
    headers: { Authorization: `Bearer ${API_KEY}`, "Content-Type": "application/json" },
  });
  // It may be given work again.
  expect(pinned.status).toBe(503);
  gate.open();
  expect((await running).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("who waits for a worker that is drained waits for another one, and is told when there is none", async () => {
  const clock = new TestClock();
  await using world = worldOf({ clock, pool: { graceMs: 3_000 } });
  const worker = await hand(world, { max_concurrency: 1 });
  const running = world.chat();
  const { id } = await worker.frame("head");
  const waiting = [world.chat(), world.chat()];
  await world.when(() => world.pool.waiting === 2, "two wait");
  await operate(world, "llm", "hand", "drain");
  clock.advance(2_999);
  expect(world.pool.waiting).toBe(2);
  const other = await hand(world, { worker_id: "other", max_concurrency: 1 });
  other.answer((await other.frame("head")).id, 200, '{"by":"other"}');
  other.answer((await other.frame("head", 2)).id, 200, '{"by":"other"}');
  for (const response of await Promise.all(waiting)) expect(await response.json()).toEqual({ by: "other" });
  worker.answer(id, 200, '{"by":"hand"}');
  expect(await (await running).json()).toEqual({ by: "hand" });
  await operate(world, "llm", "other", "drain");
  const late = world.chat();
  await world.when(() => world.pool.waiting === 1, "it waits for one that was here a moment ago");
  clock.advance(3_000);
  const refused = await late;
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "5"]);
  expect(await refused.json()).toMatchObject({ error: { code: "no_worker" } });
});

test("who waits is served at once when the worker gets work again", async () => {
  await using world = worldOf();
  const worker = await hand(world);
  await operate(world, "llm", "hand", "drain");
  const asked = world.chat();
  await world.when(() => world.pool.waiting === 1, "it waits");
  await operate(world, "llm", "hand", "undrain");
  worker.answer((await worker.frame("head")).id, 200, "{}");
  expect((await asked).status).toBe(200);
});

test("an undrain is no undrain of a worker that drains of its own will", async () => {
  await using world = worldOf();
  const worker = await hand(world);
  worker.send({ type: "status_update", max_concurrency: 1, status: "draining" });
  await worker.handled();
  await operate(world, "llm", "hand", "drain");
  expect(await operate(world, "llm", "hand", "undrain")).toMatchObject({ answer: { status: "draining" } });
  expect((await moduleOf(world)).workers).toMatchObject([{ status: "draining", drained_by_operator: false }]);
});

test("a worker that is away can be undrained, once", async () => {
  await using world = worldOf();
  const worker = await hand(world);
  await operate(world, "llm", "hand", "drain");
  worker.terminate();
  await world.when(() => world.pool.registry.size === 0, "it has gone");
  expect(await operate(world, "llm", "hand", "undrain")).toMatchObject({ status: 200, answer: { status: "gone" } });
  expect((await operate(world, "llm", "hand", "undrain")).status).toBe(404);
  await hand(world);
  expect((await moduleOf(world)).workers).toMatchObject([{ status: "idle" }]);
});

test("what ran on a worker that is disconnected is sent to another one", async () => {
  await using world = worldOf();
  const first = await hand(world, { worker_id: "a b/c" });
  const asked = world.chat();
  await first.frame("head");
  const { backend } = await world.worker();
  expect((await operate(world, "llm", "a b/c", "disconnect")).status).toBe(200);
  expect(await first.end()).toEqual({ code: 1012, reason: "disconnected by an operator" });
  expect((await asked).status).toBe(200);
  expect(backend.requests).toHaveLength(1);
  expect(await world.leftovers()).toEqual({});
});

describe("a relay of MCP", () => {
  const calls = (world: McpWorld, id?: string) => world.call(rpc(1, "tools/list"), id === undefined ? {} : { id });

  test("is drained by its id, stays so when it comes back, and serves again", async () => {
    await using world = new McpWorld({ broker });
    const { provider, agent } = await world.pair({ reconnect: true });
    await world.pair({ id: "another" });
    const [client] = (await stateOf(world)).mcp?.clients ?? [];
    expect(client).toMatchObject({ id: "tools", worker_id: "tools", drained_by_operator: false, draining: false });
    expect(await operate(world, "mcp", "tools", "drain")).toMatchObject({
      status: 200,
      answer: { id: "tools", status: "draining" },
    });
    expect((await calls(world)).status).toBe(503);
    expect((await calls(world, "another")).status).toBe(200);
    const before = world.relays.pool.registry.get(agent.id);
    expect(await operate(world, "mcp", "tools", "disconnect")).toMatchObject({ answer: { status: "gone" } });
    const isNew = (): boolean => ![undefined, before].includes(world.relays.pool.registry.get(agent.id));
    await world.when(isNew, "the relay has come back");
    const back = (await stateOf(world)).mcp?.clients.find(({ id }) => id === "tools");
    expect(back).toMatchObject({ draining: true, drained_by_operator: true });
    expect((await calls(world)).status).toBe(503);
    expect(await operate(world, "mcp", "tools", "undrain")).toMatchObject({ answer: { status: "idle" } });
    expect((await calls(world)).body.toString()).toBe((await calls(world)).body.toString());
    expect(provider.requests.length).toBeGreaterThan(0);
    expect(await world.leftovers()).toEqual({});
  });

  test("of the older series is drained across its connections, though each has an id of its own", async () => {
    await using world = new McpWorld({ broker });
    const joins = async (): Promise<HandWorker> => {
      const relay = await HandWorker.connect(world.connectUrl);
      relay.send({ id: "old", client_name: "Old" });
      await relay.when(() => relay.messages.length === 1, "it is answered");
      return relay;
    };
    const first = await joins();
    expect(await operate(world, "mcp", "old", "drain")).toMatchObject({ answer: { status: "draining" } });
    first.terminate();
    await world.when(() => world.relays.pool.registry.size === 0, "it has gone");
    await joins();
    expect((await stateOf(world)).mcp?.clients).toMatchObject([
      { id: "old", worker_id: "old", draining: true, wire: 1 },
    ]);
  });

  test("that shares its id is drained alone", async () => {
    await using world = new McpWorld({ broker });
    const [one, two] = [await world.provider(), await world.provider()];
    const relay = { provider: { replicas: true } };
    const [first] = [await world.relay(one, relay), await world.relay(two, relay)];
    const clients = (await stateOf(world)).mcp?.clients ?? [];
    expect(clients.map(({ id }) => id)).toEqual(["tools", "tools"]);
    expect(clients[0]?.worker_id).toBe(first.id);
    expect((await operate(world, "mcp", "tools", "drain")).status).toBe(404);
    await operate(world, "mcp", first.id, "drain");
    for (let n = 0; n < 3; n++) expect((await calls(world)).status).toBe(200);
    expect([one.requests.length, two.requests.length]).toEqual([0, 3]);
  });

  test("lets a call that runs finish", async () => {
    await using world = new McpWorld({ broker });
    const { provider } = await world.pair();
    const gate = new Gate();
    provider.respond = async request => {
      await gate.wait(request.signal);
      return Response.json({ jsonrpc: "2.0", id: 1, result: {} });
    };
    const running = world.ask({ body: rpc(1, "tools/call") });
    await provider.arrived(1);
    expect(await operate(world, "mcp", "tools", "drain")).toMatchObject({ answer: { status: "draining" } });
    gate.open();
    expect((await running.answer()).status).toBe(200);
    expect(await world.leftovers()).toEqual({});
  });
});
