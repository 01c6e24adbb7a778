// A person's key from its making to its end, and what it may do meanwhile.
import { expect, test } from "bun:test";
import type { NewKey } from "../../../src/broker/people/key-shape.ts";
import { changeLimits, parseLimit } from "../../../src/broker/people/limit.ts";
import { chatJson, chatStream, cut } from "../../kit/backend/backend.ts";
import { peopledWorld } from "../../kit/broker/people.ts";
import { Gate } from "../../kit/time/gate.ts";

const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } });
const limits = (...texts: string[]): NewKey["limits"] =>
  Object.fromEntries(changeLimits([], texts.map(parseLimit)).map(({ name, max, kind }) => [name, { max, kind }]));
const codeOf = async (response: Response): Promise<[number, string | undefined]> => {
  const body = (await response.json()) as { error?: { code?: string } };
  return [response.status, body.error?.code];
};

test("a key opens what its scopes name, by every header that carries a key", async () => {
  await using on = await peopledWorld();
  const { world, key } = on;
  const { backend } = await world.worker();
  backend.respond = chatJson("hello");
  const alice = await key({ name: "alice", scopes: ["llm"] });
  for (const headers of [
    { authorization: `Bearer ${alice}` },
    { authorization: "", "x-api-key": alice },
    { authorization: "", "api-key": alice },
  ])
    expect((await world.chat({}, { headers })).status).toBe(200);
  const jobs = await fetch(`${world.origin}/api/jobs`, bearer(alice));
  expect(await jobs.json()).toMatchObject({ error: "forbidden" });
  expect(jobs.status).toBe(403);
  expect(await codeOf(await fetch(`${world.origin}/api/admin/keys`, bearer(alice)))).toEqual([403, "forbidden"]);
  expect((await world.chat({}, bearer(alice.slice(0, -1)))).status).toBe(401);
  expect(await world.leftovers()).toEqual({});
});

test("a model that the key may not use is not there: in lists, alone and in requests", async () => {
  await using on = await peopledWorld();
  const { world, key } = on;
  const { backend } = await world.worker({ models: ["qwen3", "llama3"] });
  backend.respond = chatJson("hello");
  const alice = bearer(await key({ name: "alice", models: ["qwen*"] }));
  const list = (await (await fetch(`${world.url}/models`, alice)).json()) as { data: { id: string }[] };
  expect(list.data.map(({ id }) => id)).toEqual(["qwen3"]);
  expect((await fetch(`${world.url}/models/qwen3`, alice)).status).toBe(200);
  expect((await fetch(`${world.url}/models/llama3`, alice)).status).toBe(404);
  expect((await world.chat({ model: "qwen3" }, alice)).status).toBe(200);
  const hidden = await world.chat({ model: "llama3" }, alice);
  expect(await codeOf(hidden)).toEqual([404, "model_not_found"]);
  const tags = await fetch(`${world.origin}/api/llm/ollama/api/tags`, alice);
  expect(await tags.text()).not.toContain("llama3");
});

