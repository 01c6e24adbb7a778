// Where a request's body is kept, and what it takes of memory and disk until it is released.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HELD_BODY_BYTES, type RequestBody, readBody } from "../../../src/broker/proxy/body.ts";
import { Budget } from "../../../src/broker/proxy/budget.ts";
import { Spool } from "../../../src/broker/proxy/spool.ts";
import { MIB } from "../../kit/form.ts";
import { noneSpooled, spooledFiles } from "../../kit/spooled.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "body-"));
});

afterEach(async () => {
  await noneSpooled();
  await rm(folder, { recursive: true });
});

interface Place {
  maxBytes: number;
  memory: Budget;
  disk: Budget;
  spool: Spool;
}

function place(options: { maxBytes?: number; memory?: number; disk?: number; folder?: string } = {}): Place {
  const memory = new Budget(options.memory ?? 100 * MIB, "no memory");
  const disk = new Budget(options.disk ?? 100 * MIB, "no disk");
  return { maxBytes: options.maxBytes ?? 100 * MIB, memory, disk, spool: new Spool(options.folder ?? folder, disk) };
}

/** A client that sends `mebibytes` of pieces, each filled with its number, and does as told after the last. */
class Client {
  /** Pieces that have been taken. */
  taken = 0;
  canceled = false;
  readonly request: Request;

  constructor(
    private readonly pieces: number,
    options: { announced?: number; after?: "end" | "vanish" | "wait"; size?: number } = {},
  ) {
    const { announced, after = "end", size = MIB } = options;
    const body = new ReadableStream<Uint8Array>(
      {
        pull: controller => {
          if (this.taken < this.pieces) return controller.enqueue(new Uint8Array(size).fill(++this.taken));
          if (after === "end") return controller.close();
          if (after === "vanish") return controller.error(new Error("the connection was closed"));
          return new Promise<void>(() => undefined);
        },
        cancel: () => {
          this.canceled = true;
        },
      },
      { highWaterMark: 0 },
    );
    const headers: Record<string, string> = announced === undefined ? {} : { "content-length": String(announced) };
    this.request = new Request("http://broker/", { method: "POST", body, headers });
  }
}

const always = (): boolean => true;
const never = (): boolean => false;
/** Enough once the piece of this number has come. */
const piece =
  (number: number) =>
  (chunk: Uint8Array): boolean =>
    chunk[0] === number;

/** The numbers of the pieces, MiB by MiB, that a body hands out. */
async function sent(body: RequestBody): Promise<number[]> {
  const copies: Buffer[] = [];
  for await (const chunk of body.chunks()) copies.push(Buffer.from(chunk));
  return numbers(Buffer.concat(copies));
}

function numbers(bytes: Buffer): number[] {
  expect(bytes.length % MIB).toBe(0);
  return Array.from({ length: bytes.length / MIB }, (_, at) => {
    const part = bytes.subarray(at * MIB, (at + 1) * MIB);
    expect(part.equals(Buffer.alloc(MIB, part[0]))).toBeTrue();
    return part[0]!;
  });
}

const upTo = (last: number): number[] => Array.from({ length: last }, (_, at) => at + 1);

const failed = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "it went well",
    (error: unknown) => error,
  );

test("a small announced body is whole, and takes memory for what was announced", async () => {
  const here = place();
  let scanned = 0;
  const body = await readBody(new Client(2, { announced: 2 * MIB }).request, here, () => ++scanned > 0);
  expect([body.whole, body.arrived, body.length, scanned]).toEqual([true, true, 2 * MIB, 0]);
  expect(numbers(Buffer.from(body.bytes))).toEqual([1, 2]);
  expect(here.memory.used).toBe(2 * MIB);
  body.release();
  body.release();
  expect([here.memory.used, here.disk.used]).toEqual([0, 0]);
});

test("so is one whose length nobody knew, be it enough at once or never", async () => {
  for (const enough of [always, never, piece(3)]) {
    const here = place();
    const body = await readBody(new Client(3).request, here, enough);
    expect([body.whole, body.arrived, body.length]).toEqual([true, true, 3 * MIB]);
    expect(numbers(Buffer.from(body.bytes))).toEqual([1, 2, 3]);
    expect(here.memory.used).toBe(3 * MIB);
    body.release();
    expect([here.memory.used, here.disk.used]).toEqual([0, 0]);
  }
});

