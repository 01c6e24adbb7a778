// What a module may be and return: everything else is refused before anybody is served.
import { describe, expect, test } from "bun:test";
import { builtIn } from "../../../cmd/modules.ts";
import { ownRoutes, serveModules } from "../../../src/broker/modules.ts";
import { BrokerMetrics } from "../../../src/broker/observe/metrics.ts";
import { defaultsOf, options } from "../../../src/config/group.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { defineModule } from "../../../src/modules/define.ts";
import { LOOK_MS, type Served, type WorkerModule } from "../../../src/modules/module.ts";
import type { ModuleRoute } from "../../../src/modules/route.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { eventually } from "../../kit/time/until.ts";

const clock = new TestClock();
const route: ModuleRoute = {
  method: "GET",
  path: "/api/mine/greeting",
  tag: "mine",
  auth: "api",
  errors: "plain",
  operation: { summary: "Greet", responses: { 200: { description: "A greeting." } } },
  answer: () => new Response(),
};
const endpoint: WorkerModule["endpoints"][number] = {
  method: "POST",
  path: "/v1/work",
  backendPath: "/work",
  jobType: "mine.work",
  label: "none",
  events: false,
  operation: { summary: "Work", responses: {} },
};
const worker: WorkerModule = {
  id: "mine",
  summary: "Works.",
  listsModels: false,
  errors: "plain",
  endpoints: [endpoint],
};
const pool = {
  queueSize: 1,
  queueTimeoutMs: 1,
  queueUpdateMs: 0,
  graceMs: 1,
  minScore: 0,
  maxParallel: 1,
  maxSlotExempt: 1,
  maxSlots: Number.POSITIVE_INFINITY,
};

/** What JavaScript hands over where TypeScript would have said no. */
const loose = <T>(value: unknown): T => value as T;
const group = options("Module mine", {});
const log = silentLog;

function served(what: unknown) {
  const module = defineModule({ id: "mine", summary: "x", options: group, serve: () => loose<Served>(what) });
  const metrics = new BrokerMetrics({ clock, served: model => model, isConnected: () => true });
  return serveModules([{ ...module.configure({}), file: "/srv/mine.ts" }], { log, clock, metrics });
}

const withRoute = (change: object) => ({ routes: [{ ...route, ...change }] });
const withWorker = (change: object) => ({ pool, worker: { ...worker, ...change } });
const withEndpoint = (change: object) => withWorker({ endpoints: [endpoint, { ...endpoint, ...change }] });

