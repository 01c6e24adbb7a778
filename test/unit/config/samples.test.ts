import { expect, test } from "bun:test";
import { programs } from "../../../cmd/programs.ts";
import { limitsPage } from "../../../src/config/render.ts";
import { sampleEnv, sampleYaml } from "../../../src/config/samples.ts";
import { valuesOf } from "./host.ts";

const uncommented = (text: string) => text.replace(/^#(?!#)/gm, "");

test("a sample file with every line uncommented says what the defaults say", () => {
  for (const program of programs) {
    expect(valuesOf(program, { file: uncommented(sampleYaml(program)) })).toEqual(valuesOf(program, {}));
  }
});

test("so does a sample environment", () => {
  for (const program of programs) {
    const lines = uncommented(sampleEnv(program)).split("\n");
    const pairs = lines.filter(line => /^[A-Z]/.test(line)).map(line => line.split(/=(.*)/s).slice(0, 2));
    expect(pairs.length).toBeGreaterThan(10);
    expect(valuesOf(program, { env: Object.fromEntries(pairs) })).toEqual(valuesOf(program, {}));
  }
});

test("limits are read from the source of the protocol", () => {
  const source =
    '/** Bytes at most. */\nexport const A_MAX = 64 * 1024;\n/**\n * Two\n * lines.\n */\nexport const B_MS = 1_500;\n/** No number. */\nexport const C = "x";\n';
  const page = limitsPage(source, "/** Of a room. */\nconst ROOM_BYTES = 3 * 7;\n", programs);
  expect(page).toContain("| `A_MAX` | 65,536 | Bytes at most. |");
  expect(page).toContain("| `B_MS` | 1500 | Two lines. |");
  expect(page).toContain("| `ROOM_BYTES` | 21 | Of a room. |");
  expect(page).not.toContain("`C`");
  expect(page).toContain("| `LLM_QUEUE_SIZE` | `100` | 0 | 100,000 |");
});