test("no body at all is an empty one", async () => {
  const here = place();
  const headers = { "content-length": "1000" };
  for (const request of [
    new Request("http://broker/"),
    new Request("http://broker/", { method: "POST" }),
    // What a GET announces does not come.
    new Request("http://broker/", { headers }),
  ]) {
    const body = await readBody(request, here, never);
    expect([body.whole, body.length, body.bytes.length]).toEqual([true, 0, 0]);
    body.release();
  }
  expect(here.memory.used).toBe(0);
});

test("exactly what is held is still whole", async () => {
  for (const announced of [HELD_BODY_BYTES, undefined]) {
    const here = place();
    const client = new Client(8, announced === undefined ? {} : { announced });
    const body = await readBody(client.request, here, never);
    expect([body.whole, body.length, here.disk.used]).toEqual([true, HELD_BODY_BYTES, 0]);
    body.release();
    expect(here.memory.used).toBe(0);
  }
});

test("a large announced body stays with the client once it is known whom it is for", async () => {
  const here = place();
  const client = new Client(20, { announced: 20 * MIB });
  const body = await readBody(client.request, here, piece(2));
  expect([body.whole, body.arrived, body.length, client.taken]).toEqual([false, false, 20 * MIB, 2]);
  expect([here.memory.used, here.disk.used]).toEqual([2 * MIB, 0]);
  expect(await sent(body)).toEqual(upTo(20));
  expect(here.memory.used).toBe(0);
  body.release();
  expect([here.memory.used, here.disk.used]).toEqual([0, 0]);
});

test("of one whose length nobody knows eight MiB are taken, to see whether it is small", async () => {
  const here = place();
  const client = new Client(20);
  const body = await readBody(client.request, here, always);
  expect([body.whole, body.arrived, body.length, client.taken]).toEqual([false, false, undefined, 8]);
  expect(here.memory.used).toBe(8 * MIB);
  expect(await sent(body)).toEqual(upTo(20));
  body.release();
  expect(here.memory.used).toBe(0);
});

test("memory is given back as soon as its bytes are on their way", async () => {
  const here = place();
  const body = await readBody(new Client(20, { announced: 20 * MIB }).request, here, piece(2));
  const chunks = body.chunks();
  for (let at = 0; at < 3; at++) await chunks.next();
  expect(here.memory.used).toBe(0);
  body.release();
  expect(here.memory.used).toBe(0);
});

for (const announced of [20 * MIB, undefined]) {
  const about = announced === undefined ? "chunked" : "announced";

  test(`a large body whose end must be known waits on disk, and can be read again and again (${about})`, async () => {
    const here = place();
    const client = new Client(20, announced === undefined ? {} : { announced });
    const body = await readBody(client.request, here, piece(20));
    expect([body.whole, body.arrived, body.length]).toEqual([false, true, 20 * MIB]);
    expect([here.memory.used, here.disk.used]).toEqual([0, 20 * MIB]);
    for (let time = 0; time < 2; time++) expect(await sent(body)).toEqual(upTo(20));
    body.release();
    body.release();
    expect([here.memory.used, here.disk.used]).toEqual([0, 0]);
  });

  test(`what has gone to disk goes there to its end, for then it can be sent again (${about})`, async () => {
    const here = place();
    const body = await readBody(new Client(20, announced === undefined ? {} : { announced }).request, here, piece(12));
    expect([body.arrived, body.length, here.disk.used]).toEqual([true, 20 * MIB, 20 * MIB]);
    expect(await sent(body)).toEqual(upTo(20));
    body.release();
    expect([here.memory.used, here.disk.used]).toEqual([0, 0]);
  });

  test(`a client that vanishes is \`canceled\`, and leaves nothing (${about})`, async () => {
    for (const [pieces, enough] of [
      [1, never],
      [7, never],
      [9, never],
      [12, piece(10)],
    ] as const) {
      const here = place();
      const client = new Client(pieces, { after: "vanish", ...(announced !== undefined && { announced }) });
      expect(await failed(readBody(client.request, here, enough))).toMatchObject({ code: "canceled" });
      expect([here.memory.used, here.disk.used]).toEqual([0, 0]);
    }
  });

  test(`so is one that vanishes while its body passes through (${about})`, async () => {
    const here = place();
    const client = new Client(12, { after: "vanish", ...(announced !== undefined && { announced }) });
    const body = await readBody(client.request, here, always);
    expect(await failed(sent(body))).toMatchObject({ code: "canceled" });
    body.release();
    expect([here.memory.used, here.disk.used]).toEqual([0, 0]);
  });

  test(`more than one may send is \`too_large\`, and leaves nothing (${about})`, async () => {
    for (const [maxBytes, enough] of [
      [5 * MIB, never],
      [10 * MIB, never],
      [10 * MIB, piece(10)],
    ] as const) {
      const here = place({ maxBytes });
      const client = new Client(20, announced === undefined ? {} : { announced });
      const error = await failed(readBody(client.request, here, enough));
      expect(error).toMatchObject({ code: "too_large" });
      expect(String(error)).toContain(String(maxBytes));
      expect([here.memory.used, here.disk.used]).toEqual([0, 0]);
      expect(client.taken).toBeLessThanOrEqual(announced === undefined ? maxBytes / MIB + 1 : 0);
    }
  });
}

