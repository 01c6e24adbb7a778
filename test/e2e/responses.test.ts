// Responses that a backend keeps: what names one goes to the worker that has it.
import { expect, test } from "bun:test";
import { json, type Respond, silent, type TestBackend } from "../kit/backend/backend.ts";
import { type CallAnswer, call } from "../kit/http/call.ts";
import { API_KEY, World, type WorldOptions } from "../kit/world.ts";

const KEY = { Authorization: `Bearer ${API_KEY}` };

/** A backend with OpenAI's Responses API, which keeps what it has answered. */
class Keeper {
  readonly kept = new Set<string>();
  readonly respond: Respond = async (request, { method, path, body }) => {
    const id = /\/(?:responses|conversations)\/([^/?]+)/.exec(path)?.[1];
    if (id !== undefined) {
      if (!this.kept.has(id)) return json({ error: { message: `no ${id}, says ${this.name}` } }, 404);
      if (method === "DELETE") this.kept.delete(id);
      return json({
        output: [],
        id,
        by: this.name,
        did: `${method} ${request.url.slice(request.url.indexOf(id) + id.length)}`,
      });
    }
    const asked = JSON.parse(body ?? "");
    const before = asked.previous_response_id ?? asked.conversation?.id ?? asked.conversation;
    if (before !== undefined && !this.kept.has(before)) return json({ error: { message: "unknown here" } }, 400);
    const made = `resp_${this.name}${this.kept.size}`;
    this.kept.add(made);
    const response = { object: "response", instructions: "x".repeat(50_000), id: made, by: this.name, before };
    if (!asked.stream) return json(response);
    const event = (type: string): string => `event: ${type}\ndata: ${JSON.stringify({ type, response })}\n\n`;
    return new Response(`: hello\n\n${event("response.created")}${event("response.completed")}`, {
      headers: { "content-type": "text/event-stream" },
    });
  };

  constructor(
    readonly name: string,
    readonly backend: TestBackend,
  ) {
    backend.respond = this.respond;
  }

  get asked(): string[] {
    return this.backend.requests.map(({ method, path }) => `${method} ${path}`);
  }
}

async function keepers(world: World, ...names: string[]): Promise<Keeper[]> {
  const all: Keeper[] = [];
  for (const name of names) {
    const { backend } = await world.worker({ clientId: `id-of-${name}`, clientName: name });
    all.push(new Keeper(name, backend));
  }
  return all;
}

const open = (options: WorldOptions = {}): World => new World(options);

function create(world: World, more: object = {}, headers: Record<string, string> = KEY): Promise<CallAnswer> {
  const body = JSON.stringify({ model: "test-model", input: "hi", ...more });
  return call(`${world.url}/responses`, { headers: { ...headers, "content-type": "application/json" }, body });
}

const ask = (world: World, method: string, path: string, headers: Record<string, string> = KEY): Promise<CallAnswer> =>
  call(`${world.url}/responses/${path}`, { method, headers });

const bodyOf = ({ status, body }: CallAnswer): unknown => [status, JSON.parse(body.toString())];

/** The id in an answer, JSON or events. */
const idOf = ({ body }: CallAnswer): string => /"id":"(resp_\w+)"/.exec(body.toString())?.[1] ?? "";

test.each([false, true])("a response goes on at the worker that has it (stream %p)", async stream => {
  await using world = open();
  const all = await keepers(world, "a", "b", "c");
  const first = [];
  for (let i = 0; i < 3; i++) first.push(idOf(await create(world, { stream })));
  // All three have made one.
  expect(new Set(first.map(id => id[5])).size).toBe(3);
  for (const id of first) {
    let last = id;
    for (let i = 0; i < 4; i++) {
      const next = await create(world, { stream, previous_response_id: last });
      expect([next.status, next.body.toString().includes(`"before":"${last}"`)]).toEqual([200, true]);
      last = idOf(next);
      expect(last[5]).toBe(id[5]);
    }
  }
  // Nobody was asked about another's.
  expect(all.flatMap(({ asked }) => asked).filter(line => line.startsWith("GET"))).toEqual([]);
  expect(await world.leftovers()).toEqual({});
});

