// Every route of the API's document × every credential × every way to bring it.
import { expect, test } from "bun:test";
import { status } from "../kit/backend/backend.ts";
import { ApiDocument, type ApiOperation } from "../kit/http/api-document.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";
import { Conversation } from "./conversation.ts";
import { ADMIN_KEY, type Attempt, attempts, DOORS, SCHEME_KEY } from "./credentials.ts";

/** Requests under way at once. */
const AT_ONCE = 16;
/** Scheme of a route that an MCP relay guards; relays have a table of their own. */
const RELAY = "relay_token";

test("a route opens to the keys that its documentation names, and to nothing else", async () => {
  await using processes = new Processes();
  const broker = await processes.broker(DOORS);
  const { operations } = await ApiDocument.of(broker.origin);
  const cases = operations
    .filter(({ security }) => !security.some(one => RELAY in one))
    .flatMap(operation => attempts().map(attempt => ({ operation, attempt })));
  expect(cases.length).toBeGreaterThan(3_000);
  const wrong = await walk(broker, cases, ({ operation, attempt }, status) => {
    const opens = isOpen(operation, attempt);
    return opens === REFUSALS.has(status) ? `must ${opens ? "pass" : "be refused"}` : undefined;
  });
  expect(wrong).toEqual([]);
  await broker.quiet();
}, 300_000);

test("a minted key opens the routes of its scopes, however it is brought, and none once it is revoked or expired", async () => {
  await using processes = new Processes();
  const broker = await processes.broker(DOORS);
  const mint = async (name: string, more: object): Promise<string> => {
    const headers = { authorization: `Bearer ${ADMIN_KEY}` };
    const body = JSON.stringify({ name, ...more });
    const response = await fetch(`${broker.origin}/api/admin/keys`, { method: "POST", headers, body });
    return ((await response.json()) as { secret: string }).secret;
  };
  const callers = ["llm", "asr", "docling", "mcp", "jobs", "transfer", "state"];
  const keys = {
    caller: await mint("caller", { scopes: callers }),
    narrow: await mint("narrow", { scopes: ["transfer"] }),
    admin: await mint("operator", { scopes: ["admin"] }),
    expired: await mint("expired", { scopes: ["admin"], expires_at: "2020-01-01T00:00:00Z" }),
    revoked: await mint("revoked", { scopes: ["admin"] }),
  };
  await fetch(`${broker.origin}/api/admin/keys/revoked`, {
    method: "DELETE",
    headers: { authorization: `Bearer ${ADMIN_KEY}` },
  });
  const { operations } = await ApiDocument.of(broker.origin);
  const ways = attempts(keys).flatMap(attempt => {
    const [name] = Object.entries(keys).find(([, key]) => key === attempt.worth) ?? [];
    return name === undefined ? [] : [{ name, attempt }];
  });
  expect(ways).toHaveLength(5 * Object.keys(keys).length);
  const cases = operations
    .filter(({ security }) => !security.some(one => RELAY in one))
    .flatMap(operation => ways.map(way => ({ operation, ...way })));
  const wrong = await walk(broker, cases, ({ operation: { security, path }, name }, status) => {
    const schemes = security.flatMap(one => Object.keys(one));
    const dead = name === "expired" || name === "revoked";
    const opens =
      schemes.length === 0 ||
      // Agents and job workers have CLIENT_KEY; no minted key stands for one.
      (name === "admin" && schemes.some(scheme => scheme === "API_KEY" || scheme === "ADMIN_KEY")) ||
      (name === "caller" && schemes.includes("API_KEY")) ||
      (name === "narrow" && schemes.includes("API_KEY") && OWN.test(path));
    if (opens) return REFUSALS.has(status) ? "must pass" : undefined;
    const refusal = dead ? 401 : 403;
    return status === refusal ? undefined : `must be ${refusal}`;
  });
  expect(wrong).toEqual([]);
  await broker.quiet();
}, 300_000);

/** The routes of the scope `transfer`, and those of every key. */
const OWN = /^\/api\/(?:transfer|me)(?:\/|$)/;

