import { expect, test } from "bun:test";
import { together } from "../../../../src/broker/observe/dashboard/page/series.ts";
import type { Recent } from "../../../../src/broker/observe/dashboard/page/state.ts";

const recent = (requests: number[], first_byte_ms: (number | null)[]): Recent => ({
  interval_ms: 5000,
  until: "2026-01-01T00:00:00.000Z",
  requests,
  failed: requests.map(() => 1),
  input_tokens: requests.map(() => 50),
  output_tokens: requests.map(() => 10),
  embeddings: requests.map(() => 0),
  first_byte_ms,
});

test("without a word of the last minutes there is no chart", () => {
  expect(together([undefined, undefined], 1)).toBeUndefined();
});

test("modules add up by interval, tokens by the second, first-byte times by the requests behind them", () => {
  const series = together([recent([1, 3], [100, 100]), undefined, recent([2, 1], [null, 500])], 1);
  expect(series).toEqual({
    intervalMs: 5000,
    until: Date.parse("2026-01-01T00:00:00.000Z"),
    requests: [3, 4],
    failed: [2, 2],
    tokensIn: [20, 20],
    tokensOut: [4, 4],
    firstByte: [100, 200],
  });
});

test("lists of different lengths end together", () => {
  expect(together([recent([1, 2, 3], [null, null, null]), recent([10], [7])], 1)).toMatchObject({
    requests: [1, 2, 13],
    firstByte: [null, null, 7],
  });
});
