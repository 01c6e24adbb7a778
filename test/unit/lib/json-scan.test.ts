import { describe, expect, test } from "bun:test";
import { TopLevelScan } from "../../../src/lib/json-scan.ts";

const WANTED = new Set(["model", "stream", "n"]);

function scan(chunks: Uint8Array[], wanted: ReadonlySet<string> = WANTED): Record<string, unknown> {
  const reader = new TopLevelScan(wanted);
  for (const chunk of chunks) reader.feed(chunk);
  return Object.fromEntries(reader.values);
}

/** What the scan must find: the scalars of the wanted keys, as JSON.parse sees them. */
function parsed(text: string): Record<string, unknown> {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter(([key, member]) => WANTED.has(key) && (typeof member !== "object" || member === null)),
  );
}

const documents = {
  plain: '{"model":"gpt-4","stream":true,"n":2}',
  spaced: '\n{ "model" :\t"gpt-4" ,\r\n "stream" : false , "n" : -1.5e3 }\n',
  nulls: '{"model":null,"stream":null,"n":null}',
  empty: "{}",
  "empty strings": '{"":"x","model":"","stream":true}',
  nested: '{"a":{"model":"inner","b":[{"stream":true}]},"model":"outer","c":[["model","x"],{"n":1}],"stream":false}',
  "objects under wanted keys": '{"model":{"model":"inner"},"stream":["stream",true],"n":[],"x":{"n":3}}',
  "wanted words as values": '{"a":"model","b":"stream","c":["model",":","x"],"model":"stream","stream":true}',
  "escaped key": '{"mod\\u0065l":"a","\\u0073tream":true}',
  "escaped quotes": '{"a":"\\"model\\":\\"no\\"","model":"say \\"hi\\" \\\\","b":"\\\\","stream":true}',
  "backslashes before quotes": '{"a":"\\\\\\"","b":"\\\\\\\\","model":"x","c":"\\\\\\\\\\"","n":7}',
  "brackets in strings": '{"a":"}]{[,:","model":"a}b]c,d:e","b":{"c":"}"},"stream":true}',
  unicode: '{"modél":"no","model":"größe-😀-\\ud83d\\ude00-\\u00e9","ключ":"значение","stream":true}',
  "after a long text": `{"messages":[{"content":"${'x\\n\\"'.repeat(200)}"}],"input":"${"é".repeat(300)}","model":"late","stream":true}`,
  "last of two": '{"model":"a","model":"b","stream":false,"stream":true}',
  "a similar key": '{"models":"no","mode":"no","xmodel":"no","model ":"no","Model":"no"}',
  "no object": '["model","x",{"model":"y"}]',
  string: '"model"',
  number: "7",
};

describe.each(Object.entries(documents))("%s", (_, text) => {
  const bytes = Buffer.from(text);
  const expected = parsed(text);

  test("whole", () => {
    expect(scan([bytes])).toEqual(expected);
  });

  test("cut in two at every place", () => {
    for (let at = 0; at <= bytes.length; at++)
      expect(scan([bytes.subarray(0, at), bytes.subarray(at)])).toEqual(expected);
  });

  test("byte by byte", () => {
    expect(scan(Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)))).toEqual(expected);
  });

  test("in chunks of every size", () => {
    for (let size = 2; size < Math.min(bytes.length, 64); size++) {
      const chunks: Uint8Array[] = [];
      for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
      expect(scan(chunks)).toEqual(expected);
    }
  });
});

test("the model behind a huge string", () => {
  const text = `{"file":"${"A".repeat(3 << 20)}","model":"late"}`;
  expect(scan([Buffer.from(text)])).toEqual({ model: "late" });
  const bytes = Buffer.from(text);
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += 65_536) chunks.push(bytes.subarray(at, at + 65_536));
  expect(scan(chunks)).toEqual({ model: "late" });
});

test("a text full of escapes is read in one pass", () => {
  // Looking for the closing quote anew after each escape would take minutes here.
  const text = `{"input":"${"\\n".repeat(4 << 20)}","model":"late"}`;
  expect(scan([Buffer.from(text)])).toEqual({ model: "late" });
});

test("a value that is too long counts as not there, and so does a key", () => {
  const long = "x".repeat(2000);
  expect(scan([Buffer.from(`{"model":"${long}","stream":true}`)])).toEqual({ stream: true });
  expect(scan([Buffer.from(`{"model":"a","${long}":"b","stream":true}`)])).toEqual({ model: "a", stream: true });
  expect(scan([Buffer.from(`{"${long}":"b","model":"a","${long}":1}`)])).toEqual({ model: "a" });
});

test("complete once every wanted key has been seen", () => {
  const reader = new TopLevelScan(new Set(["model", "stream"]));
  reader.feed(Buffer.from('{"model":"a",'));
  expect(reader.complete).toBe(false);
  reader.feed(Buffer.from('"stream":true'));
  expect(reader.complete).toBe(false);
  reader.feed(Buffer.from("}"));
  expect(reader.complete).toBe(true);
});

test.each(["", "{", "}", "}}}}", '{"model"', '{"model":', '{"model":"a', "]]{{", ":,:,", '{"model" "a"}', "\0\xff"])(
  "the broken document %p does no harm",
  text => {
    expect(Object.keys(scan([Buffer.from(text), Buffer.from(text)])).length).toBeLessThan(2);
  },
);

test("random documents, cut at random, as JSON.parse reads them", () => {
  let state = 1;
  const random = (limit: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  const strings = ["model", "stream", "n", "", 'a\\"b', "\\\\", "{", "}", "[", ",", ":", "\\u006d", "é😀", "\\n"];
  const key = (): string => `"${strings[random(strings.length)]}"`;
  const value = (depth: number): string => {
    const kind = random(depth > 3 ? 4 : 6);
    if (kind < 2) return key();
    if (kind === 2) return String(random(1000) - 500);
    if (kind === 3) return ["true", "false", "null"][random(3)] ?? "null";
    const members = Array.from({ length: random(4) }, () =>
      kind === 4 ? `${key()} : ${value(depth + 1)}` : value(depth + 1),
    ).join(",");
    return kind === 4 ? `{${members}}` : `[${members}]`;
  };
  for (let round = 0; round < 3000; round++) {
    const members = Array.from({ length: random(6) }, () => [key(), value(1)]);
    // Of a key that stands there twice, once with an object, JSON.parse keeps the object: not what is compared here.
    const unique = members.filter(([name], at) => members.findIndex(([other]) => other === name) === at);
    const text = `{${unique.map(([name, member]) => `${name}:${member}`).join(" , ")}}`;
    const bytes = Buffer.from(text);
    const [first, second] = [random(bytes.length), random(bytes.length)].sort((a, b) => a - b);
    const chunks = [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)];
    expect(scan(chunks)).toEqual(parsed(text));
  }
});
