// Who may call, who may connect, and who may read the answers from a web page.
import { expect, test } from "bun:test";
import { workerAgent } from "../../src/agent/worker-agent.ts";
import { type CallAnswer, call } from "../kit/http/call.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { API_KEY, CLIENT_KEY, World } from "../kit/world.ts";

const BODY = '{"model":"test-model","messages":[]}';
const UPGRADE = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
};

function chat(world: World, headers: Record<string, string> = {}): Promise<CallAnswer> {
  return call(`${world.url}/chat/completions`, {
    body: BODY,
    headers: { "Content-Type": "application/json", ...headers },
  });
}

function upgrade(world: World, headers: Record<string, string>): Promise<CallAnswer> {
  return call(world.connectUrl.replace("ws:", "http:"), { headers: { ...UPGRADE, ...headers } });
}

test("the API key opens the API, a wrong one and none do not", async () => {
  await using world = new World();
  const { backend } = await world.worker();
  expect((await chat(world, { Authorization: `Bearer ${API_KEY}` })).status).toBe(200);
  expect((await chat(world, { Authorization: `bearer ${API_KEY}` })).status).toBe(200);
  for (const headers of [
    { "X-Api-Key": API_KEY },
    { "Api-Key": API_KEY },
    // Of several, one is enough: an SDK's own placeholder comes beside the key.
    { Authorization: "Bearer wrong", "X-Api-Key": API_KEY },
    { Authorization: `Bearer ${API_KEY}`, "X-Api-Key": "wrong" },
    { Authorization: "Bearer wrong", "Api-Key": API_KEY },
  ])
    expect([headers, (await chat(world, headers)).status]).toEqual([headers, 200]);
  for (const headers of [
    {},
    { Authorization: "Bearer wrong" },
    { Authorization: `Bearer ${API_KEY}x` },
    { Authorization: `Bearer ${CLIENT_KEY}` },
    { Authorization: `Basic ${API_KEY}` },
    { Authorization: "Bearer" },
    { "X-Api-Key": "wrong" },
    { "Api-Key": "wrong" },
    { Authorization: "Bearer wrong", "X-Api-Key": "wrong", "Api-Key": "wrong" },
    { "X-User-Roles": "admin" },
  ]) {
    const refused = await chat(world, headers);
    expect(refused.status).toBe(401);
    expect(refused.headers).toContainEqual(["www-authenticate", "Bearer"]);
    expect(JSON.parse(refused.body.toString())).toMatchObject({
      error: { type: "authentication_error", code: "unauthorized", message: "unauthorized", param: null },
    });
  }
  expect(backend.requests).toHaveLength(7);
  for (const { headers } of backend.requests)
    expect([headers.get("x-api-key"), headers.get("api-key")]).toEqual([null, null]);
  expect(await world.leftovers()).toEqual({});
});

test("every route of the API and the metrics ask for a key, health does not", async () => {
  await using world = new World({ broker: { metricsOpen: false, adminKey: "the-admin-key" } });
  await world.worker();
  for (const path of [
    "/api/llm/v1/models",
    "/api/llm/v1/models/test-model",
    "/api/llm/id/x/v1/models",
    "/api/state",
    "/api/state/stream",
    "/metrics",
  ])
    expect([path, (await call(world.origin + path)).status]).toEqual([path, 401]);
  for (const path of ["/api/llm/v1/responses", "/api/llm/v1/embeddings", "/api/llm/id/x/v1/chat/completions"])
    expect([path, (await call(world.origin + path, { body: BODY })).status]).toEqual([path, 401]);
  for (const path of ["/healthz", "/readyz", "/state"])
    expect([path, (await call(world.origin + path)).status]).toEqual([path, 200]);
  const metrics = async (key: string): Promise<number> =>
    (await call(`${world.origin}/metrics`, { headers: { Authorization: `Bearer ${key}` } })).status;
  expect([await metrics(API_KEY), await metrics("the-admin-key"), await metrics(CLIENT_KEY)]).toEqual([200, 200, 401]);
  await using open = new World();
  expect((await call(`${open.origin}/metrics`)).status).toBe(200);
});