describe("what serve returns", () => {
  test("is taken when it is right", () => {
    const what = { ...withWorker({}), routes: [route], state: () => 1 };
    expect(served(what).all[0]?.served).toBe(loose<Served>(what));
    expect(served({}).all).toHaveLength(1);
  });

  test("is right of the built-in modules", () => {
    const metrics = new BrokerMetrics({ clock, served: model => model, isConnected: () => true });
    const configured = builtIn.map(module => module.configure(defaultsOf(module.options)));
    expect(serveModules(configured, { log, clock, metrics }).all).toHaveLength(builtIn.length);
  });

  const wrong: [name: string, what: unknown, problem: RegExp][] = [
    ["nothing", undefined, /`serve` returns nothing/],
    ["a promise", Promise.resolve({}), /`serve` returns a promise/],
    ["an unknown part", { route: [] }, /Unrecognized key: "route"/],
    ["a route without auth", withRoute({ auth: undefined }), /`routes\[0\]\.auth`: .*"none"\|"api"/],
    ["a route with another auth", withRoute({ auth: "API" }), /`routes\[0\]\.auth`/],
    ["a route of a relay's auth", withRoute({ auth: "relay" }), /`routes\[0\]\.auth`/],
    ["a route with scopes of its own", withRoute({ scopes: [] }), /`routes\[0\]`: Unrecognized key: "scopes"/],
    ["a method in lower case", withRoute({ method: "get" }), /`routes\[0\]\.method`/],
    ["a path without a slash", withRoute({ path: "api/mine" }), /`routes\[0\]\.path`: a path must begin with \//],
    [
      "a star within a path",
      withRoute({ path: "/api/*a/b" }),
      /`routes\[0\]\.path`: only the last segment can have a star/,
    ],
    ["no tag", withRoute({ tag: "" }), /`routes\[0\]\.tag`/],
    ["an unknown shape of errors", withRoute({ errors: "xml" }), /`routes\[0\]\.errors`/],
    ["an operation that is a text", withRoute({ operation: "Greet" }), /`routes\[0\]\.operation`/],
    ["an operation without answers", withRoute({ operation: { summary: "x" } }), /`routes\[0\]\.operation\.responses`/],
    ["no answer", withRoute({ answer: undefined }), /`routes\[0\]\.answer`: expected a function/],
    ["a worker without a pool", { worker }, /`worker` and `pool` go together/],
    ["a pool without its settings", { worker, pool: {} }, /`pool\.queueSize`: .*`poolSettings`/],
    ["a worker of another id", withWorker({ id: "other" }), /the different id other/],
    ["no word on models", withWorker({ listsModels: undefined }), /`worker\.listsModels`/],
    ["an unknown reach", withWorker({ reach: "all" }), /`worker\.reach`/],
    ["no endpoints", withWorker({ endpoints: undefined }), /`worker\.endpoints`/],
    ["an unknown label", withEndpoint({ label: "model" }), /`worker\.endpoints\[1\]\.label`/],
    ["a backend path without a slash", withEndpoint({ backendPath: "work" }), /`worker\.endpoints\[1\]\.backendPath`/],
    ["no type of jobs", withEndpoint({ jobType: undefined }), /`worker\.endpoints\[1\]\.jobType`/],
    [
      "a header that never passes",
      withEndpoint({ headers: ["cookie"] }),
      /`worker\.endpoints\[1\]\.headers\[0\]`: this header is never forwarded/,
    ],
    ["an unknown field", withEndpoint({ auth: "none" }), /`worker\.endpoints\[1\]`: Unrecognized key: "auth"/],
    ["no operation", withEndpoint({ operation: undefined }), /`worker\.endpoints\[1\]\.operation`/],
    ["a state that is no function", { state: {} }, /`state`: expected a function/],
    ["a view that is no function", { view: "<p>" }, /`view`: expected a function/],
    ["a close that is no function", { close: true }, /`close`: expected a function/],
  ];
  test.each(wrong)("is refused with %s", (_, what, problem) => {
    expect(() => served(what)).toThrow(problem);
    expect(() => served(what)).toThrow("/srv/mine.ts: ");
  });
});

describe("close", () => {
  test("is called once of every module; one that fails or takes too long is logged and holds up nothing", async () => {
    const closed: string[] = [];
    const warnings: object[] = [];
    const hands = new TestClock();
    const closes: Record<string, () => Promise<void>> = {
      fine: async () => void closed.push("fine"),
      throws: () => {
        throw new Error("no connection");
      },
      hangs: () => new Promise(() => {}),
    };
    const modules = Object.entries(closes).map(([id, close]) =>
      defineModule({ id, summary: "x", options: group, serve: () => ({ close }) }).configure({}),
    );
    const { close } = serveModules([...modules, ...builtIn.map(one => one.configure(defaultsOf(one.options)))], {
      log: { ...log, warn: fields => void warnings.push(fields) },
      clock: hands,
      metrics: new BrokerMetrics({ clock: hands, served: model => model, isConnected: () => true }),
    });
    let over = false;
    const closing = close().then(() => {
      over = true;
    });
    await eventually(() => warnings.length === 1, "the module that throws");
    expect(closed).toEqual(["fine"]);
    expect(over).toBe(false);
    hands.advance(5_000);
    await closing;
    await close();
    expect(closed).toEqual(["fine"]);
    expect(warnings).toEqual([
      { plugin: "throws", cause: "no connection" },
      { plugin: "hangs", waited_ms: 5_000 },
    ]);
  });
});

describe("a route whose place is taken names the file", () => {
  const taken = (mine: readonly string[], others: readonly Partial<ModuleRoute>[] = []) =>
    ownRoutes(
      served({ routes: mine.map(path => ({ ...route, path })) }).all,
      others.map(other => ({ ...route, tag: "state", ...other })),
    );

  test("with a slash at the end, another name of a segment, or twice in one module", () => {
    const there = "/srv/mine.ts: the route GET /api/mine already exists";
    expect(() => taken(["/api/mine"], [{ path: "/api/mine/" }])).toThrow(there);
    expect(() => taken(["/api/mine/:a", "/api/mine/:a"])).toThrow("the route GET /api/mine/:a already exists");
    expect(() => taken(["/api/mine/:a", "/api/mine/:b"])).toThrow("names the parameter :b, another route names it :a");
    expect(() => taken(["/api/mine/:a", "/api/mine/:b/c"])).toThrow(
      "names the parameter :b, another route names it :a",
    );
    expect(() => taken(["/a/*one", "/a/*two"])).toThrow("/srv/mine.ts: the route GET /a/* already exists");
  });

  test("also one of its own workers", () => {
    const list = { path: "/api/mine/v1/models", tag: "mine" };
    expect(() => taken([], [list, list])).toThrow("/srv/mine.ts: the route GET /api/mine/v1/models already exists");
  });

  test("and other places are free", () => {
    const free = ["/api/mine/:a", "/api/mine/:a/c", "/api/mine/b", "/api/mine/*rest", "/"];
    expect(taken(free, [{ path: "/api/mine/" }, { path: "/api/mine/:a", method: "POST" }])).toHaveLength(free.length);
  });
});

describe("a module", () => {
  const made = (change: object) => () =>
    defineModule({ id: "mine", summary: "x", options: group, ...change } as Parameters<typeof defineModule>[0]);
  const wrong: [name: string, change: object, problem: RegExp][] = [
    ["without an id", { id: undefined }, /invalid module id/],
    ["without a summary", { summary: undefined }, /`summary` must be a string/],
    ["with plain options", { options: {} }, /`options` with options\(/],
    ["with an unknown part", { routes: [] }, /unknown module field `routes`/],
    ["with a serve that is no function", { serve: {} }, /`serve` must be a function/],
    ["with an agent without options", { agent: { backend: () => ({}) } }, /agent's `options` with/],
    ["with an agent without a backend", { agent: { options: group } }, /`backend` must be a function/],
  ];
  test.each(wrong)("%s is refused", (_, change, problem) => expect(made(change)).toThrow(problem));
});

describe("a backend", () => {
  const minimal = { baseUrl: "http://127.0.0.1:1/v1", probe: async () => ({ models: ["a"] }) };
  const backend = (change: unknown) =>
    defineModule({
      id: "mine",
      summary: "x",
      options: group,
      agent: { options: group, backend: () => loose(change) },
    }).agent?.backend({});

  test("needs an address and a probe; the rest has defaults", async () => {
    const made = backend(minimal);
    expect(made).toMatchObject({ baseUrl: minimal.baseUrl, apiKey: undefined, pollMs: LOOK_MS, facts: {} });
    expect(await made?.probe(async () => "")).toEqual({ models: ["a"], facts: {} });
  });

  const wrong: [name: string, what: unknown, problem: RegExp][] = [
    ["nothing", undefined, /`backend` returns nothing/],
    ["a promise", Promise.resolve(minimal), /`backend` returns a promise/],
    ["no address", { ...minimal, baseUrl: undefined }, /`baseUrl`/],
    ["a trailing slash", { ...minimal, baseUrl: "http://a/" }, /`baseUrl`: .*without a trailing slash/],
    ["no probe", { ...minimal, probe: undefined }, /`probe` must be a function/],
    ["a text for a number", { ...minimal, pollMs: "1s" }, /`pollMs`/],
    ["no pause between looks", { ...minimal, pollMs: 0 }, /`pollMs`/],
    ["a number for a key", { ...minimal, apiKey: 1 }, /`apiKey`/],
    ["an unknown field", { ...minimal, url: "x" }, /Unrecognized key: "url"/],
  ];
  test.each(wrong)("is refused with %s", (_, what, problem) => expect(() => backend(what)).toThrow(problem));

  test("is not ready when its models are no texts", async () => {
    for (const found of [{}, { models: [1] }, { models: "a" }, undefined, { models: [], facts: { a: 1 } }])
      await expect(backend({ ...minimal, probe: async () => found })?.probe(async () => "")).rejects.toThrow(
        /`probe` returned an invalid value: `(models|facts)/,
      );
  });
});
