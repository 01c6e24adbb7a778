/** One 200 MB upload during 50 token streams. */

import { LoadDriver } from "../load/driver.ts";
import { median, minus } from "../stats.ts";
import { peakMiB, resetPeak, residentMiB } from "../world/proc.ts";
import { type Part, pidsOf, type Way } from "../world/way.ts";
import { type Bench, checked, inWorld, ROOMY, type World } from "../world/world.ts";

export interface UploadRow {
  way: string;
  /** 10⁶ bytes a second. */
  mbPerSecond: number | null;
  quietP50: number | null;
  quietP99: number | null;
  uploadP50: number | null;
  uploadP99: number | null;
  /** The peak during the upload above what was resident before it. */
  brokerGrowthMiB: number | null;
  agentGrowthMiB: number | null;
}

const LIMIT_MS = 60_000;
const SETTLE_MS = 500;

export async function benchUpload(bench: Bench): Promise<UploadRow[]> {
  const rounds: UploadRow[] = [];
  await inWorld(bench, bench.kinds, ROOMY, async world => {
    // The uploader is a process of its own, so that pushing bytes does not delay the stamps of the streams.
    const uploader = await LoadDriver.start(bench.children);
    bench.note("upload: warm-up");
    for (const way of world.ways) await warmUp(bench, world, way);
    for (let round = 1; round <= bench.plan.upload.rounds; round++) {
      for (const way of world.ways) {
        bench.note(`upload: ${way.name}, round ${round} of ${bench.plan.upload.rounds}`);
        rounds.push(await once(bench, world, uploader, way));
      }
    }
  });
  const ways = [...new Set(rounds.map(row => row.way))];
  return ways.map(way => {
    const own = rounds.filter(row => row.way === way);
    const middle = (field: Exclude<keyof UploadRow, "way">): number | null =>
      median(own.map(row => row[field] ?? Number.NaN));
    return {
      way,
      mbPerSecond: middle("mbPerSecond"),
      quietP50: middle("quietP50"),
      quietP99: middle("quietP99"),
      uploadP50: middle("uploadP50"),
      uploadP99: middle("uploadP99"),
      brokerGrowthMiB: middle("brokerGrowthMiB"),
      agentGrowthMiB: middle("agentGrowthMiB"),
    };
  });
}

/** The streams alone, and not measured. */
async function warmUp(bench: Bench, world: World, way: Way): Promise<void> {
  const target = way.target("/v1/chat/completions");
  const { streams } = bench.plan.upload;
  checked(
    bench,
    `upload warm-up ${way.name}`,
    await world.load.run({
      kind: "streams",
      target,
      streams,
      chunks: 150,
      intervalMs: 5,
      spreadMs: 100,
      deadlineMs: LIMIT_MS,
    }),
  );
}

async function once(bench: Bench, world: World, uploader: LoadDriver, way: Way): Promise<UploadRow> {
  const { bytes, streams, quietMs } = bench.plan.upload;
  const target = way.target("/v1/chat/completions");
  const what = `upload ${way.name}`;
  const report = (when: string, result: Awaited<ReturnType<LoadDriver["run"]>>) =>
    checked(bench, `${what}, ${when}`, result);

  report("start", await world.load.run({ kind: "flow", target, streams, intervalMs: 5, deadlineMs: 10_000 }));
  await Bun.sleep(SETTLE_MS);
  await world.load.run({ kind: "mark" });
  await Bun.sleep(quietMs);
  const quiet = report("quiet streams", await world.load.run({ kind: "mark" }));
  const pids = way.parts.map(part => ({ name: part.name, pids: pidsOf(part) }));
  for (const part of pids) resetPeak(part.pids);
  const before = pids.map(part => ({ ...part, resident: residentMiB(part.pids) }));
  const upload = report("body", await uploader.run({ kind: "upload", target, bytes, deadlineMs: LIMIT_MS }));
  const loaded = report("streams during it", await world.load.run({ kind: "mark" }));
  const growth = (name: Part["name"]): number | null => {
    const part = before.find(one => one.name === name);
    return part === undefined ? null : minus(peakMiB(part.pids), part.resident);
  };
  const row = {
    way: way.name,
    mbPerSecond: upload.answered === 1 && upload.seconds !== undefined ? bytes / 1e6 / upload.seconds : null,
    quietP50: quiet.chunk?.p50 ?? null,
    quietP99: quiet.chunk?.p99 ?? null,
    uploadP50: loaded.chunk?.p50 ?? null,
    uploadP99: loaded.chunk?.p99 ?? null,
    brokerGrowthMiB: growth("broker"),
    agentGrowthMiB: growth("agent"),
  };
  report("end", await world.load.run({ kind: "stop" }));
  return row;
}
