import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  CLAIM_TYPES_MAX,
  JOB_ERROR_MAX,
  JOB_JSON_BYTES,
  JOB_JSON_LEVELS,
  JOB_NAME_MAX,
} from "../../../src/broker/jobs/limits.ts";
import { JobsApi } from "../../kit/jobs/jobs.ts";
import { API_KEY, CLIENT_KEY, World } from "../../kit/world.ts";

let world: World;
let jobs: JobsApi;

beforeAll(() => {
  world = new World();
  jobs = new JobsApi(world.origin);
});
afterAll(() => world.stop());

const text = (length: number): string => "x".repeat(length);
/** Lists in lists. */
const nest = (levels: number): unknown => JSON.parse("[".repeat(levels) + "]".repeat(levels));
const types = (count: number): string[] => Array.from({ length: count }, (_, n) => `type-${n}`);

describe("creating", () => {
  test.each<[string, unknown, number, string]>([
    ["nothing", "", 400, "invalid_request"],
    ["no JSON", "{type:", 400, "invalid_request"],
    ["a list", [], 400, "invalid_request"],
    ["no type", {}, 400, "missing_type"],
    ["an empty type", { type: " \t" }, 400, "missing_type"],
    ["no type but null", { type: null }, 400, "missing_type"],
    ["a number as type", { type: 5 }, 400, "invalid_request"],
    ["a long type", { type: text(JOB_NAME_MAX + 1) }, 400, "invalid_request"],
    ["a long worker id", { type: "t", worker_id: text(JOB_NAME_MAX + 1) }, 400, "invalid_request"],
    ["metadata that is a list", { type: "t", metadata: [1] }, 400, "invalid_request"],
    ["metadata that is a text", { type: "t", metadata: "x" }, 400, "invalid_request"],
    ["a high priority", { type: "t", priority: 10 }, 400, "invalid_request"],
    ["a low priority", { type: "t", priority: -1 }, 400, "invalid_request"],
    ["half a priority", { type: "t", priority: 0.5 }, 400, "invalid_request"],
    ["much metadata", { type: "t", metadata: { text: text(JOB_JSON_BYTES) } }, 413, "too_large"],
    ["a nest too deep by one", { type: "t", metadata: { a: nest(JOB_JSON_LEVELS) } }, 400, "invalid_request"],
    [
      "a very deep nest",
      `{"type":"t","metadata":{"a":${"[".repeat(250_000)}${"]".repeat(250_000)}}}`,
      400,
      "invalid_request",
    ],
    ["10 MB of metadata", { type: "t", metadata: { text: text(10_000_000) } }, 413, "too_large"],
  ])("with %s", async (_what, body, status, error) => {
    const answer = await jobs.send(API_KEY, "POST", "", body);
    expect([answer.status, answer.body]).toEqual([status, { error, message: expect.any(String) }]);
  });

  test("what is unknown is passed over, null is nothing, and names are trimmed", async () => {
    const id = await jobs.created({
      type: " t ",
      worker_id: " w ",
      worker_group: null,
      metadata: null,
      priority: null,
      later: true,
    });
    expect((await jobs.get(id)).body).toMatchObject({ type: "t", worker_id: "w" });
  });

  test("with as many levels as may be", async () => {
    const metadata = { a: nest(JOB_JSON_LEVELS - 1) };
    const id = await jobs.created({ type: "levels", metadata });
    expect((await jobs.get(id)).body.metadata).toEqual(metadata);
  });

  test("metadata comes back as it was, whatever its names", async () => {
    const metadata = JSON.parse('{"__proto__":{"a":1},"constructor":"☃","n":1.5e300,"deep":[[[{"x":null}]]]}');
    const id = await jobs.created({ type: "metadata", metadata });
    expect((await jobs.get(id)).body.metadata).toEqual(metadata);
    expect((await jobs.claimed({ types: ["metadata"] })).metadata).toEqual(metadata);
  });

  test("an Idempotency-Key of another request, of nothing, and a long one", async () => {
    const create = (type: string, key: string) => jobs.create({ type }, { headers: { "idempotency-key": key } });
    const first = await create("t", "key-1");
    const again = await create("t", "key-1");
    expect(again.body).toEqual(first.body);
    expect([first.headers.get("idempotent-replayed"), again.headers.get("idempotent-replayed")]).toEqual([
      null,
      "true",
    ]);
    const other = await create("u", "key-1");
    expect([other.status, other.body.error]).toEqual([409, "idempotency_conflict"]);
    const long = await create("t", text(256));
    expect([long.status, long.body.error]).toEqual([400, "invalid_request"]);
  });
});

