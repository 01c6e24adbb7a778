// Routes as they are mounted: the order of a request, their scopes, their paths, their errors.
import { describe, expect, test } from "bun:test";
import { AccessLog } from "../../../../src/broker/http/access-log.ts";
import { type App, type MountOptions, mount } from "../../../../src/broker/http/mount.ts";
import { Drain } from "../../../../src/lib/drain.ts";
import { NfrxError } from "../../../../src/lib/errors.ts";
import { systemClock } from "../../../../src/lib/time.ts";
import type { Route } from "../../../../src/modules/route.ts";
import { authenticator } from "../../../kit/broker/principal.ts";

interface Given {
  readonly admin?: string;
  readonly open?: boolean;
  readonly more?: Partial<MountOptions>;
}

function app(routes: readonly Partial<Route>[], { admin, open, more }: Given = {}) {
  const seen = { unhandled: 0, logged: 0 };
  const log = (): void => void seen.logged++;
  const keys = open ? {} : { api: "api-key", client: "client-key" };
  const served = mount(
    routes.map(route => ({
      method: "GET",
      path: "/",
      tag: "test",
      scopes: ["public"],
      errors: "openai",
      operation: undefined,
      answer: () => new Response("in"),
      ...route,
    })),
    {
      authenticator: authenticator(admin === undefined ? keys : { ...keys, admin }),
      guard: { check: () => {} },
      drain: new Drain(),
      clock: systemClock,
      server: () => ({ requestIP: () => ({ address: "203.0.113.1" }), timeout: () => {} }),
      access: new AccessLog({
        log: { debug() {}, info() {}, warn() {}, error: log, fatal: log },
        clock: systemClock,
        enabled: true,
      }),
      metrics: { refused: () => {}, unhandled: () => void seen.unhandled++ },
      ...more,
    },
  );
  return { served, seen };
}

async function ask(served: App, path: string, key?: string, method = "GET"): Promise<Response> {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  return served.fetch(new Request(`http://broker.example${path}`, { method, headers }));
}

