import { expect, test } from "bun:test";
import { newsOf } from "../../../../src/broker/observe/dashboard/page/news.ts";
import type { State } from "../../../../src/broker/observe/dashboard/page/state.ts";

/** A state with workers of these names and states. */
function state(workers: Record<string, string>, status: "ready" | "not_ready" | "draining" = "ready"): State {
  return {
    plugins: {
      server: { version: "1", status, uptime_s: 1, drainable_inflight: 0 },
      llm: {
        server: { scheduler_queue_len: 0, scheduler_queue_capacity: 1 },
        workers_summary: { connected: 0, working: 0, idle: 0, not_ready: 0 },
        models: [],
        workers: Object.entries(workers).map(([name, state]) => ({
          id: name,
          name,
          version: "1",
          status: state,
          last_heartbeat: "",
          max_concurrency: 1,
          inflight: 0,
          processed_total: 0,
          failures_total: 0,
          input_tokens_total: 0,
          output_tokens_total: 0,
          last_error: "",
        })),
      },
    },
  };
}

test.each([
  [{ a: "idle" }, { a: "working" }, ""],
  [{ a: "idle" }, { a: "idle", b: "idle" }, "b connected"],
  [{ a: "idle" }, { a: "draining" }, "a is draining"],
  [{ a: "draining" }, { a: "working" }, "a is available again"],
  [{ a: "gone" }, { a: "idle" }, "a connected"],
  [{ a: "idle" }, { a: "gone" }, "a is gone"],
  [{ a: "gone" }, {}, ""],
  [{ a: "idle", b: "idle" }, { a: "not_ready" }, "a is not ready. b disconnected"],
  [{}, { a: "idle", b: "idle", c: "idle", d: "idle" }, "4 changes to the workers"],
])("%j, then %j: %s", (before, after, said) => {
  expect(newsOf(state(before), state(after))).toBe(said);
});

test("the broker's own state is told", () => {
  expect(newsOf(state({}), state({}, "draining"))).toBe("The broker is draining");
});