test("a conversation stays with the worker that has it, as a text or as an object", async () => {
  await using world = open();
  const [, b] = await keepers(world, "a", "b");
  b!.kept.add("conv_1");
  for (const conversation of ["conv_1", { id: "conv_1" }, "conv_1"])
    expect(bodyOf(await create(world, { conversation }))).toMatchObject([200, { by: "b" }]);
  expect(b!.asked.filter(line => line.startsWith("GET"))).toEqual(["GET /v1/conversations/conv_1"]);
  expect(bodyOf(await create(world, { conversation: "conv_2" }))).toEqual([
    404,
    {
      error: {
        message: "Conversation with id 'conv_2' not found.",
        type: "invalid_request_error",
        param: "conversation",
        code: "not_found",
      },
    },
  ]);
  expect(await world.leftovers()).toEqual({});
});

test("a response can be had, listed, cancelled and deleted at its worker, beside the seats", async () => {
  await using world = open();
  await keepers(world, "a", "b", "c");
  for (let i = 0; i < 3; i++) {
    const id = idOf(await create(world));
    const by = id[5];
    for (const [method, below, did] of [
      ["GET", "?include=x", "GET ?include=x"],
      ["GET", "/input_items?limit=1", "GET /input_items?limit=1"],
      ["POST", "/cancel", "POST /cancel"],
      ["DELETE", "", "DELETE "],
    ] as const)
      expect(bodyOf(await ask(world, method, id + below))).toMatchObject([200, { id, by, did }]);
    expect((await ask(world, "GET", id)).status).toBe(404);
  }
  expect(await world.leftovers()).toEqual({});
});

test("a broker that has just started finds the worker by asking all at once, and asks once", async () => {
  await using world = open();
  const all = await keepers(world, "a", "b", "c");
  for (const { name, kept } of all) kept.add(`resp_${name}old`);
  for (const { name } of all) {
    const id = `resp_${name}old`;
    for (let i = 0; i < 2; i++)
      expect(bodyOf(await create(world, { previous_response_id: id }))).toMatchObject([200, { by: name }]);
    expect(bodyOf(await ask(world, "GET", id))).toMatchObject([200, { by: name }]);
    expect(all.filter(one => one.asked.includes(`GET /v1/responses/${id}`)).length).toBeGreaterThan(0);
    for (const { asked, name: other } of all)
      expect(asked.filter(line => line === `GET /v1/responses/${id}`).length).toBeLessThanOrEqual(
        other === name ? 2 : 1,
      );
  }
  expect(await world.leftovers()).toEqual({});
});

test("a worker that is silent when it is asked holds nobody up", async () => {
  await using world = open();
  const [a, b] = await keepers(world, "a", "b");
  a!.backend.respond = silent();
  b!.kept.add("resp_old");
  expect(bodyOf(await create(world, { previous_response_id: "resp_old" }))).toMatchObject([200, { by: "b" }]);
  await a!.backend.aborted(1);
  expect(await world.leftovers()).toEqual({});
});

test("what nobody has is a 404 in OpenAI's words", async () => {
  await using world = open();
  const all = await keepers(world, "a", "b");
  const error = { type: "invalid_request_error", param: "previous_response_id", code: "previous_response_not_found" };
  for (const id of ["resp_x", "../../etc", "a b", "..", "resp:é"])
    expect(bodyOf(await create(world, { previous_response_id: id }))).toEqual([
      404,
      { error: { ...error, message: `Previous response with id '${id}' not found.` } },
    ]);
  expect(bodyOf(await ask(world, "GET", "resp_x"))).toMatchObject([
    404,
    { error: { message: "Response with id 'resp_x' not found.", type: "invalid_request_error" } },
  ]);
  for (const { asked } of all) expect(asked).toEqual(["GET /v1/responses/resp_x", "GET /v1/responses/resp_x"]);
  expect(await world.leftovers()).toEqual({});
});

