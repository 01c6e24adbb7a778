import { describe, expect, test } from "bun:test";
import { OllamaTap, parseUsage, UsageTap } from "../../../src/broker/proxy/response/usage.ts";
import type { Usage } from "../../../src/modules/module.ts";

function tap(chunks: Uint8Array[]): Usage | undefined {
  const reader = new UsageTap();
  for (const [at, chunk] of chunks.entries()) reader.feed(chunk, at === chunks.length - 1 && at % 2 === 0);
  return reader.usage;
}

const usage =
  '{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"prompt_tokens_details":{"cached_tokens":3}}';
const found = { in: 11, out: 7, total: 18 };
const event = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;

const answers: Record<string, [text: string, usage: Usage | undefined]> = {
  JSON: [`{"id":"1","choices":[{"message":{"content":"hi"}}],"usage":${usage},"system_fingerprint":"x"}`, found],
  spaced: [`{ "usage" :\r\n\t${usage.replaceAll(",", " ,\n ")} }`, found],
  embeddings: [
    '{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":5,"total_tokens":5}}',
    { in: 5, out: 0, total: 5 },
  ],
  responses: ['{"usage":{"input_tokens":4,"output_tokens":2}}', { in: 4, out: 2, total: 6 }],
  events: [
    `${event({ choices: [{ delta: { content: "a" } }] })}${event({ choices: [], usage: JSON.parse(usage) })}data: [DONE]\n\n`,
    found,
  ],
  "usage null in every event": [
    `${event({ choices: [{}], usage: null })}${event({ choices: [{}], usage: null })}`,
    undefined,
  ],
  "usage null before and behind": [
    `${event({ usage: null })}${event({ usage: JSON.parse(usage) })}${event({ usage: null })}`,
    found,
  ],
  "several, of which the last counts": [
    [1, 2, 3].map(n => event({ usage: { prompt_tokens: n, completion_tokens: n } })).join(""),
    { in: 3, out: 3, total: 6 },
  ],
  "an escaped one in the text": [
    event({ choices: [{ delta: { content: '"usage":{"prompt_tokens":666,"completion_tokens":666}' } }] }),
    undefined,
  ],
  "an escaped one in the text and a real one": [
    `{"choices":[{"message":{"content":${JSON.stringify(`\\"usage":${usage.replace("11", "666")} "usage`)}}}],"usage":${usage}}`,
    found,
  ],
  "the word as a value": [`{"object":"usage","a":["usage","usage"],"usage":${usage},"b":"usage"}`, found],
  "other kinds of usage": ['{"usage":"much","usage":[1],"usage":7,"usage":{"seconds":3},"usage":{}}', undefined],
  "counts that are none": [
    '{"usage":{"prompt_tokens":"11"},"usage":{"prompt_tokens":-1},"usage":{"prompt_tokens":null}}',
    undefined,
  ],
  "broken JSON": ['{"usage":{prompt_tokens:11}, "usage":{"prompt_tokens":}}', undefined],
  "no answer": ["", undefined],
};