describe("the scopes", () => {
  test.each([
    [["public"], [200, 200, 200, 200]],
    [["llm"], [401, 200, 401, 401]],
    [["client"], [401, 401, 200, 401]],
    [
      ["transfer", "client"],
      [401, 200, 200, 401],
    ],
    [
      ["state", "admin"],
      [401, 200, 401, 200],
    ],
    [["admin"], [401, 401, 401, 200]],
  ] as const)("%s", async (scopes, statuses) => {
    let calls = 0;
    const answer = (): Response => new Response(`call ${++calls}`);
    const { served } = app([{ scopes, answer }], { admin: "admin-key" });
    const keys = [undefined, "api-key", "client-key", "admin-key"];
    expect(await Promise.all(keys.map(async key => (await ask(served, "/", key)).status))).toEqual([...statuses]);
    expect(calls).toBe(statuses.filter(status => status === 200).length);
  });

  test("a route without one does not mount", () => {
    expect(() => app([{ scopes: [] }])).toThrow("route GET / declares no scope");
  });

  test("without ADMIN_KEY administration is shut, whatever key is brought", async () => {
    for (const admin of [undefined, ""]) {
      const { served } = app([{ scopes: ["admin"] }], admin === undefined ? {} : { admin });
      for (const key of [undefined, "", "undefined", "api-key"]) {
        const answer = await ask(served, "/", key);
        expect(answer.status).toBe(403);
        expect(await answer.json()).toMatchObject({ error: { code: "forbidden", type: "permission_error" } });
      }
    }
  });

  test("the admin key counts in each header that carries keys", async () => {
    const { served } = app([{ scopes: ["admin"] }], { admin: "admin-key" });
    const asked = (headers: Record<string, string>) => served.fetch(new Request("http://broker.example/", { headers }));
    expect((await asked({ "x-api-key": "admin-key" })).status).toBe(200);
    expect((await asked({ "api-key": "admin-key" })).status).toBe(200);
    const refused = await asked({ "x-api-key": "api-key" });
    expect([refused.status, refused.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
  });
});

describe("the order", () => {
  /** Each step that is taken, and each that fails when it is its turn. */
  function steps(failing?: string) {
    const taken: string[] = [];
    const step = (name: string, error: NfrxError): void => {
      taken.push(name);
      if (name === failing) throw error;
    };
    const drain = new Drain();
    const enter = drain.enter.bind(drain);
    drain.enter = () => {
      step("drain", new NfrxError("draining", "draining"));
      const leave = enter();
      return () => {
        taken.push("end");
        leave();
      };
    };
    const route: Partial<Route> = {
      originGuard: "always",
      errors: "plain",
      drain: "enter",
      requires: () => {
        step("authenticate", new NfrxError("unauthorized", "unauthorized"));
        return { scopes: ["llm"] };
      },
      answer: ({ principal }) => {
        step(`handler for ${principal.kind}`, new NfrxError("overloaded", "overloaded"));
        return new Response("in");
      },
      countRefusal: () => taken.push("error"),
    };
    const guard = { check: () => step("guard", new NfrxError("forbidden", "forbidden")) };
    const { served } = app([route], { more: { guard, drain } });
    return { taken, drain, asked: () => ask(served, "/", "api-key") };
  }

  test("guard, authenticate, drain, handler, end", async () => {
    const { taken, drain, asked } = steps();
    expect((await asked()).status).toBe(200);
    expect(taken).toEqual(["guard", "authenticate", "drain", "handler for api", "end"]);
    expect(drain.inflight).toBe(0);
  });

  test.each([
    ["guard", 403, ["guard", "error"]],
    ["authenticate", 401, ["guard", "authenticate", "error"]],
    ["drain", 503, ["guard", "authenticate", "drain", "error"]],
    ["handler for api", 503, ["guard", "authenticate", "drain", "handler for api", "error", "end"]],
  ] as const)(
    "a request that fails at %s goes no further, and is answered in the route's shape",
    async (step, status, expected) => {
      const { taken, drain, asked } = steps(step);
      const answer = await asked();
      expect([answer.status, taken]).toEqual([status, [...expected]]);
      expect(Object.keys(Object(await answer.json()))).toEqual(["error", "message"]);
      expect(drain.inflight).toBe(0);
    },
  );

  test("a handler whose response goes on ends the request itself", async () => {
    const { promise: body, resolve } = Promise.withResolvers<void>();
    const drain = new Drain();
    const answer: Route["answer"] = ({ access }) => {
      const ended = access.streams();
      void body.then(() => ended());
      return new Response("first");
    };
    const { served } = app([{ drain: "enter", answer }], { more: { drain } });
    expect((await ask(served, "/")).status).toBe(200);
    expect(drain.inflight).toBe(1);
    resolve();
    await body;
    expect(drain.inflight).toBe(0);
  });

  test.each([
    ["enter", false, 200],
    ["enter", true, 503],
    ["join", true, 200],
    ["refuse", false, 200],
    ["refuse", true, 503],
    [undefined, true, 200],
  ] as const)("drain %s, while draining: %s", async (how, draining, status) => {
    const drain = new Drain();
    if (draining) drain.begin();
    const { served } = app([how === undefined ? {} : { drain: how }], { more: { drain } });
    expect((await ask(served, "/")).status).toBe(status);
    expect(drain.inflight).toBe(0);
  });

  test.each([
    ["a route of a broker with keys", {}, false, 200],
    ["a route of an open broker", {}, true, 403],
    ["a route that is always guarded", { originGuard: "always" }, false, 403],
    ["an operators' route of an open broker", { scopes: ["admin"] }, true, 200],
  ] as const)("the guard looks at %s: status %s", async (_, route, open, status) => {
    const guard = {
      check: () => {
        throw new NfrxError("forbidden", "another page");
      },
    };
    const { served } = app([route], { admin: "admin-key", open, more: { guard } });
    expect((await ask(served, "/", "admin-key")).status).toBe(status);
  });

  test("what a worker or a relay sends is not for a browser to run", async () => {
    const { served } = app([{ foreign: true }, { path: "/own" }]);
    const asked = (path: string) =>
      served.fetch(new Request(`http://broker.example${path}`, { headers: { "sec-fetch-dest": "script" } }));
    expect([(await asked("/")).status, (await asked("/own")).status]).toEqual([403, 200]);
  });
});

describe("paths", () => {
  const echo: Route["answer"] = ({ params }) => Response.json(params);

  test.each([
    ["/plain", "/plain", {}],
    ["/one/:id", "/one/a%2Fb", { id: "a/b" }],
    ["/rest/:id/*model", "/rest/x/org/name:7b%20q", { id: "x", model: "org/name:7b q" }],
    ["/rest/*model", "/rest/100%", { model: "100%" }],
  ])("%s is asked as %s", async (path, url, params) => {
    const { served } = app([{ path, answer: echo }]);
    expect(await (await ask(served, url)).json()).toMatchObject(params);
  });

  test("two routes in one place are a mistake that stops the start", () => {
    expect(() => app([{ path: "/a/*x" }, { path: "/a/*y" }])).toThrow("duplicate route GET /a/*");
  });

  test("the same path may be asked in several ways", async () => {
    const { served } = app([{ method: "GET" }, { method: "PUT", answer: () => new Response(null, { status: 204 }) }]);
    expect((await ask(served, "/", undefined, "PUT")).status).toBe(204);
  });

  test("what is no route is a 404 that says so", async () => {
    const { served } = app([]);
    const answer = await ask(served, "/nothing?here");
    expect(answer.status).toBe(404);
    expect(await answer.json()).toMatchObject({ error: { code: "not_found", message: "no route /nothing" } });
  });
});

describe("errors", () => {
  test("one of ours is told, anything else is counted and hidden", async () => {
    const { served, seen } = app([
      {
        path: "/ours",
        answer: () => {
          throw new NfrxError("overloaded", "too many", { retryAfterSeconds: 3 });
        },
      },
      { path: "/theirs", answer: () => Promise.reject(new Error("a secret")) },
    ]);
    const ours = await ask(served, "/ours");
    expect([ours.status, ours.headers.get("retry-after")]).toEqual([503, "3"]);
    expect(seen).toEqual({ unhandled: 0, logged: 0 });
    const theirs = await ask(served, "/theirs");
    expect(theirs.status).toBe(500);
    expect(await theirs.text()).not.toContain("secret");
    expect(seen).toEqual({ unhandled: 1, logged: 1 });
  });
});