test("with one worker there is no choice: it says itself what it does not know", async () => {
  await using world = open();
  const [a] = await keepers(world, "a");
  expect(bodyOf(await create(world, { previous_response_id: "resp_x" }))).toEqual([
    400,
    { error: { message: "unknown here" } },
  ]);
  expect(a!.asked).toEqual(["POST /v1/responses"]);
  expect(await world.leftovers()).toEqual({});
});

test("while the worker that has a response is away, it is a 503; it goes on when that is back", async () => {
  await using world = open();
  const all = await keepers(world, "a", "b", "c");
  const id = idOf(await create(world));
  const at = all.findIndex(({ name }) => name === id[5]);
  const owner = all[at]!;
  await world.agents[at]?.shutdown(0);
  await world.when(() => world.pool.registry.size === 2, "it is gone");
  for (const answer of [await create(world, { previous_response_id: id }), await ask(world, "GET", id)]) {
    expect(bodyOf(answer)).toMatchObject([503, { error: { code: "no_worker" } }]);
    expect(answer.headers).toContainEqual(["retry-after", "5"]);
  }
  await world.agent(owner.backend, { clientId: `id-of-${owner.name}` });
  expect(bodyOf(await create(world, { previous_response_id: id }))).toMatchObject([200, { by: owner.name }]);
  // The same server behind an agent with another id has it, too.
  await world.agents.at(-1)?.shutdown(0);
  await world.when(() => world.pool.registry.size === 2, "it is gone again");
  await world.agent(owner.backend, { clientId: "new" });
  expect(bodyOf(await create(world, { previous_response_id: id }))).toMatchObject([200, { by: owner.name }]);
  expect(await world.leftovers()).toEqual({});
});

test("after a start an unknown response is a 503 while agents may still come", async () => {
  await using world = open({ broker: { startGraceMs: 60_000 } });
  await keepers(world, "a", "b");
  const answer = await create(world, { previous_response_id: "resp_x" });
  expect(bodyOf(answer)).toMatchObject([503, { error: { code: "overloaded" } }]);
  expect(answer.headers).toContainEqual(["retry-after", "5"]);
  expect(await world.leftovers()).toEqual({});
});

test("a response of one key is not there for another", async () => {
  await using world = open({ broker: { apiKey: undefined } });
  const all = await keepers(world, "a", "b");
  const [mine, yours] = [{ Authorization: "Bearer mine" }, { Authorization: "Bearer yours" }];
  const id = idOf(await create(world, {}, mine));
  const before = all.flatMap(({ asked }) => asked).length;
  for (const [method, below] of [
    ["GET", ""],
    ["GET", "/input_items"],
    ["POST", "/cancel"],
    ["DELETE", ""],
  ] as const)
    expect((await ask(world, method, id + below, yours)).status).toBe(404);
  expect(bodyOf(await create(world, { previous_response_id: id }, yours))).toMatchObject([
    404,
    { error: { code: "previous_response_not_found" } },
  ]);
  expect(all.flatMap(({ asked }) => asked)).toHaveLength(before);
  expect((await create(world, { previous_response_id: id }, mine)).status).toBe(200);
  expect((await ask(world, "GET", id, {})).status).toBe(404);
  expect(await world.leftovers()).toEqual({});
});

test("a body too large to be parsed is routed by its previous response as well", async () => {
  await using world = open();
  const all = await keepers(world, "a", "b");
  const made = [idOf(await create(world)), idOf(await create(world))];
  for (const { backend, name } of all) backend.respond = () => json({ by: name });
  for (const id of made) {
    const more = { input: "x".repeat(9 * 1024 * 1024), previous_response_id: id };
    expect(bodyOf(await create(world, more))).toEqual([200, { by: id[5] }]);
  }
  expect(await world.leftovers()).toEqual({});
});

test("without a key there is no answer", async () => {
  await using world = open();
  await keepers(world, "a");
  for (const method of ["GET", "DELETE"]) expect((await ask(world, method, "resp_x", {})).status).toBe(401);
  expect(await world.leftovers()).toEqual({});
});
