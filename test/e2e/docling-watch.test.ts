// The WebSocket that follows a task: what it says, how it ends, and who may have one.
import { expect, test } from "bun:test";
import { WATCH_MESSAGE_BYTES, WATCH_PINGS_MAX, WATCH_POLL_MS } from "../../src/broker/proxy/watch/watch-socket.ts";
import { WATCHES_MAX } from "../../src/broker/proxy/watch/watches.ts";
import type { Timer } from "../../src/lib/time.ts";
import { json, type Respond, silent, type TestBackend } from "../kit/backend/backend.ts";
import { call } from "../kit/http/call.ts";
import { RawClient } from "../kit/http/raw-client.ts";
import { rawUpgrade, upgradeRequest } from "../kit/http/raw-socket.ts";
import { TestClock } from "../kit/time/clock.ts";
import { API_KEY, World, type WorldOptions } from "../kit/world.ts";

const KEY = { Authorization: `Bearer ${API_KEY}` };
const TASK = "b1946ac9";

interface Told {
  message: string;
  task: Record<string, unknown> | null;
  error: string | null;
}

/** A client that keeps what it is sent. */
class Follower {
  readonly told: Told[] = [];
  readonly socket: WebSocket;
  readonly closed = Promise.withResolvers<{ code: number; reason: string }>();
  #waiting: { count: number; resolve: () => void } | undefined;

