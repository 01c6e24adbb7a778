// One function says who a request is from, for every way to bring a credential.
import { describe, expect, test } from "bun:test";
import type { AuthenticatorOptions } from "../../../../src/broker/http/access/authenticator.ts";
import { Tickets } from "../../../../src/broker/http/access/tickets.ts";
import { TrustedProxies } from "../../../../src/lib/http.ts";
import type { Requirement } from "../../../../src/modules/route.ts";
import { authenticator, principal } from "../../../kit/broker/principal.ts";
import { throttle } from "../../../kit/broker/throttle.ts";
import { TestClock } from "../../../kit/time/clock.ts";

const KEYS = { api: "api-key", client: "client-key", admin: "admin-key" };
const PROXY = "10.0.0.1";
const ROLES: Partial<AuthenticatorOptions> = {
  api: { key: KEYS.api, roles: ["callers"] },
  client: { key: KEYS.client, roles: ["machines"] },
  proxies: new TrustedProxies([PROXY]),
};

interface Asking {
  readonly keys?: typeof KEYS | Record<string, never>;
  readonly peer?: string;
  readonly url?: string;
  readonly more?: Partial<AuthenticatorOptions>;
}

function resolve(headers: Record<string, string>, wanted: Requirement, { keys = KEYS, peer, url, more }: Asking = {}) {
  const request = new Request(url ?? "http://broker.example/", { headers });
  const server = { requestIP: () => ({ address: peer ?? "203.0.113.1" }), timeout: () => {} };
  return authenticator(keys, more).resolve({ request, server, headers: request.headers }, wanted);
}

const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` });
const LLM: Requirement = { scopes: ["llm"] };
const BOTH: Requirement = { scopes: ["transfer", "client"] };
const STATE: Requirement = { scopes: ["state", "admin"] };

test.each([
  ["API_KEY as bearer", bearer(KEYS.api), LLM, "api"],
  ["API_KEY as x-api-key", { "x-api-key": KEYS.api }, LLM, "api"],
  ["API_KEY as api-key", { "api-key": KEYS.api }, LLM, "api"],
  ["a right key behind a foreign one", { ...bearer("foreign"), "x-api-key": KEYS.api }, LLM, "api"],
  ["of two right keys the first", { ...bearer(KEYS.client), "x-api-key": KEYS.api }, BOTH, "client"],
  ["of two keys the one with the scope", { ...bearer(KEYS.client), "x-api-key": KEYS.api }, LLM, "api"],
  ["CLIENT_KEY at a channel", bearer(KEYS.client), BOTH, "client"],
  ["ADMIN_KEY at the state", bearer(KEYS.admin), STATE, "admin"],
  ["nothing where nothing is needed", {}, { scopes: ["public"] }, "anonymous"],
] as const)("%s", (_, headers, wanted, kind) => {
  const found = resolve(headers, wanted);
  expect([found.kind, found.refusal]).toEqual([kind, undefined]);
});

test.each([
  ["nothing", {}, LLM],
  ["a wrong key", bearer("wrong"), LLM],
  ["CLIENT_KEY at a model", bearer(KEYS.client), LLM],
  ["API_KEY at the agents' route", bearer(KEYS.api), { scopes: ["client"] }],
  ["API_KEY at administration", bearer(KEYS.api), { scopes: ["admin"] }],
] as const)("%s is not enough", (_, headers, wanted) => {
  const found = resolve(headers, wanted);
  expect([found.kind, found.refusal?.code]).toEqual(["anonymous", "unauthorized"]);
});

test("without ADMIN_KEY administration is off, whatever is brought", () => {
  for (const headers of [{}, bearer(""), bearer("undefined"), bearer(KEYS.api)])
    expect(resolve(headers, { scopes: ["admin"] }, { keys: { ...KEYS, admin: "" } }).refusal?.code).toBe("forbidden");
});

test("a broker without keys lets everybody in but to administration", () => {
  const open = { keys: {} };
  for (const wanted of [LLM, BOTH, STATE, { scopes: ["client"] }])
    expect(resolve(bearer("any"), wanted, open)).toMatchObject({ kind: "anonymous", refusal: undefined });
  expect(resolve(bearer("any"), { scopes: ["admin"] }, open).refusal?.code).toBe("forbidden");
});

describe("a role", () => {
  const claim = (role: string): Record<string, string> => ({ "x-user-roles": role });

  test("of a trusted proxy counts as its key", () => {
    const at = { peer: PROXY, more: ROLES };
    expect(resolve(claim("x, callers"), LLM, at)).toMatchObject({ kind: "role", name: "callers", refusal: undefined });
    expect(resolve(claim("machines"), BOTH, at)).toMatchObject({ kind: "role", name: "machines" });
    expect(resolve(claim("machines"), LLM, at).refusal?.code).toBe("unauthorized");
    expect(resolve(claim("admin"), { scopes: ["admin"] }, at).refusal?.code).toBe("unauthorized");
  });

  test("of anybody else counts for nothing", () => {
    expect(resolve(claim("callers"), LLM, { more: ROLES }).refusal?.code).toBe("unauthorized");
  });
});

test("a ticket opens its path as its maker would", () => {
  const tickets = new Tickets(new TestClock());
  const maker = principal({ kind: "admin", name: "admin", credential: "0a0b0c0d" });
  const { text } = tickets.issue({ path: "/api/state/stream", maker });
  const at = (path: string): Asking => ({ more: { tickets }, url: `http://broker.example${path}?ticket=${text}` });
  expect(resolve({}, STATE, at("/api/state/stream"))).toMatchObject({
    kind: "admin",
    credential: "0a0b0c0d",
    refusal: undefined,
  });
  expect(resolve({}, STATE, at("/api/state")).refusal?.code).toBe("unauthorized");
});

