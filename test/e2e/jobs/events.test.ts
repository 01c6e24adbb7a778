import { describe, expect, test } from "bun:test";
import { JOB_LISTENERS_MAX } from "../../../src/broker/jobs/limits.ts";
import { JobsApi, statusesOf } from "../../kit/jobs/jobs.ts";
import { TestClock } from "../../kit/time/clock.ts";
import { eventually } from "../../kit/time/until.ts";
import { API_KEY, CLIENT_KEY, World, type WorldOptions } from "../../kit/world.ts";

function start(options: WorldOptions = {}) {
  const world = new World(options);
  return { world, jobs: new JobsApi(world.origin), events: world.broker.jobs.service.events };
}

const AT_ONCE = { broker: { jobsSseCloseDelayMs: 0 } };

describe("a client that listens", () => {
  test("hears of each change once, with a number, and the stream ends after the last", async () => {
    const { world, jobs } = start(AT_ONCE);
    await using _ = world;
    const id = await jobs.created();
    const streams = [await jobs.events(id), await jobs.events(id)];
    await jobs.claimed();
    await jobs.status(id, "running", { progress: { percent: 1 } });
    await jobs.payload(id);
    await jobs.result(id, { key: "r" });
    await jobs.status(id, "completed");
    for (const stream of streams) {
      const heard = await stream.all();
      expect(statusesOf(heard)).toEqual([
        "queued",
        "claimed",
        "running",
        "payload",
        "awaiting_payload",
        "result",
        "awaiting_result",
        "completed",
      ]);
      expect(heard.map(event => event.id)).toEqual(["1", "2", "3", "4", "5", "6", "7", "8"]);
    }
  });

  test("has the stream open for a while after the end, and comments keep it", async () => {
    const clock = new TestClock();
    const { world, jobs, events } = start({ clock });
    await using _ = world;
    const id = await jobs.created();
    const stream = await jobs.events(id);
    expect((await stream.view()).status).toBe("queued");
    clock.advance(15_000);
    expect(await stream.comment()).toBe("keep-alive");
    await jobs.cancel(id);
    expect((await stream.view()).status).toBe("canceled");
    clock.advance(4999);
    expect(events.listeners).toBe(1);
    clock.advance(1);
    expect(await stream.next()).toBeUndefined();
    await eventually(() => events.listeners === 0, "nobody listens");
  });

  test("of a job that has ended hears how, and the stream ends", async () => {
    const { world, jobs } = start(AT_ONCE);
    await using _ = world;
    const id = await jobs.created();
    await jobs.cancel(id);
    expect(statusesOf(await (await jobs.events(id)).all())).toEqual(["canceled"]);
  });

  test("that comes late is told of the channels that wait for it, and of no others", async () => {
    const { world, jobs } = start();
    await using _ = world;
    const id = await jobs.created();
    await jobs.claimed();
    const used = await jobs.payload(id, { key: "used" });
    const transfer = (key: string, method: string, path = "", body?: string): Promise<Response> =>
      fetch(`${world.origin}${path}`, { method, ...(body && { body }), headers: { authorization: `Bearer ${key}` } });
    const read = transfer(CLIENT_KEY, "GET", used.body.reader_url);
    await transfer(API_KEY, "POST", used.body.reader_url, "bytes");
    await (await read).text();
    await jobs.payload(id, { key: "open" });
    await jobs.result(id, { key: "open" });
    const stream = await jobs.events(id);
    const heard = [await stream.next(), await stream.next(), await stream.next()];
    expect(heard.map(event => event?.event)).toEqual(["status", "payload", "result"]);
    expect(heard.slice(1).map(event => JSON.parse(event?.data ?? "").key)).toEqual(["open", "open"]);
    await stream.cancel();
    // Cut off in the middle, it hears all of them again; at the end of them, nothing twice.
    const cut = await jobs.events(id, heard[1]?.id);
    expect((await cut.next())?.raw).toBe(heard[0]?.raw ?? "");
    await cut.cancel();
    const whole = await jobs.events(id, heard[2]?.id);
    expect(await whole.comment()).toBe("nothing new");
    await jobs.status(id, "running");
    expect((await whole.view()).status).toBe("running");
    await whole.cancel();
  });
});