test("a role from a trusted proxy opens the API, beside the key", async () => {
  await using world = new World({ broker: { apiHttpRoles: ["users", "admins"] } });
  await world.worker();
  expect((await chat(world, { "X-User-Roles": "guests, users" })).status).toBe(200);
  expect((await chat(world, { "X-User-Roles": "guests" })).status).toBe(401);
  expect((await chat(world, { "X-User-Roles": "Users" })).status).toBe(401);
  expect((await chat(world, { "X-User-Roles": "" })).status).toBe(401);
  expect((await chat(world, { Authorization: `Bearer ${API_KEY}` })).status).toBe(200);
});

test("a role from anybody else counts for nothing", async () => {
  await using world = new World({ broker: { apiHttpRoles: ["users"], trustedProxies: ["10.0.0.0/8"] } });
  await world.worker();
  expect((await chat(world, { "X-User-Roles": "users" })).status).toBe(401);
  expect((await chat(world, { "X-User-Roles": "users", "X-Forwarded-For": "10.0.0.1" })).status).toBe(401);
  expect((await chat(world, { Authorization: `Bearer ${API_KEY}` })).status).toBe(200);
});

test("with roles alone nobody without one gets in", async () => {
  await using world = new World({ broker: { apiKey: undefined, apiHttpRoles: ["users"] } });
  await world.worker();
  expect((await chat(world)).status).toBe(401);
  expect((await chat(world, { Authorization: "Bearer anything" })).status).toBe(401);
  expect((await chat(world, { "X-User-Roles": "users" })).status).toBe(200);
});

test("open doors are open, and the log says so once each, naming the option", async () => {
  await using world = new World({ broker: { apiKey: undefined, clientKey: undefined } });
  await world.worker({ clientKey: undefined });
  expect((await chat(world)).status).toBe(200);
  const warnings = world.logs.filter(({ level }) => level === "warn").map(({ message }) => message);
  expect(warnings.filter(message => message.includes("API_KEY"))).toHaveLength(1);
  expect(warnings.filter(message => message.includes("CLIENT_KEY"))).toHaveLength(1);
});

test("closed doors are not warned of, and no key is ever logged", async () => {
  await using world = new World();
  await world.worker();
  await chat(world, { Authorization: `Bearer ${API_KEY}` });
  await chat(world, { Authorization: "Bearer wrong-key-of-a-client" });
  const log = JSON.stringify(world.logs);
  for (const secret of [API_KEY, CLIENT_KEY, "wrong-key-of-a-client"]) expect(log).not.toContain(secret);
});

test("an agent with a wrong key is refused at the upgrade, in words its log shows", async () => {
  await using world = new World();
  expect((await upgrade(world, { Authorization: "Bearer wrong" })).status).toBe(401);
  expect((await upgrade(world, { Authorization: `Bearer ${API_KEY}` })).status).toBe(401);
  const accepted = await upgrade(world, { Authorization: `Bearer ${CLIENT_KEY}` });
  expect(accepted.status).toBe(101);
  const plain = await call(`${world.origin}/api/llm/connect`, { headers: { Authorization: `Bearer ${CLIENT_KEY}` } });
  expect(plain.status).toBe(426);
});

test("the runner says that the key was refused", async () => {
  await using world = new World();
  const backend = await world.backend();
  const agent = workerAgent({
    module: "llm",
    backend: {
      baseUrl: backend.url,
      apiKey: undefined,
      pollMs: 60_000,
      facts: {},
      probe: async () => ({ models: [], facts: {} }),
    },
    servers: [{ serverUrl: world.connectUrl, clientKey: "wrong" }],
    clientId: undefined,
    clientName: undefined,
    maxConcurrency: 1,
    requestTimeoutMs: 1000,
    reconnect: false,
    log: world.log("agent"),
  });
  await expect(agent.run()).rejects.toThrow("rejected the key");
});

