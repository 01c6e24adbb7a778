// Places in a trace, and what becomes of them from request to request.
import { describe, expect, test } from "bun:test";
import { parseTraceparent, type Span, TRACE_STATE_MAX, Tracer, traceparentOf } from "../../../src/lib/trace.ts";
import { TestClock } from "../../kit/time/clock.ts";

const TRACE = "0af7651916cd43dd8448eb211c80319c";
const SPAN = "b7ad6b7169203331";
const HEX = /^[0-9a-f]+$/;

function tracer(options: { ratio?: number; random?: () => number; clock?: TestClock } = {}) {
  const ended: Span[] = [];
  const { ratio = 1, clock = new TestClock(), random } = options;
  const made = new Tracer({ clock, ratio, sink: span => ended.push(span), ...(random && { random }) });
  return { tracer: made, ended };
}

describe("a traceparent", () => {
  test.each([
    [`00-${TRACE}-${SPAN}-01`, 1],
    [`00-${TRACE}-${SPAN}-00`, 0],
    // Random trace id, and flags that nobody knows.
    [`00-${TRACE}-${SPAN}-03`, 3],
    [`00-${TRACE}-${SPAN}-ff`, 3],
    // A later version may say more.
    [`01-${TRACE}-${SPAN}-01-more`, 1],
    [`cc-${TRACE}-${SPAN}-01`, 1],
  ])("%s is read", (text, flags) => {
    expect(parseTraceparent(text, "a=b")).toEqual({ traceId: TRACE, spanId: SPAN, flags, state: "a=b" });
  });

  test.each([
    "",
    " ",
    `00-${TRACE}-${SPAN}`,
    `00-${TRACE}-${SPAN}-1`,
    `00-${TRACE}-${SPAN}-01-`,
    `00-${TRACE}-${SPAN}-01 `,
    `00-${TRACE}-${SPAN}-0g`,
    `00-${TRACE.slice(1)}-${SPAN}-01`,
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${"0".repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${"0".repeat(16)}-01`,
    `ff-${TRACE}-${SPAN}-01`,
    `cc-${TRACE}-${SPAN}-01.more`,
    `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01\n`,
  ])("%p is malformed", text => {
    expect(parseTraceparent(text, undefined)).toBeUndefined();
  });

  test("a state that is too long is left out, and the rest is kept", () => {
    const state = "k=v,".repeat(TRACE_STATE_MAX / 4);
    expect(parseTraceparent(`00-${TRACE}-${SPAN}-01`, state)?.state).toBe(state);
    expect(parseTraceparent(`00-${TRACE}-${SPAN}-01`, `${state}k`)).toMatchObject({ spanId: SPAN, state: undefined });
  });
});

describe("a span", () => {
  test("ids are random and of the right length", () => {
    const { tracer: made } = tracer();
    const spans = Array.from({ length: 2000 }, () => made.serve("x", null, null));
    const traces = new Set(spans.map(({ context }) => context.traceId));
    const ids = new Set(spans.map(({ context }) => context.spanId));
    expect([traces.size, ids.size]).toEqual([2000, 2000]);
    for (const id of traces) expect([id.length, HEX.test(id)]).toEqual([32, true]);
    for (const id of ids) expect([id.length, HEX.test(id)]).toEqual([16, true]);
  });

  test("ends once, and hands itself on then", () => {
    const clock = new TestClock();
    const { tracer: made, ended } = tracer({ clock });
    const span = made.serve("x", null, null);
    clock.advance(1.5);
    const child = span.child("y", "client");
    child.set({ a: 1, b: undefined });
    clock.advance(2);
    child.end("timeout");
    child.end();
    clock.advance(1);
    span.end();
    expect(ended.map(({ name, failure, startedAt, endedAt }) => [name, failure, endedAt - startedAt])).toEqual([
      ["y", "timeout", 2],
      ["x", undefined, 4.5],
    ]);
    expect(child.parent).toBe(span.context);
    expect(span.startedAt).toBe(clock.wall() - 4.5);
  });

  test("what is not recorded costs nothing and only passes its trace on", () => {
    const { tracer: made, ended } = tracer({ ratio: 0.5, random: () => 0.5 });
    const own = made.serve("x", null, null);
    expect(own.recorded).toBeFalse();
    expect(own.child("y", "client")).toBe(own);
    own.set({ a: 1 });
    own.end();
    expect([own.parts, ended]).toEqual([[], []]);
    expect(own.inject([["a", "b"]])).toEqual([
      ["a", "b"],
      ["traceparent", `00-${own.context.traceId}-${own.context.spanId}-00`],
    ]);
    const given = made.serve("x", `00-${TRACE}-${SPAN}-00`, "s=1");
    expect(given.inject([])).toEqual([
      ["traceparent", `00-${TRACE}-${SPAN}-00`],
      ["tracestate", "s=1"],
    ]);
  });

  test("the ratio is for traces that begin here, the caller's word for all others", () => {
    let drawn = 0;
    const { tracer: made } = tracer({ ratio: 0.25, random: () => drawn });
    const recorded = (traceparent: string | null): boolean => made.serve("x", traceparent, null).recorded;
    expect(recorded(null)).toBeTrue();
    drawn = 0.25;
    expect(recorded(null)).toBeFalse();
    expect(recorded(`00-${TRACE}-${SPAN}-01`)).toBeTrue();
    drawn = 0;
    expect(recorded(`00-${TRACE}-${SPAN}-00`)).toBeFalse();
    expect(recorded("no traceparent")).toBeTrue();
  });

  test("its place stands in the headers that it carries, instead of the caller's", () => {
    const { tracer: made } = tracer();
    const span = made.serve("x", `00-${TRACE}-${SPAN}-01`, "s=1").child("y", "client");
    const carried = span.inject([
      ["Traceparent", "old"],
      ["accept", "x"],
      ["TRACESTATE", "old"],
      ["x-request-id", "1"],
    ]);
    expect(carried).toEqual([
      ["accept", "x"],
      ["x-request-id", "1"],
      ["traceparent", traceparentOf(span.context)],
      ["tracestate", "s=1"],
    ]);
  });

  test("a wall clock that was set takes effect; one that shows whole milliseconds does not make time jump", () => {
    class Wall extends TestClock {
      ahead = 0;
      override wall(): number {
        return Math.floor(super.wall() + this.ahead);
      }
    }
    const clock = new Wall();
    const { tracer: made } = tracer({ clock });
    const starts: number[] = [];
    for (let n = 0; n < 40; n++) {
      starts.push(made.serve("x", null, null).startedAt);
      clock.advance(0.3);
    }
    for (let n = 1; n < starts.length; n++) expect(starts[n]).toBeGreaterThan(starts[n - 1] ?? 0);
    clock.ahead = -60_000;
    expect(Math.abs(made.serve("x", null, null).startedAt - clock.wall())).toBeLessThan(2);
    clock.ahead = 60_000;
    expect(Math.abs(made.serve("x", null, null).startedAt - clock.wall())).toBeLessThan(2);
  });
});
