// Large and many transfers through a broker of its own process.
import { expect, test } from "bun:test";
import { RawClient } from "../kit/http/raw-client.ts";
import { blockAt, MIB } from "../kit/http/upload.ts";
import { randomness } from "../kit/load/storm.ts";
import { AUTHORIZED, type BrokerProgram } from "../kit/process/broker.ts";
import { Processes, troubles } from "../kit/processes.ts";
import { until } from "../kit/time/until.ts";

/** Whole size against the programs as they are shipped; from source, where everybody's npm test runs it, less. */
const built = Boolean(process.env["NFRX_DIST"]);
const SIZE = built ? 1024 : 256;
/** MiB by which the broker may grow, however much passes. */
const GROWTH = 32;
const LIMIT_MS = 120_000;

async function create(broker: BrokerProgram): Promise<string> {
  const response = await fetch(`${broker.origin}/api/transfer`, { method: "POST", headers: AUTHORIZED });
  return JSON.parse(await response.text()).channel_id;
}

/** Sends so many MiB; resolves with their SHA-256 when the kernel has the last of them. */
async function send(client: RawClient, id: string, mib: number): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  await client.write(client.head(`/api/transfer/${id}`, { ...AUTHORIZED, "content-length": String(mib * MIB) }));
  for (let i = 0; i < mib && !client.closed; i++) {
    hash.update(blockAt(i));
    await client.write(blockAt(i));
  }
  return hash.digest("hex");
}

/** Reads a channel to its end; resolves with the bytes' number and SHA-256. `between` is waited for after every chunk. */
async function receive(
  broker: BrokerProgram,
  id: string,
  between: (bytes: number) => Promise<void> | undefined = () => undefined,
): Promise<{ bytes: number; sha256: string; length: string | null }> {
  const response = await fetch(`${broker.origin}/api/transfer/${id}`, { headers: AUTHORIZED, keepalive: false });
  const hash = new Bun.CryptoHasher("sha256");
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    hash.update(chunk);
    bytes += chunk.length;
    await between(bytes);
  }
  return { bytes, sha256: hash.digest("hex"), length: response.headers.get("x-transfer-length") };
}

/** So many MiB through a channel; fails unless every byte arrives. */
async function pass(broker: BrokerProgram, mib: number): Promise<void> {
  const id = await create(broker);
  const client = await RawClient.connect(broker.port);
  const [received, sha256] = await Promise.all([receive(broker, id), send(client, id, mib)]);
  await client.settled(LIMIT_MS);
  expect([client.status, client.text]).toEqual([200, '{"status":"ok"}']);
  expect(received).toEqual({ bytes: mib * MIB, sha256, length: String(mib * MIB) });
  client.destroy();
}

test(
  `${SIZE} MiB through one channel: every byte, and none of them stays in memory`,
  async () => {
    await using processes = new Processes();
    const broker = await processes.broker();
    await pass(broker, 16);
    const before = broker.rss;
    broker.resetPeak();
    await pass(broker, SIZE);
    expect(broker.peak - before).toBeLessThan(GROWTH);
    await broker.quiet();
    expect(troubles(processes)).toEqual([]);
  },
  LIMIT_MS,
);

test(
  "a reader that stands still holds its writer back instead of filling memory, and nobody else",
  async () => {
    await using processes = new Processes();
    const broker = await processes.broker();
    await pass(broker, 16);
    const before = broker.rss;
    broker.resetPeak();
    const id = await create(broker);
    const client = await RawClient.connect(broker.port);
    const [still, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const received = receive(broker, id, bytes => {
      if (bytes < MIB) return undefined;
      still.resolve();
      return goOn.promise;
    });
    let sent = false;
    const sending = send(client, id, 256).finally(() => {
      sent = true;
    });
    await until(still.promise, "the first MiB");
    // While others pass, as much of this one is taken as ever will be.
    await pass(broker, 64);
    expect(sent).toBeFalse();
    expect(broker.peak - before).toBeLessThan(GROWTH);
    goOn.resolve();
    expect((await received).sha256).toBe(await sending);
    await client.settled();
    expect(client.text).toBe('{"status":"ok"}');
    expect(broker.peak - before).toBeLessThan(GROWTH);
    client.destroy();
    await broker.quiet();
  },
  LIMIT_MS,
);

test(
  "readers and writers that die anywhere leave nothing behind, and nobody who gets less than all believes it",
  async () => {
    await using processes = new Processes();
    const broker = await processes.broker();
    await pass(broker, 16);
    const random = randomness(5);
    const outcomes = { whole: 0, cut: 0 };
    const one = async (): Promise<void> => {
      const id = await create(broker);
      const mib = 1 + Math.floor(random() * 4);
      const [reader, writer] = await Promise.all([RawClient.connect(broker.port), RawClient.connect(broker.port)]);
      const how = random() < 0.5 ? "rst" : "fin";
      const dies = random();
      const [early, late] = [random() < 0.5, Math.floor(random() * mib * MIB)];
      const read = (): Promise<void> =>
        reader.write(
          `GET /api/transfer/${id} HTTP/1.1\r\nHost: x\r\nAuthorization: ${AUTHORIZED["authorization"]}\r\n\r\n`,
        );
      if (early) await read();
      const sending = send(writer, id, mib);
      if (!early) await read();
      if (dies < 0.6) {
        const dead = dies < 0.3 ? reader : writer;
        await reader.when(() => reader.bytesIn >= late || reader.complete || reader.closed, "a part");
        dead.destroy(how);
      }
      await Promise.all([sending, reader.settled(60_000), writer.settled(60_000)]);
      const whole = reader.complete && reader.status === 200;
      // Whole for the reader is all of it; who is told that the reader has it is right.
      if (whole) expect(reader.body.length).toBe(mib * MIB);
      if (writer.complete && writer.status === 200 && !reader.closed) expect(whole).toBeTrue();
      if (dies >= 0.6) expect([whole, writer.status]).toEqual([true, 200]);
      outcomes[whole ? "whole" : "cut"]++;
      reader.destroy();
      writer.destroy();
    };
    const rounds = built ? 40 : 10;
    for (let round = 0; round < rounds; round++) await Promise.all(Array.from({ length: 8 }, one));
    expect(outcomes.whole).toBeGreaterThan(rounds);
    expect(outcomes.cut).toBeGreaterThan(rounds);
    await broker.quiet();
    const text = await (await fetch(`${broker.origin}/metrics`)).text();
    for (const state of ["waiting", "running"])
      expect(text).toContain(`\nnfrx_transfer_channels{state="${state}"} 0\n`);
    expect(troubles(processes)).toEqual([]);
  },
  LIMIT_MS,
);