test("a limit is found on the way through, too; exactly the limit may pass", async () => {
  for (const [maxBytes, expected] of [
    [12 * MIB - 1, "too_large"],
    [12 * MIB, undefined],
  ] as const) {
    const here = place({ maxBytes });
    const body = await readBody(new Client(12).request, here, always);
    const outcome = await failed(sent(body));
    if (expected === undefined) expect(outcome).toBe("it went well");
    else expect(outcome).toMatchObject({ code: expected });
    body.release();
    expect(here.memory.used).toBe(0);
  }
});

test("a body that ends before its announced length is no whole one", async () => {
  for (const enough of [never, always]) {
    const here = place();
    const read = async (): Promise<number[]> => {
      const body = await readBody(new Client(12, { announced: 20 * MIB }).request, here, enough);
      return sent(body).finally(() => body.release());
    };
    expect(await failed(read())).toMatchObject({ code: "canceled" });
    expect([here.memory.used, here.disk.used]).toEqual([0, 0]);
  }
});

test("no memory: `overloaded`, and nothing stays taken", async () => {
  for (const options of [{ announced: 3 * MIB }, {}]) {
    const here = place({ memory: 2 * MIB });
    expect(await failed(readBody(new Client(3, options).request, here, never))).toMatchObject({
      code: "overloaded",
      message: "no memory",
    });
    expect(here.memory.used).toBe(0);
  }
});

test("no disk: `overloaded`, and nothing stays taken", async () => {
  const here = place({ disk: 12 * MIB });
  const client = new Client(20, { announced: 20 * MIB });
  expect(await failed(readBody(client.request, here, never))).toMatchObject({ code: "overloaded", message: "no disk" });
  expect([here.memory.used, here.disk.used]).toEqual([0, 0]);
  expect(client.canceled).toBeTrue();
});

test("no folder: `overloaded`, but only for those that need it", async () => {
  const taken = join(folder, "a-file");
  await writeFile(taken, "");
  const here = place({ folder: taken });
  const client = new Client(20, { announced: 20 * MIB });
  expect(await failed(readBody(client.request, here, never))).toMatchObject({ code: "overloaded" });
  expect([here.memory.used, here.disk.used]).toEqual([0, 0]);
  const passing = await readBody(new Client(20, { announced: 20 * MIB }).request, here, always);
  expect(await sent(passing)).toEqual(upTo(20));
  passing.release();
});

test("what looks at the chunks may fail: nothing stays taken", async () => {
  for (const at of [1, 9, 12]) {
    const here = place();
    const client = new Client(20, { announced: 20 * MIB });
    const looking = readBody(client.request, here, chunk => {
      if (chunk[0] === at) throw new Error("no form");
      return false;
    });
    expect(String(await failed(looking))).toContain("no form");
    expect([here.memory.used, here.disk.used]).toEqual([0, 0]);
    expect(client.canceled).toBeTrue();
  }
});

test("a body that is released while it passes through stops its client", async () => {
  const here = place();
  const client = new Client(12, { announced: 20 * MIB, after: "wait" });
  const body = await readBody(client.request, here, always);
  const passing = failed(sent(body));
  while (client.taken < 12) await Promise.resolve();
  body.release();
  expect(await passing).toMatchObject({ code: "canceled" });
  expect(client.canceled).toBeTrue();
  expect(here.memory.used).toBe(0);
});

test("a body on disk that is released while it is read ends there", async () => {
  const here = place();
  const body = await readBody(new Client(12, { announced: 12 * MIB }).request, here, never);
  const chunks = body.chunks();
  await chunks.next();
  body.release();
  expect(await failed(chunks.next())).toMatchObject({ code: "canceled" });
  await noneSpooled();
  if (process.platform === "linux") expect(spooledFiles()).toEqual([]);
  expect(here.disk.used).toBe(0);
});