describe("claiming", () => {
  test.each<[string, unknown]>([
    ["no JSON", "{"],
    ["10,000 types", { types: types(10_000) }],
    ["one type too many", { types: types(CLAIM_TYPES_MAX + 1) }],
    ["types that are no list", { types: "t" }],
    ["a type that is no text", { types: [1] }],
    ["a wait that is a text", { max_wait_seconds: "3" }],
    ["no lease", { lease_seconds: 0 }],
    ["an endless lease", { lease_seconds: 1e9 }],
    ["a worker id that is a number", { worker_id: 17 }],
  ])("with %s", async (_what, body) => {
    const answer = await jobs.send(CLIENT_KEY, "POST", "/claim", body);
    expect([answer.status, answer.body]).toEqual([400, { error: "invalid_request", message: expect.any(String) }]);
  });

  test("a stream with too many types, or a lease that is none", async () => {
    for (const query of [`types=${types(CLAIM_TYPES_MAX + 1)}`, "lease_seconds=soon", `worker_id=${text(300)}`]) {
      const answer = await jobs.send(CLIENT_KEY, "GET", `/stream?${query}`);
      expect([answer.status, answer.body]).toMatchObject([400, { error: "invalid_request" }]);
    }
  });

  test("without a body, with a negative wait, with as many types as may be", async () => {
    await jobs.created({ type: "type-7" });
    const wanted = { types: types(CLAIM_TYPES_MAX), max_wait_seconds: -5 };
    expect((await jobs.claim(wanted)).body.type).toBe("type-7");
    expect((await jobs.claim(wanted)).status).toBe(204);
    const bare = await jobs.send(CLIENT_KEY, "POST", "/claim", "");
    expect([200, 204]).toContain(bare.status);
  });
});

describe("a job at work", () => {
  const mine = { worker_id: "mine" };

  /** A job that a worker has. */
  async function atWork(fields = {}): Promise<{ id: string; claim: string }> {
    const type = crypto.randomUUID();
    const id = await jobs.created({ type, ...fields });
    const { claim_id } = await jobs.claimed({ types: [type], ...mine });
    return { id, claim: claim_id };
  }

  test("states that are none, or missing", async () => {
    const { id } = await atWork();
    for (const [body, error] of [
      [{ state: "bogus" }, "invalid_state"],
      [{ state: "COMPLETED" }, "invalid_state"],
      [{ state: " " }, "missing_state"],
      [{}, "missing_state"],
      [{ state: 5 }, "invalid_request"],
      [{ state: "running", progress: [1] }, "invalid_request"],
      [{ state: "failed", error: "text" }, "invalid_request"],
      ["", "invalid_request"],
      ["{", "invalid_request"],
    ] as const) {
      const answer = await jobs.send(CLIENT_KEY, "POST", `/${id}/status`, body);
      expect([answer.status, answer.body]).toEqual([400, { error, message: expect.any(String) }]);
    }
    expect((await jobs.get(id)).body.status).toBe("claimed");
  });

  test("too much progress is refused, a long error is cut, properties have bounds", async () => {
    const { id } = await atWork();
    const much = { text: text(JOB_JSON_BYTES) };
    const refused = { status: 413, body: { error: "too_large" } };
    expect(await jobs.status(id, "running", { ...mine, progress: much })).toMatchObject(refused);
    expect(await jobs.payload(id, { ...mine, properties: much })).toMatchObject(refused);
    for (let n = 0; n < 4; n++) {
      const properties = { text: text(JOB_JSON_BYTES - 100) };
      expect((await jobs.payload(id, { ...mine, key: `k${n}`, properties })).status).toBe(200);
    }
    expect(await jobs.payload(id, { ...mine, key: "k5", properties: { text: text(1000) } })).toMatchObject(refused);
    expect((await jobs.payload(id, { key: text(JOB_NAME_MAX + 1) })).status).toBe(400);
    expect((await jobs.payload(id, { properties: [1] })).status).toBe(400);
    const message = text(JOB_ERROR_MAX + 100);
    expect((await jobs.status(id, "failed", { ...mine, error: { code: "c", message } })).status).toBe(200);
    expect((await jobs.get(id)).body.error).toEqual({ code: "c", message: text(JOB_ERROR_MAX) });
  });

  test("keys: their own words when none is given, an empty one, the same one again", async () => {
    const { id } = await atWork();
    expect((await jobs.payload(id, mine)).body.key).toBe("payload");
    expect((await jobs.result(id, { ...mine, key: null })).body.key).toBe("result");
    const empty = await jobs.payload(id, { ...mine, key: "" });
    expect(empty.body.key).toBe("");
    const again = await jobs.payload(id, { ...mine, key: "" });
    expect(again.body.channel_id).not.toBe(empty.body.channel_id);
    const { body } = await jobs.get(id);
    expect(Object.keys(body.payloads ?? {}).sort()).toEqual(["", "payload"]);
    expect(body.payloads?.[""]?.channel_id).toBe(again.body.channel_id);
    expect(Object.keys(body.results ?? {})).toEqual(["result"]);
    // The channel that nobody needs any more is closed.
    const old = await fetch(`${world.origin}${empty.body.reader_url}`, {
      headers: { authorization: `Bearer ${CLIENT_KEY}` },
    });
    expect([old.status, await old.json()]).toMatchObject([410, { error: "transfer_closed" }]);
  });

  test("somebody else's claim, a job that nobody has, and one that has ended", async () => {
    const refused = { status: 409, body: { error: "invalid_state" } };
    const queued = await jobs.created({ type: "queued" });
    const ended = await atWork();
    await jobs.status(ended.id, "completed", mine);
    for (const id of [queued, ended.id]) {
      expect(await jobs.status(id, "running")).toMatchObject(refused);
      expect(await jobs.payload(id)).toMatchObject(refused);
      expect(await jobs.result(id)).toMatchObject(refused);
      expect(await jobs.heartbeat(id)).toMatchObject(refused);
    }
    const { id, claim } = await atWork();
    for (const foreign of [{}, { worker_id: "theirs" }, { claim_id: crypto.randomUUID() }]) {
      expect(await jobs.status(id, "completed", foreign)).toMatchObject(refused);
      expect(await jobs.payload(id, foreign)).toMatchObject(refused);
      expect(await jobs.result(id, foreign)).toMatchObject(refused);
      expect(await jobs.heartbeat(id, foreign)).toMatchObject(refused);
    }
    expect(await jobs.heartbeat(id, { worker_id: "mine" })).toMatchObject({ status: 200, body: { status: "claimed" } });
    expect((await jobs.status(id, "completed", { claim_id: claim, worker_id: "mine" })).status).toBe(200);
  });

  test("nobody's id", async () => {
    const none = { status: 404, body: { error: "not_found" } };
    for (const id of ["nobody", crypto.randomUUID(), "%00", text(2000)]) {
      expect(await jobs.get(id)).toMatchObject(none);
      expect(await jobs.cancel(id)).toMatchObject(none);
      expect(await jobs.status(id, "running")).toMatchObject(none);
      expect(await jobs.payload(id)).toMatchObject(none);
      expect(await jobs.result(id)).toMatchObject(none);
      expect(await jobs.heartbeat(id)).toMatchObject(none);
      expect((await jobs.events(id)).status).toBe(404);
    }
  });
});