  constructor(url: string, headers: Record<string, string> = KEY) {
    this.socket = new WebSocket(url.replace(/^http/, "ws"), { headers });
    this.socket.onmessage = ({ data }) => {
      this.told.push(JSON.parse(String(data)) as Told);
      if (this.told.length >= (this.#waiting?.count ?? Number.POSITIVE_INFINITY)) this.#waiting?.resolve();
    };
    this.socket.onclose = ({ code, reason }) => this.closed.resolve({ code, reason });
  }

  /** Resolves when it has been sent so many messages. */
  async has(count: number): Promise<void> {
    if (this.told.length >= count) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting = { count, resolve };
    await promise;
  }

  get statuses(): unknown[] {
    return this.told.map(({ message, task }) => [message, task?.["task_status"], task?.["task_position"]]);
  }
}

/** A clock that shows when a socket waits for its next question. */
class PollClock extends TestClock {
  #pauses = 0;
  #passed = 0;
  #paused: (() => void) | undefined;

  override after(ms: number, run: () => void): Timer {
    if (ms === WATCH_POLL_MS) {
      this.#pauses++;
      this.#paused?.();
    }
    return super.after(ms, run);
  }

  /** Resolves when so many pauses have begun that have not passed yet: what came before them is sent. */
  async pausing(sockets = 1): Promise<void> {
    while (this.#pauses - this.#passed < sockets) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#paused = resolve;
      await promise;
    }
  }

  /** Lets the next pause of each socket pass, once it has begun. */
  async passPause(sockets = 1): Promise<void> {
    await this.pausing(sockets);
    this.#passed += sockets;
    this.advance(WATCH_POLL_MS);
  }
}

/** A world with one Docling server, whose task is as `status` says. */
class Scene {
  readonly clock = new PollClock();
  readonly world: World;
  status = { task_status: "pending", task_position: 2 as number | null };
  backend!: TestBackend;

  constructor(options: Omit<WorldOptions, "module"> = {}) {
    this.world = new World({ module: "docling", clock: this.clock, ...options });
  }

  static async start(options: Omit<WorldOptions, "module"> = {}): Promise<Scene> {
    const scene = new Scene(options);
    scene.backend = (await scene.world.worker()).backend;
    scene.backend.respond = scene.respond;
    const begun = await call(`${scene.world.url}/convert/source/async`, { headers: KEY, body: "{}" });
    expect(begun.status).toBe(200);
    return scene;
  }

  readonly respond: Respond = (request, { path }) =>
    request.method === "POST" || path.endsWith(`/${TASK}`) ? json(this.task) : json({ detail: "Task not found." }, 404);

  get task(): Record<string, unknown> {
    return { task_id: TASK, task_type: "convert", task_meta: null, error_message: null, ...this.status };
  }

  get url(): string {
    return `${this.world.url}/status/ws/${TASK}`;
  }

  /** Lets one interval pass; resolves when the backend has been asked once more. */
  async next(): Promise<void> {
    const before = this.backend.requests.length;
    await this.clock.passPause();
    await this.backend.arrived(before + 1);
  }

  /** How the broker answers a request for a WebSocket that does not become one. */
  refusal(url: string, headers: Record<string, string> = KEY): Promise<[number, unknown]> {
    return upgrade(url, headers);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.world.stop();
  }
}

async function upgrade(url: string, headers: Record<string, string>): Promise<[number, unknown]> {
  const answer = await call(url, {
    headers: {
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
      ...headers,
    },
  });
  return [answer.status, JSON.parse(answer.body.toString())];
}

test("a client hears of every change, in Docling's words, and the socket closes with the task", async () => {
  await using scene = await Scene.start();
  const follower = new Follower(scene.url);
  await follower.has(2);
  expect(follower.told[0]).toEqual({ message: "connection", task: scene.task, error: null });
  expect(follower.told[1]).toEqual({ message: "update", task: scene.task, error: null });
  // Nothing has changed: nothing is sent.
  await scene.next();
  await scene.clock.pausing();
  scene.status = { task_status: "pending", task_position: 1 };
  await scene.next();
  await follower.has(3);
  scene.status = { task_status: "started", task_position: null };
  await scene.next();
  await follower.has(4);
  scene.status = { task_status: "success", task_position: null };
  await scene.next();
  expect(await follower.closed.promise).toMatchObject({ code: 1000 });
  expect(follower.statuses).toEqual([
    ["connection", "pending", 2],
    ["update", "pending", 2],
    ["update", "pending", 1],
    ["update", "started", null],
    ["update", "success", null],
  ]);
  expect(await scene.world.leftovers()).toEqual({});
  expect(scene.world.broker.watches.size).toBe(0);
});

test("a task that has ended is reported at once", async () => {
  await using scene = await Scene.start();
  for (const task_status of ["success", "failure", "partial_success"]) {
    scene.status = { task_status, task_position: null };
    const follower = new Follower(scene.url);
    expect(await follower.closed.promise).toMatchObject({ code: 1000 });
    expect(follower.statuses).toEqual([
      ["connection", task_status, null],
      ["update", task_status, null],
    ]);
  }
  expect(await scene.world.leftovers()).toEqual({});
});

test("the key may come in any header, or in the query as Docling's clients send it; it does not reach the backend", async () => {
  await using scene = await Scene.start();
  scene.status = { task_status: "success", task_position: null };
  const ways: [string, Record<string, string>][] = [
    ["", { "X-Api-Key": API_KEY }],
    ["", { "Api-Key": API_KEY }],
    [`?api_key=${API_KEY}&tenant_id=t1`, {}],
    [`?api_key=${API_KEY}`, { Authorization: "Bearer somebody-else's" }],
  ];
  for (const [query, headers] of ways) {
    const follower = new Follower(scene.url + query, headers);
    expect(await follower.closed.promise).toMatchObject({ code: 1000 });
  }
  const asked = scene.backend.requests.filter(({ method }) => method === "GET");
  expect(asked.map(({ path }) => path)).toEqual(ways.map(() => `/v1/status/poll/${TASK}`));
  expect(asked.map(({ headers }) => headers.get("x-tenant-id"))).toEqual([null, null, "t1", null]);
  expect(JSON.stringify(asked.map(({ headers }) => [...headers]))).not.toContain(API_KEY);
  expect(JSON.stringify(scene.world.logs)).not.toContain(API_KEY);
});

test("what is refused is refused before the upgrade, as a question is", async () => {
  await using scene = await Scene.start({ broker: { apiHttpRoles: ["team"], trustedProxies: ["127.0.0.1/32"] } });
  const { world } = scene;
  expect(await scene.refusal(scene.url, {})).toMatchObject([401, { error: "unauthorized" }]);
  expect(await scene.refusal(`${scene.url}?api_key=wrong`, {})).toMatchObject([401, { error: "unauthorized" }]);
  // It belongs to the caller with the key.
  const foreign = { "X-User-Roles": "team", "X-Api-Key": "another" };
  expect(await scene.refusal(scene.url, foreign)).toMatchObject([404, { error: "not_found" }]);
  expect(await scene.refusal(`${world.url}/status/ws/unknown`)).toEqual([404, { detail: "Task not found." }]);
  expect(await scene.refusal(`${world.url}/status/ws/a%2Fb`)).toMatchObject([404, { error: "not_found" }]);
  expect((await call(scene.url, { headers: KEY })).status).toBe(426);
  scene.backend.respond = () => json({ odd: true });
  expect(await scene.refusal(scene.url)).toMatchObject([502, { error: "upstream_error" }]);
  expect(await world.leftovers()).toEqual({});
  const ended = world.logs.filter(({ message }) => message === "request ended").map(({ fields }) => fields);
  expect(ended.filter(({ route }) => String(route).includes("/ws/")).map(({ status }) => status)).toEqual([
    401, 401, 404, 404, 404, 426, 502,
  ]);
});

test("a client that leaves ends the questions, also the one that is under way", async () => {
  await using scene = await Scene.start();
  const follower = new Follower(scene.url);
  await follower.has(2);
  scene.backend.respond = silent();
  await scene.next();
  follower.socket.close();
  await scene.backend.aborted(1);
  expect(await scene.world.leftovers()).toEqual({});
  const asked = scene.backend.requests.length;
  scene.clock.advance(10 * WATCH_POLL_MS);
  expect(scene.backend.requests).toHaveLength(asked);
  const lines = scene.world.logs.filter(({ fields }) => String(fields["route"]).includes("/status/"));
  expect(lines.map(({ fields }) => [fields["route"], fields["status"], fields["outcome"]])).toEqual([
    ["/api/docling/v1/status/ws/:task", 101, "ok"],
  ]);
});

test("a client that leaves before the upgrade ends the first question", async () => {
  await using scene = await Scene.start();
  scene.backend.respond = silent();
  const client = await RawClient.connect(scene.world.broker.port);
  await client.write(upgradeRequest(new URL(scene.url).pathname, KEY));
  await scene.backend.arrived(2);
  client.destroy();
  await scene.backend.aborted(1);
  expect(await scene.world.leftovers()).toEqual({});
  expect(scene.world.broker.watches.size).toBe(0);
});

test("a worker that is lost is an error in Docling's words", async () => {
  await using scene = await Scene.start({ pool: { graceMs: 0 } });
  const follower = new Follower(scene.url);
  await follower.has(2);
  await scene.world.agents[0]!.shutdown(0);
  await scene.world.when(() => scene.world.pool.registry.size === 0, "the worker is gone");
  scene.clock.advance(WATCH_POLL_MS);
  expect(await follower.closed.promise).toMatchObject({ code: 1011 });
  expect(follower.told.at(-1)).toEqual({ message: "error", task: null, error: expect.any(String) });
  expect(follower.told).toHaveLength(3);
  expect(await scene.refusal(scene.url)).toMatchObject([503, {}]);
});

test("a task that its server has forgotten is an error that Docling's client knows", async () => {
  await using scene = await Scene.start();
  const follower = new Follower(scene.url);
  await follower.has(2);
  scene.backend.respond = () => json({ detail: "Task not found." }, 404);
  await scene.next();
  expect(await follower.closed.promise).toMatchObject({ code: 1011 });
  expect(follower.told.at(-1)).toEqual({ message: "error", task: null, error: "Task not found." });
  expect(await scene.world.leftovers()).toEqual({});
});

test("a client that answers no ping, or sends too much, is closed; what else it sends is ignored", async () => {
  await using scene = await Scene.start();
  const follower = new Follower(scene.url);
  await follower.has(2);
  follower.socket.send("update, please");
  follower.socket.send("x".repeat(WATCH_MESSAGE_BYTES + 1));
  expect(await follower.closed.promise).toMatchObject({ code: 1009 });
  expect(follower.told).toHaveLength(2);
  // The pause that was cut short.
  await scene.clock.passPause();
  const dead = await rawUpgrade(scene.world.broker.port, new URL(scene.url).pathname, KEY);
  expect(dead.status).toBe(101);
  const lives = new Follower(scene.url);
  await lives.has(2);
  for (let n = 0; n <= WATCH_PINGS_MAX; n++) {
    expect(dead.closed).toBe(false);
    await scene.clock.passPause(2);
  }
  await dead.when(() => dead.closed, "the end of the connection");
  await scene.clock.pausing();
  expect(scene.world.broker.watches.size).toBe(1);
  lives.socket.close();
  expect(await scene.world.leftovers()).toEqual({});
});

test("a broker that drains asks its clients to come back", async () => {
  await using scene = await Scene.start();
  const follower = new Follower(scene.url);
  await follower.has(2);
  scene.world.broker.drain.begin();
  expect(await follower.closed.promise).toMatchObject({ code: 1012 });
  expect(await scene.refusal(scene.url)).toMatchObject([503, { error: "draining" }]);
});

test("a caller has its share of these sockets, and gets it back", async () => {
  await using scene = await Scene.start();
  const followers: Follower[] = [];
  for (let n = 0; n < WATCHES_MAX / 2; n++) {
    const follower = new Follower(scene.url);
    await follower.has(2);
    followers.push(follower);
  }
  expect(await scene.refusal(scene.url)).toMatchObject([429, { error: "limit_exceeded" }]);
  followers[0]?.socket.close();
  await followers[0]?.closed.promise;
  const again = new Follower(scene.url);
  await again.has(2);
  // What is refused holds no place.
  for (let n = 0; n < 3; n++) expect(await scene.refusal(scene.url)).toMatchObject([429, {}]);
});

test("a named worker can be asked, too", async () => {
  await using scene = await Scene.start();
  scene.status = { task_status: "success", task_position: null };
  const id = scene.world.agents[0]!.id;
  const follower = new Follower(scene.url.replace("/v1/", `/id/${id}/v1/`));
  expect(await follower.closed.promise).toMatchObject({ code: 1000 });
  expect(follower.told).toHaveLength(2);
  expect(await scene.refusal(scene.url.replace("/v1/", "/id/nobody/v1/"))).toMatchObject([404, {}]);
});