describe("a client that comes back", () => {
  test("hears exactly what it has missed", async () => {
    const { world, jobs } = start(AT_ONCE);
    await using _ = world;
    const id = await jobs.created();
    const stream = await jobs.events(id);
    await jobs.claimed();
    await stream.next();
    const last = await stream.next();
    await stream.cancel();
    for (let percent = 1; percent <= 3; percent++) await jobs.status(id, "running", { progress: { percent } });
    const { body: channel } = await jobs.result(id);
    const back = await jobs.events(id, last?.id);
    const missed = [];
    for (let n = 0; n < 5; n++) missed.push(await back.next());
    expect(missed.map(event => event?.id)).toEqual(["3", "4", "5", "6", "7"]);
    expect(missed.map(event => JSON.parse(event?.data ?? "").progress?.percent)).toEqual([1, 2, 3, undefined, 3]);
    expect(JSON.parse(missed[3]?.data ?? "").channel_id).toBe(channel.channel_id);
    await jobs.status(id, "completed");
    expect(statusesOf(await back.all())).toEqual(["completed"]);
  });

  test("after the last event is told that there are no more", async () => {
    const { world, jobs } = start(AT_ONCE);
    await using _ = world;
    const id = await jobs.created();
    await jobs.cancel(id);
    const [last] = await (await jobs.events(id)).all();
    expect((await jobs.events(id, last?.id)).status).toBe(204);
    expect(statusesOf(await (await jobs.events(id, "1")).all())).toEqual(["canceled"]);
  });

  test.each(["x", "-1", "1e9", "99999999", "99999999999999999999", ""])(
    "with the number %p hears how it is",
    async number => {
      const { world, jobs } = start();
      await using _ = world;
      const id = await jobs.created();
      const stream = await jobs.events(id, number);
      expect((await stream.view()).status).toBe("queued");
      await stream.cancel();
    },
  );

  test("long after hears how it is", async () => {
    const { world, jobs, events } = start(AT_ONCE);
    await using _ = world;
    const id = await jobs.created();
    await jobs.claimed();
    await jobs.status(id, "running");
    events.forget(id);
    await jobs.payload(id);
    const stream = await jobs.events(id, "1");
    expect([await stream.next(), await stream.next()].map(event => event?.event)).toEqual(["status", "payload"]);
    await jobs.cancel(id);
    expect(statusesOf(await stream.all())).toEqual(["canceled"]);
  });
});

describe("a client that is gone", () => {
  test.each([
    ["24 hours by default", {}, 86_400_000],
    ["30 seconds where it asked for that", { cancel_when_unwatched: true }, 30_000],
  ])("loses its job after %s, and its worker is told", async (_what, fields, ttlMs) => {
    const clock = new TestClock();
    const { world, jobs, events } = start({ clock });
    await using _ = world;
    const id = await jobs.created(fields);
    await jobs.claimed();
    const stream = await jobs.events(id);
    await stream.next();
    clock.advance(60_000);
    await stream.cancel();
    await eventually(() => events.listeners === 0, "nobody listens");
    // So that the worker's lease is not what ends.
    for (let n = 0; n < ttlMs - 1; n += 600_000) {
      await jobs.heartbeat(id);
      clock.advance(Math.min(600_000, ttlMs - 1 - n));
    }
    expect(events.listeners).toBe(0);
    expect(world.logs.some(({ message }) => message === "job ended")).toBe(false);
    clock.advance(1);
    await eventually(() => world.logs.some(({ message }) => message === "job ended"), "the job ends");
    expect(await jobs.status(id, "running")).toMatchObject({ status: 409, body: { error: "invalid_state" } });
    expect((await jobs.get(id)).body).toMatchObject({ status: "canceled", error: { code: "client_inactive" } });
  });

  test("asks now and then, and keeps it", async () => {
    const clock = new TestClock();
    const { world, jobs } = start({ clock });
    await using _ = world;
    const id = await jobs.created({ cancel_when_unwatched: true });
    for (let n = 0; n < 5; n++) {
      clock.advance(29_999);
      expect((await jobs.get(id)).body.status).toBe("queued");
    }
  });
});

test("more listeners than may be are told to come back", async () => {
  const { world, jobs, events } = start();
  await using _ = world;
  const id = await jobs.created();
  const ends = Array.from({ length: JOB_LISTENERS_MAX }, () => events.listen(id, () => {}));
  expect((await jobs.events(id)).status).toBe(503);
  for (const end of ends) end();
  const stream = await jobs.events(id);
  expect((await stream.view()).status).toBe("queued");
  await stream.cancel();
});
