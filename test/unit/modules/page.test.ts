// What doc/plugins.md lists is what there is.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { option } from "../../../src/config/option.ts";
import { isErrorCode, NfrxError } from "../../../src/lib/errors.ts";
import * as api from "../../../src/modules/api.ts";

const page = readFileSync(join(import.meta.dir, "../../../doc/plugins.md"), "utf8");
const words = (text: string): string[] => [...text.matchAll(/`([\w-]+)`/g)].flatMap(([, word]) => word ?? []);

test("the exports of nfrx/plugin", () => {
  const listed = words(/`nfrx\/plugin` exports ([^.]*)/.exec(page)?.[1] ?? "");
  expect(listed.toSorted()).toEqual(Object.keys(api).toSorted());
});

test("the kinds of options", () => {
  const rows = /\| Kind \|[^\n]*\n\|[-|]*\n((?:\|[^\n]*\n)+)/.exec(page)?.[1]?.trim().split("\n") ?? [];
  const listed = rows.flatMap(row => words(row.split("|")[1] ?? ""));
  expect(listed.toSorted()).toEqual(Object.keys(option).toSorted());
});

test("the statuses of the errors", () => {
  const rows = [...page.matchAll(/^\| (\d{3})(?:, (\d{3}))? \| (.*) \|$/gm)];
  const codes = rows.flatMap(([, first, second, cell = ""]) =>
    words(cell).map((code, at) => ({ code, statuses: second === undefined || at === 0 ? first : second })),
  );
  expect(codes).toHaveLength(17);
  for (const { code, statuses } of codes)
    expect([code, isErrorCode(code) && String(new NfrxError(code, "").status)]).toEqual([code, statuses ?? ""]);
});