describe.each(Object.entries(answers))("%s", (_, [text, expected]) => {
  const bytes = Buffer.from(text);

  test("whole", () => {
    expect(tap([bytes])).toEqual(expected);
  });

  test("cut in two at every place", () => {
    for (let at = 0; at <= bytes.length; at++)
      expect(tap([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(expected);
  });

  test("byte by byte", () => {
    expect(tap(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)))).toEqual(expected);
  });

  test("in chunks of every size", () => {
    for (let size = 2; size < Math.min(bytes.length, 120); size++) {
      const chunks: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
      expect(tap(chunks)).toEqual(expected);
    }
  });
});

test("in a huge chunk", () => {
  const text = `{"choices":"${'x\\"usage\\":{'.repeat(400_000)}","usage":${usage}}`;
  expect(tap([Buffer.from(text)])).toEqual(found);
});

test("a usage longer than any is passed over, and a later one is found", () => {
  const long = `"usage":{"prompt_tokens":1,"x":"${"y".repeat(8192)}"}`;
  const bytes = Buffer.from(`{${long},"usage":${usage}}`);
  expect(tap([bytes])).toEqual(found);
  for (const size of [1, 7, 100, 4096, 5000]) {
    const chunks: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
    expect(tap(chunks)).toEqual(found);
  }
});

test("no more than a few KiB are joined, however long a usage does not end", () => {
  const reader = new UsageTap();
  const sizes: number[] = [];
  const { concat } = Buffer;
  Buffer.concat = (...args: Parameters<typeof concat>) => {
    const joined = concat(...args);
    sizes.push(joined.length);
    return joined;
  };
  try {
    reader.feed(Buffer.from('{"usage":{"prompt_tokens":1,"x":"'));
    for (let n = 0; n < 3000; n++) reader.feed(Buffer.from("yyyyyyyyyy"));
    reader.feed(Buffer.from('"usage"'));
    for (let n = 0; n < 3000; n++) reader.feed(Buffer.from("          "));
  } finally {
    Buffer.concat = concat;
  }
  expect(Math.max(...sizes)).toBeLessThan(5000);
  expect(reader.usage).toBeUndefined();
});

test("a usage with more levels than any has is passed over", () => {
  const nested = (levels: number): string => `${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`;
  const text = (levels: number): string => `{"usage":{"prompt_tokens":1,"details":${nested(levels)}}}`;
  expect(tap([Buffer.from(text(2))])).toEqual({ in: 1, out: 0, total: 1 });
  expect(tap([Buffer.from(text(3))])).toBeUndefined();
});

test("usage in usage, 32 MiB of it, takes no longer than its bytes", () => {
  const nested = Buffer.from('"usage":{'.repeat(128 * 1024));
  const reader = new UsageTap();
  // Looked at anew from each of its keys this would take many times the test's limit.
  for (let at = 0; at < 28; at++) reader.feed(nested);
  reader.feed(Buffer.from(`${" ".repeat(8192)}"usage":${usage}`), true);
  expect(reader.usage).toEqual(found);
}, 10_000);

test("what the tap keeps is its own", () => {
  const reader = new UsageTap();
  const chunk = Buffer.from('{"usage":{"prompt_tokens":1');
  reader.feed(chunk);
  chunk.fill(0);
  reader.feed(Buffer.from("2}}"));
  expect(reader.usage).toEqual({ in: 12, out: 0, total: 12 });
});

test("parseUsage takes no inherited and no impossible counts", () => {
  expect(parseUsage(Object.create({ prompt_tokens: 1 }))).toBeUndefined();
  expect(parseUsage(null)).toBeUndefined();
  expect(parseUsage("usage")).toBeUndefined();
  expect(parseUsage([])).toBeUndefined();
  expect(parseUsage({ prompt_tokens: Number.NaN })).toBeUndefined();
  expect(parseUsage({ prompt_tokens: 0 })).toEqual({ in: 0, out: 0, total: 0 });
  expect(parseUsage({ input_tokens: 1, output_tokens: 2, total_tokens: 9 })).toEqual({ in: 1, out: 2, total: 9 });
});

test("the last event of a message of Anthropic's tells its output, the first one its input", () => {
  const tap = new UsageTap();
  tap.feed(Buffer.from('data: {"message":{"usage":{"input_tokens":25,"output_tokens":1}}}\n\n'));
  tap.feed(Buffer.from('data: {"usage":{"output_tokens":15}}\n\n'), true);
  expect(tap.usage).toEqual({ in: 25, out: 15, total: 40 });
});

test("the counts of Ollama's last line are found wherever its bytes are cut, and not in what a model wrote", () => {
  const lines = `{"message":{"content":"\\"eval_count\\":9"},"done":false}\n{"done":true,"eval_count":1,"prompt_eval_count":7,"eval_count":3}\n`;
  for (let cut = 0; cut <= lines.length; cut++) {
    const tap = new OllamaTap();
    tap.feed(Buffer.from(lines.slice(0, cut)));
    tap.feed(Buffer.from(lines.slice(cut)));
    expect(tap.usage).toEqual({ in: 7, out: 3, total: 10 });
  }
});

test("an answer of Ollama's without counts has no usage", () => {
  const tap = new OllamaTap();
  tap.feed(Buffer.from('{"models":[]}'));
  expect(tap.usage).toBeUndefined();
});
