/**
 * So many bytes from one process to another, through a transfer channel and through a plain pipe.
 *
 * The plain pipe is the same work without a channel: one process POSTs a body to nginx, which passes it on as it comes
 * (no request buffering) to a process that takes it. Writers and readers are the same code on raw sockets in both, so that
 * what differs is the hop. The broker has to frame its answer in chunks, nginx passes the length on; that is part of it.
 */
import { z } from "zod";
import { readLines } from "../lines.ts";
import { LoadDriver } from "../load/driver.ts";
import { median, minus } from "../stats.ts";
import { cpuSeconds, peakMiB, resetPeak, residentMiB } from "../world/proc.ts";
import { type Part, pidsOf, type Way, type WayKind } from "../world/way.ts";
import { type Bench, checked, ROOMY } from "../world/world.ts";

export interface TransferRow {
  way: string;
  mib: number;
  /** 10⁶ bytes a second. */
  mbPerSecond: number | null;
  /** Of the hop, for each GiB. */
  cpuSeconds: number | null;
  /** The hop's peak above what was resident before the first large transfer. */
  growthMiB: number | null;
}

const MIB = 1024 * 1024;
const LIMIT_MS = 100_000;
const WARMUP_BYTES = 64 * MIB;

const created = z.object({ channel_id: z.string() });
const sinkHello = z.object({ port: z.number() });

/** Ways with a sink behind them, and `brokers`, whose channels have two ends. */
export async function benchTransfer(
  bench: Bench,
  pipes: readonly WayKind[],
  brokers: readonly WayKind[],
): Promise<TransferRow[]> {
  const { bytes, rounds } = bench.plan.transfer;
  const { children } = bench;
  try {
    const port = await startSink(bench);
    const ways: { way: Way; channel: boolean }[] = [];
    for (const kind of pipes) ways.push({ way: await kind.start(children, port, ROOMY), channel: false });
    for (const kind of brokers) ways.push({ way: await kind.start(children, port, ROOMY), channel: true });
    // A process for each end, so that neither slows the other.
    const [writer, reader] = [await LoadDriver.start(children), await LoadDriver.start(children)];
    const move = (way: Way, channel: boolean, count: number): Promise<number | null> =>
      channel ? throughChannel(bench, way, writer, reader, count) : throughPipe(bench, way, writer, count);

    bench.note("transfer: warm-up");
    for (const { way, channel } of ways) await move(way, channel, WARMUP_BYTES);
    const before = new Map(ways.map(({ way }) => [way, mark(way)]));
    const rates = new Map<Way, number[]>(ways.map(({ way }) => [way, []]));
    for (let round = 1; round <= rounds; round++) {
      bench.note(`transfer: round ${round} of ${rounds}`);
      for (const { way, channel } of ways) {
        const seconds = await move(way, channel, bytes);
        if (seconds !== null) rates.get(way)?.push(bytes / 1e6 / seconds);
      }
    }
    return ways.map(({ way }) => {
      const [hop] = way.parts;
      const pids = hop === undefined ? [] : pidsOf(hop);
      const was = before.get(way);
      const cpu = hop === undefined ? null : minus(cpuSeconds(pids), was?.cpu);
      return {
        way: way.name,
        mib: bytes / MIB,
        mbPerSecond: median(rates.get(way) ?? []),
        cpuSeconds: cpu === null ? null : (cpu * 1024 * MIB) / (bytes * rounds),
        growthMiB: hop === undefined ? null : minus(peakMiB(pids), was?.resident),
      };
    });
  } finally {
    await children.stopAll();
  }
}

/** What the hop has used so far; its peak counts from here. */
function mark(way: Way): { cpu: number | null; resident: number | null } | undefined {
  const hop: Part | undefined = way.parts[0];
  if (hop === undefined) return undefined;
  const pids = pidsOf(hop);
  resetPeak(pids);
  return { cpu: cpuSeconds(pids), resident: residentMiB(pids) };
}

/** The seconds that a body took to the sink. */
async function throughPipe(bench: Bench, way: Way, writer: LoadDriver, bytes: number): Promise<number | null> {
  const result = await writer.run({ kind: "push", target: way.target("/sink"), bytes, deadlineMs: LIMIT_MS });
  checked(bench, `transfer ${way.name}`, result);
  return result.answered === 1 ? (result.seconds ?? null) : null;
}

/** The seconds until both ends had all of it. */
async function throughChannel(
  bench: Bench,
  way: Way,
  writer: LoadDriver,
  reader: LoadDriver,
  bytes: number,
): Promise<number | null> {
  const { port, token } = way.target("");
  const response = await fetch(`http://127.0.0.1:${port}/api/transfer`, {
    method: "POST",
    headers: { authorization: `Bearer ${token}` },
  });
  const { channel_id } = created.parse(await response.json());
  const target = { port, token, path: `/api/transfer/${channel_id}` };
  const results = await Promise.all([
    reader.run({ kind: "pull", target, bytes, deadlineMs: LIMIT_MS }),
    writer.run({ kind: "push", target, bytes, deadlineMs: LIMIT_MS }),
  ]);
  for (const result of results) checked(bench, `transfer ${way.name}`, result);
  return results.every(({ answered }) => answered === 1)
    ? Math.max(...results.map(({ seconds }) => seconds ?? Number.NaN))
    : null;
}

async function startSink({ children }: Bench): Promise<number> {
  const child = children.talk("sink", "world/sink.ts");
  const first = Promise.withResolvers<number>();
  readLines(child.lines, line => first.resolve(sinkHello.parse(JSON.parse(line)).port)).finally(() =>
    first.reject(new Error(`the sink ended: ${child.log()}`)),
  );
  return first.promise;
}
