// Tickets: how a browser's EventSource, which cannot send a key, follows a job or the state.
import { expect, test } from "bun:test";
import { TICKET_MS, TICKETS_MAX, Tickets } from "../../../src/broker/http/access/tickets.ts";
import { principal } from "../../kit/broker/principal.ts";
import { Events } from "../../kit/http/events.ts";
import { JobEvents, JobsApi } from "../../kit/jobs/jobs.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { API_KEY, CLIENT_KEY, World } from "../../kit/world.ts";

const ADMIN_KEY = "the-admin-key";

function start() {
  const clock = new TestClock();
  const world = new World({ clock, broker: { adminKey: ADMIN_KEY } });
  const ask = async (path: unknown, key = API_KEY) => {
    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const init = { method: "POST", headers, body: JSON.stringify({ path }) };
    const response = await fetch(`${world.origin}/api/tickets`, init);
    const body: { ticket: string; url: string; expires_at: string; error: string } = Object(await response.json());
    return { status: response.status, body, headers: response.headers };
  };
  const status = async (path: string, init?: RequestInit): Promise<number> => {
    const response = await fetch(`${world.origin}${path}`, init);
    await response.body?.cancel();
    return response.status;
  };
  return { world, clock, ask, status, jobs: new JobsApi(world.origin) };
}

test("a ticket opens its stream, again and again for a minute, and nothing else", async () => {
  const { world, clock, ask, status, jobs } = start();
  await using _ = world;
  const [id, other] = [await jobs.created(), await jobs.created()];
  const { status: made, body, headers } = await ask(`/api/jobs/${id}/events`);
  expect([made, headers.get("cache-control")]).toEqual([200, "no-store"]);
  expect(body.url).toBe(`/api/jobs/${id}/events?ticket=${body.ticket}`);
  expect(Date.parse(body.expires_at)).toBe(clock.wall() + TICKET_MS);
  const open = new JobEvents(await fetch(`${world.origin}${body.url}`));
  expect(await open.view()).toMatchObject({ id, status: "queued" });
  expect(await status(body.url)).toBe(200);

  const query = `?ticket=${body.ticket}`;
  for (const path of [
    `/api/jobs/${other}/events${query}`,
    `/api/jobs/${id}${query}`,
    `/api/jobs${query}`,
    `/api/state${query}`,
    `/api/state/stream${query}`,
    `/api/jobs/${id}/events?ticket=${body.ticket.slice(1)}`,
    `/api/jobs/${id}/events`,
  ])
    expect([path, await status(path)]).toEqual([path, 401]);
  expect(await status(`/api/jobs/${id}/cancel${query}`, { method: "POST" })).toBe(401);
  expect(await status("/api/tickets", { method: "POST" })).toBe(401);

  clock.advance(TICKET_MS);
  expect(await status(body.url)).toBe(401);
  // The stream that is open stays open.
  await jobs.cancel(id);
  expect((await open.view()).status).toBe("canceled");
  await open.cancel();
  expect(JSON.stringify(world.logs)).not.toContain(body.ticket);
});

test("a ticket for the state shows what its maker may see", async () => {
  const { world, ask } = start();
  await using _ = world;
  await new JobsApi(world.origin).created({ metadata: { secret: "of-the-metadata" } });
  for (const [key, sees] of [
    [API_KEY, false],
    [ADMIN_KEY, true],
  ] as const) {
    const { body } = await ask("/api/state/stream", key);
    const events = new Events(await fetch(`${world.origin}${body.url}`));
    expect((await events.next())?.data.includes("of-the-metadata")).toBe(sees);
    await events.cancel();
  }
});

test("tickets are for streams of events, and for callers of the API", async () => {
  const { world, ask } = start();
  await using _ = world;
  for (const path of ["/api/state", "/api/jobs", "/api/jobs/../state/stream", "//x/api/state/stream", "", 5, null])
    expect([path, (await ask(path)).body.error]).toEqual([path, "invalid_request"]);
  expect((await ask("/api/state/stream", CLIENT_KEY)).status).toBe(401);
  expect((await ask("/api/state/stream", "wrong")).status).toBe(401);
});

test("the table is bounded, a caller has a share of it, and what has expired makes room", () => {
  const clock = new TestClock();
  const tickets = new Tickets(clock);
  const issue = (caller: string) => tickets.issue({ path: "/api/state/stream", maker: principal({ caller }) });
  for (let n = 0; n < TICKETS_MAX / 2; n++) issue("one");
  expect(() => issue("one")).toThrow(expect.objectContaining({ code: "limit_exceeded" }));
  const { text } = issue("two");
  const asks = (method: string) =>
    tickets.of(new Request(`http://broker/api/state/stream?ticket=${text}`, { method }))?.path;
  expect([asks("GET"), asks("POST"), asks("HEAD")]).toEqual(["/api/state/stream", undefined, undefined]);
  clock.advance(TICKET_MS);
  issue("one");
  expect(asks("GET")).toBeUndefined();
});
