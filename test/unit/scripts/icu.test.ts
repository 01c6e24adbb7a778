// What is taken out of a Bun runtime, and that it runs without.
import { describe, expect, test } from "bun:test";
import { trimIcu, used } from "../../../scripts/icu.ts";
import { runtime } from "../../../scripts/runtime.ts";

const HEADER = Buffer.concat([Buffer.from("9000da271400000000000200436d6e4401000000", "hex"), Buffer.alloc(124)]);

/** A package in ICU's format, as its documentation has it. */
function packageOf(items: Record<string, Buffer>): Buffer {
  const names = Object.keys(items);
  const text = names.map(name => `${name}\0`);
  const head = Buffer.alloc(4 + 8 * names.length);
  head.writeUInt32LE(names.length, 0);
  let name = head.length;
  let data = Math.ceil((name + text.join("").length) / 16) * 16;
  for (const [index, key] of names.entries()) {
    head.writeUInt32LE(name, 4 + 8 * index);
    head.writeUInt32LE(data, 8 + 8 * index);
    name += text[index]?.length ?? 0;
    data += items[key]?.length ?? 0;
  }
  const front = Buffer.concat([head, Buffer.from(text.join(""))]);
  return Buffer.concat([front, Buffer.alloc(-front.length & 15), ...Object.values(items)]);
}

const around = (middle: Buffer) =>
  Buffer.concat([Buffer.alloc(48, 7), HEADER, middle, Buffer.from("what follows in the executable")]);

describe("a package", () => {
  const kept = {
    "icudt78l/coll/root.res": Buffer.alloc(48, "b"),
    "icudt78l/en_GB.res": Buffer.alloc(32, "c"),
    "icudt78l/root.res": Buffer.alloc(16, "d"),
  };
  const [zu, dictionary] = [Buffer.alloc(64, "z"), Buffer.alloc(160, "x")];

  test("loses other languages and dictionaries; the rest and what stands around it stay", () => {
    const { "icudt78l/coll/root.res": coll, "icudt78l/en_GB.res": english, "icudt78l/root.res": root } = kept;
    const whole = packageOf({
      "icudt78l/brkitr/thaidict.dict": dictionary,
      "icudt78l/coll/root.res": coll,
      "icudt78l/de.res": Buffer.alloc(96, "y"),
      "icudt78l/en_GB.res": english,
      "icudt78l/root.res": root,
      "icudt78l/zu.res": zu,
    });
    const bytes = around(whole);
    const freed = trimIcu(bytes);
    const expected = packageOf(kept);
    const end = whole.length - zu.length;
    expect(freed).toBe(end - expected.length);
    expect(bytes.equals(around(Buffer.concat([expected, Buffer.alloc(freed), zu])))).toBe(true);
  });

  test("that is not sorted, or ends with what is needed, is refused", () => {
    const unsorted = packageOf({ "icudt78l/zu.res": zu, "icudt78l/de.res": zu });
    const needed = packageOf({ "icudt78l/de.res": zu, "icudt78l/root.res": zu });
    for (const strange of [unsorted, needed]) expect(() => trimIcu(around(strange))).toThrow("not as this script");
  });

  test("is not looked for where there is none", () => {
    const bytes = Buffer.alloc(4096, 1);
    expect(trimIcu(bytes)).toBe(0);
    expect(bytes.equals(Buffer.alloc(4096, 1))).toBe(true);
  });
});

test.each([
  ["icudt78l/en.res", true],
  ["icudt78l/lang/en_001.res", true],
  ["icudt78l/zh_Hant_TW.res", false],
  ["icudt78l/coll/ko.res", false],
  ["icudt78l/coll/res_index.res", false],
  ["icudt78l/zoneinfo64.res", true],
  ["icudt78l/pool.res", true],
  ["icudt78l/uts46.nrm", true],
  ["icudt78l/brkitr/cjdict.dict", false],
  ["icudt78l/brkitr/word.brk", true],
])("%s is used: %p", (name, answer) => {
  expect(used(name)).toBe(answer);
});

// macOS has ICU's data itself.
test.skipIf(process.platform === "darwin")(
  "the runtime of this machine knows English, time zones and names of hosts",
  async () => {
    const script = `console.log(JSON.stringify([
    (1234.5).toLocaleString(), (1e6).toLocaleString("de"), Intl.NumberFormat.supportedLocalesOf(["de", "en-GB"]),
    new Intl.DateTimeFormat("en", { dateStyle: "long", timeZone: "Asia/Tokyo" }).format(1e12),
    new Date(0).toString(), new URL("http://bücher.example").host, "e\\u0301".normalize("NFC").length,
    ["b", "a", "B"].sort((x, y) => x.localeCompare(y)).join(""), [...new Intl.Segmenter("ja").segment("今日は")].length,
  ]))`;
    const done = Bun.spawnSync([await runtime(undefined), "-e", script], { env: { TZ: "UTC" } });
    expect(done.stderr.toString()).toBe("");
    expect(JSON.parse(done.stdout.toString())).toEqual([
      "1,234.5",
      "1,000,000",
      [],
      "September 9, 2001",
      "Thu Jan 01 1970 00:00:00 GMT+0000 (Coordinated Universal Time)",
      "xn--bcher-kva.example",
      1,
      "abB",
      3,
    ]);
  },
);