test("an agent may bring its key in the first frame alone, as old ones do", async () => {
  await using world = new World();
  for (const field of ["client_key", "token"]) {
    const worker = await HandWorker.connect(world.connectUrl, { headers: {} });
    worker.register({ [field]: CLIENT_KEY, worker_id: field });
    await world.when(() => world.pool.registry.get(field) !== undefined, `${field} is registered`);
    worker.close();
  }
  for (const fields of [{}, { client_key: "wrong" }, { client_key: API_KEY }, { client_key: "" }]) {
    const worker = await HandWorker.connect(world.connectUrl, { headers: {} });
    worker.register({ ...fields, worker_id: "intruder" });
    expect(await worker.end()).toEqual({ code: 1008, reason: "unauthorized" });
    expect(world.pool.registry.get("intruder")).toBeUndefined();
  }
});

test("an agent's role counts from a trusted proxy", async () => {
  await using world = new World({ broker: { clientKey: undefined, clientHttpRoles: ["agents"] } });
  const worker = await HandWorker.connect(world.connectUrl, { headers: { "X-User-Roles": "agents" } });
  worker.register({ worker_id: "by-role" });
  await world.when(() => world.pool.registry.get("by-role") !== undefined, "the agent is registered");
  for (const headers of [{ "X-User-Roles": "users" }, { "X-User-Roles": "" }, {}])
    expect((await upgrade(world, headers)).status).toBe(401);
  worker.close();
});

test("a page of an allowed origin may ask and read, another may not", async () => {
  await using world = new World({ broker: { allowedOrigins: ["https://app.example"] } });
  await world.worker();
  const preflight = (origin: string) =>
    call(`${world.url}/chat/completions`, {
      method: "OPTIONS",
      headers: {
        Origin: origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
      },
    });
  const allowed = new Map((await preflight("https://app.example")).headers);
  expect(allowed.get("access-control-allow-origin")).toBe("https://app.example");
  for (const name of ["authorization", "content-type"])
    expect(allowed.get("access-control-allow-headers")?.split(", ")).toContain(name);
  expect(allowed.get("access-control-allow-methods")).toContain("POST");
  const denied = await preflight("https://evil.example");
  expect(denied.status).toBe(403);
  expect(new Map(denied.headers).has("access-control-allow-origin")).toBeFalse();

  const key = { Authorization: `Bearer ${API_KEY}` };
  const read = new Map((await chat(world, { ...key, Origin: "https://app.example" })).headers);
  expect(read.get("access-control-allow-origin")).toBe("https://app.example");
  expect(read.get("vary")?.toLowerCase()).toContain("origin");
  const hidden = new Map((await chat(world, { ...key, Origin: "https://evil.example" })).headers);
  expect(hidden.has("access-control-allow-origin")).toBeFalse();
  // Errors too, or a page could not tell its user what went wrong.
  const refused = new Map((await chat(world, { Origin: "https://app.example" })).headers);
  expect(refused.get("access-control-allow-origin")).toBe("https://app.example");
});

test("no origin is allowed unless one is named; * allows all", async () => {
  const origin = "https://app.example";
  await using shut = new World();
  const ask = (world: World) =>
    call(`${world.url}/models`, { headers: { Origin: origin, Authorization: `Bearer ${API_KEY}` } });
  expect(new Map((await ask(shut)).headers).has("access-control-allow-origin")).toBeFalse();
  await using open = new World({ broker: { allowedOrigins: ["*"] } });
  expect(new Map((await ask(open)).headers).get("access-control-allow-origin")).toBe(origin);
});

test("several keys open the API and let agents in, as a rotation needs", async () => {
  await using world = new World({
    broker: { apiKey: `new-key, ${API_KEY}`, clientKey: `new-agents-key,${CLIENT_KEY}` },
  });
  const backend = await world.backend();
  await world.agent(backend, { clientKey: CLIENT_KEY });
  await world.agent(backend, { clientKey: "new-agents-key" });
  for (const [key, status] of [
    ["new-key", 200],
    [API_KEY, 200],
    [`new-key, ${API_KEY}`, 401],
    ["another", 401],
  ] as const)
    expect((await chat(world, { Authorization: `Bearer ${key}` })).status).toBe(status);
});
