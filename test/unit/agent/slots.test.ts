import { expect, test } from "bun:test";
import { AgentSlots, FreeSlotsReport } from "../../../src/agent/slots.ts";
import { NfrxError } from "../../../src/lib/errors.ts";
import { CONTROL_MAX, CONTROL_WINDOW_MS, FREE_REPORT_MS } from "../../../src/protocol/limits.ts";
import type { Stream } from "../../../src/protocol/stream.ts";
import { LinkedPair } from "../../kit/protocol/linked-pair.ts";
import { TestClock } from "../../kit/time/clock.ts";

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

test("a stream holds its slot until it is over, however it ends", async () => {
  const { broker } = new LinkedPair({ clock: new TestClock() });
  const open = (): Stream => broker.open({ method: "GET", path: "/", headers: [] });
  let changes = 0;
  const slots = new AgentSlots(2, () => changes++);
  const streams = [open(), open()];
  for (const stream of streams) expect(slots.take(stream)).toBe(true);
  expect(slots.free).toBe(0);
  expect(slots.take(open())).toBe(false);
  streams[0]?.reset(new NfrxError("canceled", "gone"));
  expect(slots.free).toBe(1);
  expect(changes).toBe(3);
  broker.close(1000, "done");
  expect(slots.free).toBe(2);
});

test("what is free is reported now and then, and at once when nothing was", async () => {
  const clock = new TestClock();
  const reports: number[] = [];
  let free = 2;
  const report = new FreeSlotsReport(
    clock,
    () => free,
    now => reports.push(now),
  );
  const becomes = async (now: number): Promise<void> => {
    free = now;
    report.changed();
    await turn();
  };
  await becomes(2);
  expect(reports).toEqual([2]);
  await becomes(1);
  await becomes(0);
  expect(reports).toEqual([2]);
  clock.advance(FREE_REPORT_MS);
  expect(reports).toEqual([2, 0]);
  await becomes(1);
  expect(reports).toEqual([2, 0, 1]);
  // A refusal has told the broker that nothing is free.
  report.refused();
  await becomes(0);
  await becomes(1);
  expect(reports).toEqual([2, 0, 1]);
  clock.advance(2 * FREE_REPORT_MS);
  expect(reports).toEqual([2, 0, 1, 1]);
  await becomes(0);
  report.close();
  clock.advance(10 * FREE_REPORT_MS);
  expect(reports).toEqual([2, 0, 1, 1]);
});

test("no order of events makes an agent report more than its broker takes", async () => {
  const clock = new TestClock();
  const times: number[] = [];
  let free = 1;
  const report = new FreeSlotsReport(
    clock,
    () => free,
    () => times.push(clock.now()),
  );
  for (let ms = 0; ms < 3 * CONTROL_WINDOW_MS; ms++) {
    free = ms % 2;
    if (free === 0 && ms % 4 === 0) report.refused();
    report.changed();
    await turn();
    clock.advance(1);
  }
  const most = Math.max(
    ...times.map(at => times.filter(other => other >= at && other < at + CONTROL_WINDOW_MS).length),
  );
  expect(most).toBeGreaterThan(3);
  expect(most).toBeLessThan(CONTROL_MAX);
});