test("each token that a relay asks for must be brought, and the key where that is asked for, too", () => {
  const digest = (text: string): Uint8Array => new Bun.CryptoHasher("sha256").update(text).digest();
  const tokens = [digest("token")];
  const relay = { scopes: ["public"], tokens };
  expect(resolve(bearer("token"), relay)).toMatchObject({ kind: "relay", refusal: undefined });
  expect(resolve(bearer(KEYS.api), relay).refusal?.code).toBe("unauthorized");
  expect(resolve(bearer("token"), { scopes: ["public"], tokens: [...tokens, digest("other")] }).refusal).toBeDefined();
  const both = { scopes: ["mcp"], tokens };
  expect(resolve({ ...bearer("token"), "x-api-key": KEYS.api }, both)).toMatchObject({
    kind: "api",
    refusal: undefined,
  });
  expect(resolve(bearer("token"), both).refusal?.code).toBe("unauthorized");
  expect(resolve({ "x-api-key": KEYS.api }, both).refusal?.code).toBe("unauthorized");
});

test("a key may follow where nothing is claimed, but not where a wrong one is brought", () => {
  const wanted = { scopes: ["client"], keyMayFollow: true };
  const found = resolve({}, wanted);
  expect([found.refusal, found.holds("client")]).toEqual([undefined, false]);
  for (const headers of [bearer("wrong"), { authorization: "Basic eDp5" }, { "x-user-roles": "machines" }])
    expect(resolve(headers, wanted).refusal?.code).toBe("unauthorized");
  expect(resolve({}, wanted, { more: { client: { key: undefined, roles: ["machines"] } } }).refusal).toBeDefined();
});

test("a guess counts for the address that a trusted proxy names, and a request without a key is no guess", () => {
  const counted: unknown[] = [];
  const guesses = throttle({ onWrongKey: (kind, throttled) => counted.push([kind, throttled]) });
  const more = { ...ROLES, throttle: guesses };
  for (let n = 0; n < 11; n++)
    resolve({ ...bearer("wrong"), "x-forwarded-for": "198.51.100.7" }, LLM, { peer: PROXY, more });
  resolve({ "x-forwarded-for": "198.51.100.7" }, LLM, { peer: PROXY, more });
  resolve(bearer("wrong"), LLM, { more });
  expect(counted).toEqual([...new Array(10).fill(["api", false]), ["api", true], ["api", false]]);
});

test("a caller is its key and its network, and neither can be read in its name", () => {
  const callerOf = (key: string, peer: string, forwarded?: string): string => {
    const headers = { ...bearer(key), ...(forwarded !== undefined && { "x-forwarded-for": forwarded }) };
    return resolve(headers, { scopes: ["public"] }, { peer, more: ROLES }).caller;
  };
  expect(callerOf("k", "192.0.2.1")).toBe(callerOf("k", "::ffff:192.0.2.1"));
  expect(callerOf("k", "192.0.2.1")).not.toBe(callerOf("k", "192.0.2.2"));
  expect(callerOf("k", "192.0.2.1")).not.toBe(callerOf("l", "192.0.2.1"));
  expect(callerOf("k", "192.0.2.1", "192.0.2.9")).toBe(callerOf("k", "192.0.2.1"));
  expect(callerOf("k", PROXY, "192.0.2.1")).toBe(callerOf("k", "192.0.2.1"));
  expect(callerOf("k", "2001:db8::1")).toBe(callerOf("k", "2001:db8::ffff:1:2"));
  expect(callerOf("k", "192.0.2.1")).not.toContain("192");
});

test("a caller with a right key cannot become another one by a foreign key beside it", () => {
  const of = (foreign: string) => resolve({ ...bearer(foreign), "x-api-key": KEYS.api }, LLM);
  expect(of("one").caller).toBe(of("two").caller);
  expect(of("one").credential).toBe(resolve(bearer(KEYS.api), LLM).credential);
});
