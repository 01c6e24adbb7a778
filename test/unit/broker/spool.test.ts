import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Budget } from "../../../src/broker/http/body/budget.ts";
import { Spool, type SpoolFile } from "../../../src/broker/http/body/spool.ts";
import { NfrxError } from "../../../src/lib/errors.ts";
import { noneSpooled, spooledFiles } from "../../kit/broker/spooled.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "spool-"));
});

afterEach(async () => {
  await noneSpooled();
  await rm(folder, { recursive: true });
});

const KIB = 1024;
const spoolOf = (limit = 10_000 * KIB, where = folder): { spool: Spool; budget: Budget } => {
  const budget = new Budget(limit, "too many uploads on disk");
  return { spool: new Spool(where, budget), budget };
};

const pattern = (length: number, seed: number): Buffer =>
  Buffer.alloc(length, Uint8Array.of(seed, 0, 255, seed + 1, 13, 10));

async function readAll(file: SpoolFile): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < file.length; ) {
    const chunk = await file.read(at);
    chunks.push(chunk);
    at += chunk.length;
  }
  return Buffer.concat(chunks);
}

async function failure(promise: Promise<unknown>): Promise<NfrxError> {
  const error: unknown = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof NfrxError) return error;
  throw new Error(`not an NfrxError: ${error}`);
}

test("what is read is what was written, however it was cut, as often as one likes", async () => {
  const { spool, budget } = spoolOf();
  const file = await spool.open();
  const pieces = [1, 7, 64 * KIB, 64 * KIB + 1, 300 * KIB].map(pattern);
  for (const piece of pieces) await file.append(piece);
  const whole = Buffer.concat(pieces);
  expect(file.length).toBe(whole.length);
  expect(budget.used).toBe(whole.length);
  for (let time = 0; time < 2; time++) expect((await readAll(file)).equals(whole)).toBeTrue();
  expect(Buffer.from(await file.read(70)).equals(whole.subarray(70, 70 + 64 * KIB))).toBeTrue();
  expect(await file.read(file.length)).toHaveLength(0);
  file.close();
  expect(budget.used).toBe(0);
});

test("two files know nothing of each other", async () => {
  const { spool, budget } = spoolOf();
  const [one, two] = [await spool.open(), await spool.open()];
  await Promise.all([one.append(Buffer.from("one")), two.append(Buffer.from("two!"))]);
  expect([(await readAll(one)).toString(), (await readAll(two)).toString()]).toEqual(["one", "two!"]);
  one.close();
  expect(budget.used).toBe(4);
  expect((await readAll(two)).toString()).toBe("two!");
  two.close();
});

test.if(process.platform === "linux")(
  "a file has no name while it is open, and is gone when it is closed",
  async () => {
    const { spool } = spoolOf();
    const file = await spool.open();
    await file.append(Buffer.from("secret"));
    expect(await readdir(folder)).toEqual([]);
    expect(spooledFiles()).toHaveLength(1);
    expect(spooledFiles()[0]).toStartWith(join(folder, "nfrx-upload-"));
    file.close();
    await noneSpooled();
    expect(await readdir(folder)).toEqual([]);
  },
);

test("a folder that is not there yet is made", async () => {
  const where = join(folder, "not", "yet");
  const file = await spoolOf(KIB, where).spool.open();
  file.close();
  expect(await readdir(join(folder, "not"))).toEqual(["yet"]);
});

test("a folder that cannot be used is `overloaded`, with the cause for the log and not for the client", async () => {
  const taken = join(folder, "a-file");
  await writeFile(taken, "");
  for (const where of [taken, join(taken, "below")]) {
    const { spool, budget } = spoolOf(KIB, where);
    const error = await failure(spool.open());
    expect(error).toMatchObject({ code: "overloaded", message: "cannot store the upload on disk", status: 503 });
    expect(String(error.detail.cause)).toMatch(/EEXIST|ENOTDIR/);
    expect(error.detail.retryAfterSeconds).toBeGreaterThan(0);
    expect(budget.used).toBe(0);
  }
});

test("more than the budget is refused, what was taken is given back", async () => {
  const { spool, budget } = spoolOf(100);
  const [one, two] = [await spool.open(), await spool.open()];
  await one.append(pattern(60, 1));
  const error = await failure(two.append(pattern(41, 2)));
  expect(error).toMatchObject({ code: "overloaded", message: "too many uploads on disk" });
  expect(two.length).toBe(0);
  await two.append(pattern(40, 2));
  expect(budget.used).toBe(100);
  one.close();
  await two.append(pattern(60, 3));
  expect((await readAll(two)).equals(Buffer.concat([pattern(40, 2), pattern(60, 3)]))).toBeTrue();
  two.close();
  expect(budget.used).toBe(0);
});

test("closing twice gives the disk back once", async () => {
  const { spool, budget } = spoolOf();
  const [one, two] = [await spool.open(), await spool.open()];
  await one.append(pattern(10, 1));
  await two.append(pattern(10, 2));
  one.close();
  one.close();
  expect(budget.used).toBe(10);
  two.close();
  expect(budget.used).toBe(0);
});

test("a file that is closed under a read or a write ends it first; what comes later is `canceled`", async () => {
  const { spool, budget } = spoolOf();
  const file = await spool.open();
  await file.append(pattern(200 * KIB, 1));
  const reads = [file.read(0), file.read(64 * KIB)].map(read => read.catch((error: unknown) => error));
  const write = file.append(pattern(200 * KIB, 2)).catch((error: unknown) => error);
  file.close();
  for (const settled of await Promise.all([...reads, write])) {
    // It was done before the close, or was never begun.
    if (settled instanceof Uint8Array) expect(settled).toHaveLength(64 * KIB);
    else if (settled !== undefined) expect(settled).toMatchObject({ code: "canceled" });
  }
  expect(await failure(file.read(0))).toMatchObject({ code: "canceled" });
  await noneSpooled();
  expect(budget.used).toBe(0);
});

test("writing to a closed file takes nothing of the budget", async () => {
  const { spool, budget } = spoolOf();
  const file = await spool.open();
  file.close();
  expect(await failure(file.append(pattern(10, 1)))).toMatchObject({ code: "canceled" });
  expect(budget.used).toBe(0);
});
