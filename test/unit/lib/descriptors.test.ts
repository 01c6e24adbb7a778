import { expect, test } from "bun:test";
import { checkDescriptors, WANTED_DESCRIPTORS } from "../../../src/lib/file-descriptors.ts";

test("doctor warns where few files may be open", () => {
  const verdicts = (limit: number | undefined) => [...checkDescriptors(limit)].map(({ verdict }) => verdict);
  expect(verdicts(1024)).toEqual(["warn"]);
  expect(verdicts(WANTED_DESCRIPTORS)).toEqual(["ok"]);
  expect([...checkDescriptors(1024)][0]?.text).toContain("LimitNOFILE");
});