/** Tries each case, several at once; those whose status is not as `judge` wants it, or that of a failure. */
async function walk<C extends { operation: ApiOperation; attempt: Attempt }>(
  broker: BrokerProgram,
  cases: readonly C[],
  judge: (one: C, status: number) => string | undefined,
): Promise<string[]> {
  const wrong: string[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let at = next++; at < cases.length; at = next++) {
      const one = cases[at];
      if (one === undefined) return;
      const status = await statusOf(broker, one.operation, one.attempt, at);
      const failed = status === 0 || status >= 500 === !SERVERS.has(status);
      const problem = failed ? "must not fail" : judge(one, status);
      if (problem !== undefined) wrong.push(`${one.operation.place}: ${one.attempt.name} → ${status}, ${problem}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return wrong;
}

/** Responses that say that the caller may not pass. */
const REFUSALS = new Set([401, 403]);
/** Statuses above 499 that mean that there is nobody to serve the request. */
const SERVERS = new Set([503]);

/** True when the document says that this attempt may pass. */
function isOpen({ security, place, parameters }: ApiOperation, { headers, ...attempt }: Attempt): boolean {
  if (security.length === 0) return true;
  // A browser's WebSocket, and Docling's own client, cannot send a header.
  const takesQuery = parameters.some(one => one.in === "query" && one.name === "api_key");
  const worth = attempt.worth ?? (takesQuery ? attempt.queryKey : undefined);
  // An agent of the 0.9 series brings its key in its first message.
  if (CONNECT.test(place) && !headers.some(([name]) => CREDENTIALS.has(name))) return true;
  return worth !== undefined && security.some(one => Object.keys(one).some(name => SCHEME_KEY[name] === worth));
}

const CONNECT = /^GET \/api\/\w+\/connect$/;
const CREDENTIALS = new Set(["Authorization", "X-Api-Key", "Api-Key", "X-User-Roles"]);

/** The status that a request gets; each comes from an address of its own, so that no failure counts for another. */
async function statusOf(
  broker: BrokerProgram,
  operation: Pick<ApiOperation, "method" | "path">,
  attempt: Attempt,
  at: number,
): Promise<number> {
  const { method, path } = operation;
  const from = attempt.from ?? `127.${1 + (at >> 16)}.${(at >> 8) & 255}.${at & 255}`;
  const target = path.replace(/\{[^}]+\}/g, "x") + (attempt.query === undefined ? "" : `?${attempt.query}`);
  const body = method === "GET" || method === "DELETE" ? "" : "{}";
  const lines = [
    `${method} ${target} HTTP/1.1`,
    `Host: 127.0.0.1:${broker.port}`,
    "Connection: close",
    ...attempt.headers.map(([name, value]) => `${name}: ${value}`),
    ...(body === "" ? [] : ["Content-Type: application/json", `Content-Length: ${body.length}`]),
  ];
  const talk = await Conversation.open(broker.port, from);
  talk.write(`${lines.join("\r\n")}\r\n\r\n${body}`);
  await talk.when(() => talk.statuses.length > 0 || talk.closed, `${method} ${path}: ${attempt.name}`);
  talk.destroy();
  return talk.statuses[0] ?? 0;
}

const TOKEN = "for-callers";

test("a relay without a token opens to the API key, one with a token to its token", async () => {
  await using processes = new Processes();
  const broker = await processes.broker(DOORS);
  const backend = await processes.backend({ respond: status(200, "{}") });
  const provider = { http: `${backend.origin}/mcp` };
  await processes.relay(broker, provider, { CLIENT_ID: "keyed", MCP_OPEN: "false" });
  await processes.relay(broker, provider, { CLIENT_ID: "tokened", AUTH_TOKEN: TOKEN });
  const opens = { keyed: API_KEY, tokened: TOKEN };
  const { operations } = await ApiDocument.of(broker.origin);
  const guarded = operations.filter(({ security }) => security.some(one => RELAY in one));
  expect(guarded.length).toBeGreaterThanOrEqual(8);
  const wrong: string[] = [];
  let at = 0;
  for (const { method, path } of guarded)
    for (const [id, key] of Object.entries(opens))
      for (const attempt of attempts({ AUTH_TOKEN: TOKEN })) {
        const got = await statusOf(broker, { method, path: path.replace("{id}", id) }, attempt, at++);
        const passes = attempt.worth === key;
        if (got === 0 || passes === REFUSALS.has(got))
          wrong.push(`${method} ${path} of ${id}: ${attempt.name} → ${got}, must ${passes ? "pass" : "be refused"}`);
      }
  expect(wrong).toEqual([]);
}, 120_000);

test("an upgrade needs the agents' key in a header, or none at all", async () => {
  await using processes = new Processes();
  const broker = await processes.broker(DOORS);
  const wrong: string[] = [];
  const open = new Set<string>();
  for (const [at, attempt] of attempts().entries()) {
    const talk = await Conversation.open(broker.port, attempt.from ?? `127.9.0.${at + 1}`);
    const query = attempt.query === undefined ? "" : `?${attempt.query}`;
    const headers = attempt.headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
    talk.write(
      `GET /api/llm/connect${query} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${headers}\r\n`,
    );
    await talk.when(() => talk.statuses.length > 0 || talk.closed, attempt.name);
    const keyless = !attempt.headers.some(([name]) => CREDENTIALS.has(name));
    const expected = attempt.worth === CLIENT_KEY || keyless ? 101 : 401;
    if (talk.statuses[0] !== expected) wrong.push(`${attempt.name} → ${talk.statuses[0]}, must be ${expected}`);
    if (talk.statuses[0] === 101) open.add(attempt.name);
    talk.destroy();
  }
  expect(wrong).toEqual([]);
  expect([...open]).toContain("CLIENT_KEY as bearer");
});