test("a limit for requests answers 429 with the time until the next one", async () => {
  await using on = await peopledWorld();
  const { world, key } = on;
  const { backend } = await world.worker();
  backend.respond = chatJson("hello");
  const alice = bearer(await key({ name: "alice", limits: limits("requests/min=2") }));
  for (let n = 0; n < 2; n++) await (await world.chat({}, alice)).text();
  const refused = await world.chat({}, alice);
  expect(await codeOf(refused)).toEqual([429, "rate_limit_exceeded"]);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(50);
  // Others are not slowed down.
  expect((await world.chat()).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("each response to a key with limits per minute says what is left of them, as OpenAI's API does", async () => {
  await using on = await peopledWorld();
  const { world, key } = on;
  const { backend } = await world.worker();
  backend.respond = chatJson("hello");
  const rates = ({ headers }: Response) => Object.fromEntries([...headers].filter(([name]) => /ratelimit/.test(name)));
  const rated = bearer(await key({ name: "rated", limits: limits("requests/min=2", "tokens/min=10k") }));
  const first = await world.chat({}, rated);
  await first.text();
  expect(rates(first)).toEqual({
    "x-ratelimit-limit-requests": "2",
    "x-ratelimit-remaining-requests": "1",
    "x-ratelimit-reset-requests": expect.stringMatching(/^(?:59s|1m0s)$/),
    "x-ratelimit-limit-tokens": "10000",
    "x-ratelimit-remaining-tokens": expect.stringMatching(/^9\d{3}$/),
    "x-ratelimit-reset-tokens": expect.stringMatching(/^(?:0s|59s|1m0s)$/),
  });
  backend.respond = chatStream(["one ", "two "]);
  const stream = await world.chat({ stream: true }, rated);
  await stream.text();
  expect(stream.headers.get("x-ratelimit-remaining-requests")).toBe("0");
  const refused = await world.chat({}, rated);
  expect([refused.status, refused.headers.get("x-ratelimit-remaining-requests")]).toEqual([429, "0"]);
  // Those of other routes too, of keys without such a limit and of the configuration's key none.
  expect((await fetch(`${world.origin}/api/me`, rated)).headers.get("x-ratelimit-limit-requests")).toBe("2");
  const daily = bearer(await key({ name: "daily", limits: limits("tokens/day=10k") }));
  for (const init of [daily, {}]) expect(rates(await world.chat({}, init))).toEqual({});
  expect(await world.leftovers()).toEqual({});
});

test("a quota of tokens: what a response took counts, and SDKs are told not to try again", async () => {
  await using on = await peopledWorld();
  const { world, key, people } = on;
  const { backend } = await world.worker();
  backend.respond = chatJson("hello");
  const alice = bearer(await key({ name: "alice", limits: limits("tokens/day=10k") }));
  await (await world.chat({}, alice)).text();
  await on.world.leftovers();
  const used = people.keys.get("alice").meter.use(people.keys.get("alice").record.limits, Date.now())[0]?.used ?? 0;
  expect(used).toBeGreaterThan(0);
  await people.keys.set("alice", { limits: { "tokens/day": { max: used, kind: "hard" } } }, "test");
  const refused = await world.chat({}, alice);
  expect(await codeOf(refused)).toEqual([429, "insufficient_quota"]);
  expect(refused.headers.get("x-should-retry")).toBe("false");
});

test("what is open with a key ends when it is revoked: a stream with an error, a request that waits with 401", async () => {
  await using on = await peopledWorld();
  const { world, key, people } = on;
  const gate = new Gate();
  const { backend } = await world.worker({ maxConcurrency: 1 });
  backend.respond = async (request, recorded) => {
    const response = await chatStream(["one ", "two "])(request, recorded);
    const [first = ""] = (await response.text()).split("\n\n");
    const headers = { "content-type": "text/event-stream" };
    return cut(`${first}\n\n`, { gate, headers })(request, recorded);
  };
  const alice = bearer(await key({ name: "alice" }));
  const stream = await world.chat({ stream: true }, alice);
  const waiting = world.chat({}, alice);
  await world.when(() => world.pool.waiting === 1, "the second request waits");
  await people.keys.revoke("alice", "test");
  expect(await stream.text()).toContain('"unauthorized"');
  expect((await waiting).status).toBe(401);
  expect((await world.chat({}, alice)).status).toBe(401);
  expect(await world.leftovers()).toEqual({});
});

test("an event stream and a transfer end with their key", async () => {
  await using on = await peopledWorld();
  const { world, key, people } = on;
  const alice = bearer(await key({ name: "alice", scopes: ["state", "transfer"] }));
  const state = await fetch(`${world.origin}/api/state/stream`, alice);
  const made = (await (await fetch(`${world.origin}/api/transfer`, { method: "POST", ...alice })).json()) as {
    channel_id: string;
  };
  const reader = fetch(`${world.origin}/api/transfer/${made.channel_id}`, alice);
  await world.when(() => world.broker.drain.inflight > 0, "the reader is there");
  await people.keys.set("alice", { scopes: ["llm"] }, "test");
  expect(await state.text()).toContain("event: error");
  expect((await reader).status).not.toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("an app key names the person behind each request; another key does not", async () => {
  await using on = await peopledWorld();
  const { world, key, people } = on;
  const { backend } = await world.worker();
  backend.respond = chatJson("hello");
  const app = await key({ name: "webui", app: true });
  const plain = await key({ name: "plain" });
  const as = (secret: string, user: string) => ({
    headers: { authorization: `Bearer ${secret}`, "x-openwebui-user-id": user },
  });
  await (await world.chat({}, as(app, "ann"))).text();
  await (await world.chat({}, as(app, "bob"))).text();
  await (await world.chat({ user: "cyd" }, bearer(app))).text();
  await (await world.chat({}, as(plain, "ann"))).text();
  await world.leftovers();
  const sums = await people.ledger.usage({ by: ["person"], since: 0, until: Number.MAX_SAFE_INTEGER });
  expect(sums.map(({ person, requests }) => [person, requests]).sort()).toEqual([
    ["plain", 1],
    ["webui/ann", 1],
    ["webui/bob", 1],
    ["webui/cyd", 1],
  ]);
});

test("the ledger says what the access log says", async () => {
  await using on = await peopledWorld();
  const { world, key, people } = on;
  const { backend } = await world.worker();
  backend.respond = chatJson("hello");
  const keys = await Promise.all(["ann", "bob"].map(name => key({ name })));
  for (const secret of keys) for (let n = 0; n < 3; n++) await (await world.chat({}, bearer(secret))).text();
  await (await world.chat()).text();
  await (await world.chat({ model: "nobody-has-it" }, bearer(keys[0] ?? ""))).text();
  await world.leftovers();
  const lines = world.logs.filter(
    ({ message, fields }) => message === "request ended" && fields["job_type"] === "llm.completion",
  );
  const sumOf = (name: string) => lines.reduce((sum, { fields }) => sum + Number(fields[name] ?? 0), 0);
  const [sum] = await people.ledger.usage({ by: [], since: 0, until: Number.MAX_SAFE_INTEGER });
  expect([sum?.requests, sum?.tokens_in, sum?.tokens_out, sum?.bytes_in, sum?.bytes_out]).toEqual([
    lines.length,
    sumOf("tokens_in"),
    sumOf("tokens_out"),
    sumOf("bytes_in"),
    sumOf("bytes_out"),
  ]);
  expect(sum?.requests).toBe(8);
});

test("a model that nobody serves leaves no name in the ledger", async () => {
  await using on = await peopledWorld();
  const { world, key, people } = on;
  const { backend } = await world.worker();
  backend.respond = chatJson("hello");
  const ann = bearer(await key({ name: "ann" }));
  for (let n = 0; n < 3; n++) await (await world.chat({ model: `invented-${n}` }, ann)).text();
  await (await world.chat({}, ann)).text();
  await world.leftovers();
  const sums = await people.ledger.usage({ by: ["model"], since: 0, until: Number.MAX_SAFE_INTEGER });
  expect(sums.map(({ model, requests }) => [model, requests]).sort()).toEqual([
    ["", 3],
    ["test-model", 1],
  ]);
});