describe("listing", () => {
  test("by status, type and number; words that are none are refused", async () => {
    const type = crypto.randomUUID();
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) ids.unshift(await jobs.created({ type }));
    await jobs.cancel(ids[1] ?? "");
    const listed = async (query: string): Promise<string[]> => (await jobs.list(query)).body.jobs.map(({ id }) => id);
    expect(await listed(`?type=${type}`)).toEqual(ids);
    expect(await listed(`?type=${type}&limit=2`)).toEqual(ids.slice(0, 2));
    expect(await listed(`?type=${type}&status=canceled`)).toEqual(ids.slice(1, 2));
    expect(await listed(`?type=${type}&status=queued,canceled&status=running`)).toEqual(ids);
    for (const query of ["?status=bogus", "?limit=0", "?limit=x", "?limit=1.5"]) {
      expect(await jobs.list(query)).toMatchObject({ status: 400, body: { error: "invalid_request" } });
    }
    expect((await jobs.list("?limit=1000000")).status).toBe(200);
  });
});

describe("keys", () => {
  test("each route asks for its own", async () => {
    const id = await jobs.created();
    const routes: [string, string, string][] = [
      [API_KEY, "POST", ""],
      [API_KEY, "GET", ""],
      [API_KEY, "GET", `/${id}`],
      [API_KEY, "GET", `/${id}/events`],
      [API_KEY, "POST", `/${id}/cancel`],
      [CLIENT_KEY, "POST", "/claim"],
      [CLIENT_KEY, "GET", "/stream"],
      [CLIENT_KEY, "POST", `/${id}/payload`],
      [CLIENT_KEY, "POST", `/${id}/result`],
      [CLIENT_KEY, "POST", `/${id}/status`],
      [CLIENT_KEY, "POST", `/${id}/heartbeat`],
    ];
    for (const [right, method, path] of routes) {
      for (const key of ["wrong", right === API_KEY ? CLIENT_KEY : API_KEY]) {
        const answer = await jobs.send(key, method, path, method === "POST" ? {} : undefined);
        // After ten wrong keys the same address is told to wait.
        const word = answer.status === 429 ? "too_many_attempts" : "unauthorized";
        expect([401, 429]).toContain(answer.status);
        expect([method, path, answer.body]).toMatchObject([method, path, { error: word }]);
      }
    }
    expect((await jobs.get(id)).body.status).toBe("queued");
  });
});
