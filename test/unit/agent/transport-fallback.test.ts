// Ways to a provider that take their time: they are waited for, and nobody who looks ends what starts.
import { expect, test } from "bun:test";
import type { Provider } from "../../../src/agent/providers/provider.ts";
import { TransportFallback } from "../../../src/agent/providers/transport-fallback.ts";
import { messageOf } from "../../../src/lib/errors.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { TestClock } from "../../kit/time/clock.ts";

/** A provider whose start the test ends. */
class Slow implements Provider {
  readonly started = Promise.withResolvers<void>();
  readonly sessions = 0;
  opened = 0;
  closed = 0;

  fetch(): Promise<Response> {
    return Promise.resolve(new Response("served"));
  }

  async probe(signal: AbortSignal): Promise<void> {
    this.opened++;
    const aborted = Promise.withResolvers<never>();
    signal.addEventListener("abort", () => aborted.reject(signal.reason));
    await Promise.race([this.started.promise, aborted.promise]);
  }

  async close(): Promise<void> {
    this.closed++;
  }
}

const request = { method: "POST", rest: "", headers: [], body: null, signal: new AbortController().signal };
const forever = new AbortController().signal;
const outcome = (promise: Promise<unknown>): Promise<string> => promise.then(() => "fine", messageOf);

test("a start is waited for by everyone who looks, and ended by none of them", async () => {
  const [slow, clock] = [new Slow(), new TestClock()];
  const first = new TransportFallback([{ name: "slow", open: () => slow }], 120_000, clock, silentLog);
  const impatient = new AbortController();
  const looks = [outcome(first.probe(impatient.signal)), outcome(first.probe(forever))];
  impatient.abort(new Error("enough"));
  expect(await looks[0]).toBe("enough");
  clock.advance(119_000);
  expect(() => first.fetch(request)).toThrow("not started yet");
  expect([slow.opened, slow.closed]).toEqual([1, 0]);
  slow.started.resolve();
  expect(await looks[1]).toBe("fine");
  expect(await (await first.fetch(request)).text()).toBe("served");
  await first.close();
  expect(slow.closed).toBe(1);
});

test("a start that takes longer than it may is ended, and the next way is tried", async () => {
  const [slow, next, clock] = [new Slow(), new Slow(), new TestClock()];
  const transports = [
    { name: "slow", open: () => slow },
    { name: "next", open: () => next },
  ];
  const first = new TransportFallback(transports, 120_000, clock, silentLog);
  const look = outcome(first.probe(forever));
  clock.advance(120_000);
  while (next.opened === 0) await Promise.resolve();
  expect(slow.closed).toBe(1);
  // Its own end ends what starts.
  const closing = first.close();
  expect(await look).toContain("slow: it did not start within 2m (MCP_INIT_TIMEOUT); next: the agent is stopping");
  await closing;
  expect([next.opened, next.closed]).toEqual([1, 1]);
});
