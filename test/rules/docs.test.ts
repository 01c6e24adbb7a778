import { expect, test } from "bun:test";
import { stalePages } from "../../scripts/docs.ts";

test("every page that is made from the source is fresh; otherwise run npm run docs", async () => {
  expect(await stalePages()).toEqual([]);
});
