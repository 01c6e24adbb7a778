// Routes as they are mounted: their doors, their paths, their errors.
import { describe, expect, test } from "bun:test";
import { AdminAuthenticator, Authenticator } from "../../../../src/broker/auth.ts";
import { AccessLog } from "../../../../src/broker/http/access-log.ts";
import { checksOf } from "../../../../src/broker/http/checks.ts";
import { type App, mount } from "../../../../src/broker/http/mount.ts";
import { Tickets } from "../../../../src/broker/http/tickets.ts";
import { NfrxError } from "../../../../src/lib/errors.ts";
import { TrustedProxies } from "../../../../src/lib/http.ts";
import { systemClock } from "../../../../src/lib/time.ts";
import type { Route } from "../../../../src/modules/route.ts";
import { throttle } from "../../../kit/broker/throttle.ts";

const none = new TrustedProxies([]);

function app(routes: readonly Partial<Route>[], keys: { admin?: string } = {}) {
  const seen = { unhandled: 0, logged: 0 };
  const log = (): void => void seen.logged++;
  const checks = checksOf({
    api: new Authenticator({ kind: "api", key: "api-key", roles: [], proxies: none, throttle: throttle() }),
    client: new Authenticator({ kind: "client", key: "client-key", roles: [], proxies: none, throttle: throttle() }),
    admin: new AdminAuthenticator({ key: keys.admin, throttle: throttle() }),
    tickets: new Tickets(systemClock),
  });
  const served = mount(
    routes.map(route => ({
      method: "GET",
      path: "/",
      tag: "test",
      auth: "none",
      errors: "openai",
      operation: undefined,
      answer: () => new Response("in"),
      ...route,
    })),
    {
      checks,
      server: () => ({ requestIP: () => ({ address: "203.0.113.1" }), timeout: () => {} }),
      access: new AccessLog({
        log: { debug() {}, info() {}, warn() {}, error: log, fatal: log },
        clock: systemClock,
        enabled: true,
      }),
      metrics: { refused: () => {}, unhandled: () => void seen.unhandled++ },
    },
  );
  return { served, seen };
}

async function ask(served: App, path: string, key?: string, method = "GET"): Promise<Response> {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  return served.fetch(new Request(`http://broker.example${path}`, { method, headers }));
}

describe("the classes of callers", () => {
  test.each([
    ["none", [200, 200, 200, 200]],
    ["relay", [200, 200, 200, 200]],
    ["api", [401, 200, 401, 401]],
    ["client", [401, 401, 200, 401]],
    ["api-or-client", [401, 200, 200, 401]],
    ["api-or-admin", [401, 200, 401, 200]],
    ["admin", [401, 401, 401, 200]],
  ] as const)("%s", async (auth, statuses) => {
    let calls = 0;
    const answer = (): Response => new Response(`call ${++calls}`);
    const { served } = app([{ auth, answer }], { admin: "admin-key" });
    const keys = [undefined, "api-key", "client-key", "admin-key"];
    expect(await Promise.all(keys.map(async key => (await ask(served, "/", key)).status))).toEqual([...statuses]);
    expect(calls).toBe(statuses.filter(status => status === 200).length);
  });

  test("without ADMIN_KEY administration is shut, whatever key is brought", async () => {
    for (const admin of [undefined, ""]) {
      const { served } = app([{ auth: "admin" }], admin === undefined ? {} : { admin });
      for (const key of [undefined, "", "undefined", "api-key"]) {
        const answer = await ask(served, "/", key);
        expect(answer.status).toBe(403);
        expect(await answer.json()).toMatchObject({ error: { code: "forbidden", type: "permission_error" } });
      }
    }
  });

  test("the admin key counts in each header that carries keys", async () => {
    const { served } = app([{ auth: "admin" }], { admin: "admin-key" });
    const asked = (headers: Record<string, string>) => served.fetch(new Request("http://broker.example/", { headers }));
    expect((await asked({ "x-api-key": "admin-key" })).status).toBe(200);
    expect((await asked({ "api-key": "admin-key" })).status).toBe(200);
    const refused = await asked({ "x-api-key": "api-key" });
    expect([refused.status, refused.headers.get("www-authenticate")]).toEqual([401, "Bearer"]);
  });

  test("a route may judge its callers itself", async () => {
    const { served } = app([{ auth: "api", ownCheck: true }]);
    expect((await ask(served, "/")).status).toBe(200);
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
