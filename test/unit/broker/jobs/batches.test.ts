import { expect, test } from "bun:test";
import { Batches } from "../../../../src/broker/jobs/store/batches.ts";

test("a transaction that fails is told to all who are in it, once, and the next one is another", async () => {
  const heard: string[] = [];
  let full = true;
  const batches = new Batches(
    {
      transact(work) {
        work();
        if (full) throw new Error("the disk is full");
      },
    },
    { written: () => void heard.push("written"), undone: cause => void heard.push(String(cause)) },
  );
  const failed = await Promise.allSettled([batches.write(() => 1), batches.write(() => 2)]);
  for (const one of failed) {
    expect(one).toMatchObject({ status: "rejected", reason: { code: "overloaded", status: 503 } });
  }
  full = false;
  expect(await batches.write(() => 3)).toBe(3);
  expect(heard).toEqual(["Error: the disk is full", "written"]);
  const last = batches.write(() => 4);
  await batches.close();
  expect(await last).toBe(4);
});
