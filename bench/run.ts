/** The whole bench: a temporary directory, the workloads one after the other, the report, and a clean end. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Options, Workload } from "./options.ts";
import { planOf } from "./plan.ts";
import { ratiosOf } from "./ratios.ts";
import { type Measured, ratioTable, tables } from "./report.ts";
import { benchChat } from "./workloads/chat.ts";
import { benchEmbed } from "./workloads/embed.ts";
import { benchHandover } from "./workloads/handover.ts";
import { benchIdle } from "./workloads/idle.ts";
import { benchMcp } from "./workloads/mcp.ts";
import { benchObserve } from "./workloads/observe.ts";
import { benchSse } from "./workloads/sse.ts";
import { benchStart } from "./workloads/start.ts";
import { benchState } from "./workloads/state.ts";
import { benchTransfer } from "./workloads/transfer.ts";
import { benchUpload } from "./workloads/upload.ts";
import { Children } from "./world/children.ts";
import { nginxWay } from "./world/nginx.ts";
import { brokerWay, pairWay, relayWay } from "./world/pair.ts";
import { direct, type WayKind } from "./world/way.ts";
import type { Bench } from "./world/world.ts";

const OWN = "nfrx";
const PEER = "peer";

/** Runs it all; returns the exit code. */
export async function runBench(options: Options): Promise<number> {
  const began = new Date();
  // Everything here is on loopback, and `fetch` would send even that to a proxy.
  for (const name of ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]) delete process.env[name];
  const dir = mkdtempSync(join(tmpdir(), "nfrx-bench-"));
  const children = new Children(dir);
  const problems: string[] = [];
  const plan = planOf(options);
  const note = (text: string): void =>
    console.error(`[${((Date.now() - began.getTime()) / 1e3).toFixed(0).padStart(4)} s] ${text}`);
  const problem = (text: string): void => {
    problems.push(text);
    note(`PROBLEM ${text}`);
  };
  let leaving = false;
  /** Ends it all early; asked a second time, without waiting. */
  const leave = async (code: number): Promise<void> => {
    if (leaving) children.killAll();
    else {
      leaving = true;
      await children.close();
    }
    rmSync(dir, { recursive: true, force: true });
    process.exit(code);
  };
  process.on("SIGINT", () => void leave(130));
  process.on("SIGTERM", () => void leave(143));
  process.on("SIGHUP", () => void leave(129));
  const deadline = setTimeout(() => {
    console.error(`not over after ${plan.deadlineMs / 60_000} minutes: given up`);
    void leave(1);
  }, plan.deadlineMs);

  let measured: Measured = {};
  try {
    const kinds = kindsOf(options, dir, note);
    measured = await measure(options, { children, plan, kinds, note, problem });
  } catch (error) {
    problem(error instanceof Error ? error.message : String(error));
  } finally {
    clearTimeout(deadline);
    await children.close();
    rmSync(dir, { recursive: true, force: true });
  }

  const ratios = ratiosOf(measured, OWN, PEER);
  console.log(tables(measured));
  if (ratios.length > 0) console.log(ratioTable(ratios));
  const seconds = Math.round((Date.now() - began.getTime()) / 1e3);
  const machine = {
    cpus: cpus().length,
    model: cpus()[0]?.model ?? "",
    platform: process.platform,
    arch: process.arch,
  };
  const report = {
    began: began.toISOString(),
    seconds,
    bun: Bun.version,
    machine,
    options,
    plan,
    ...measured,
    ratios,
    problems,
  };
  mkdirSync(dirname(options.out), { recursive: true });
  await Bun.write(options.out, `${JSON.stringify(report, null, 2)}\n`);
  console.log(`\n${seconds} s, JSON in ${options.out}`);
  for (const text of problems) console.log(`PROBLEM ${text}`);
  return problems.length === 0 ? 0 : 1;
}

function kindsOf(options: Options, dir: string, note: (text: string) => void): WayKind[] {
  const nginx = nginxWay(dir);
  if (nginx === null) note("nginx is not installed: that way is left out, and so are the ratios against it");
  return [
    direct,
    ...(nginx === null ? [] : [nginx]),
    ...(options.skipOwn ? [] : [pairWay(OWN, options.dir)]),
    ...(options.peer === null ? [] : [pairWay(PEER, options.peer)]),
  ];
}

async function measure(options: Options, bench: Bench): Promise<Measured> {
  const measured: Measured = {};
  const brokers = [
    ...(options.skipOwn ? [] : [brokerWay(OWN, options.dir)]),
    ...(options.peer === null ? [] : [brokerWay(PEER, options.peer)]),
  ];
  const workloads: Record<Workload, () => Promise<void>> = {
    chat: async () => {
      measured.chat = await benchChat(bench);
    },
    sse: async () => {
      measured.sse = await benchSse(bench);
    },
    embed: async () => {
      measured.embed = await benchEmbed(bench);
    },
    upload: async () => {
      measured.upload = await benchUpload(bench);
    },
    idle: async () => {
      measured.idle = await benchIdle(bench);
    },
    start: async () => {
      const pairs = bench.kinds.filter(({ name }) => name === OWN || name === PEER);
      measured.start = await benchStart(bench, pairs);
    },
    mcp: async () => {
      measured.mcp = await benchMcp(bench, options.skipOwn ? [] : [relayWay(OWN, options.dir)]);
    },
    transfer: async () => {
      const pipes = bench.kinds.filter(({ name }) => name === direct.name || name === "nginx");
      measured.transfer = await benchTransfer(bench, pipes, brokers);
    },
    observe: async () => {
      if (!options.skipOwn) measured.observe = await benchObserve(bench, OWN, options.dir);
    },
    handover: async () => {
      measured.handover = await benchHandover(bench);
    },
    state: async () => {
      measured.state = await benchState(bench, brokers);
    },
  };
  for (const name of options.only) {
    try {
      await workloads[name]();
    } catch (error) {
      bench.problem(`${name}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return measured;
}
