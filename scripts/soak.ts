// Runs a broker and its agents for long, under random load and random kills, and looks for what is left behind:
// `bun scripts/soak.ts --minutes 30`. $NFRX_DIST runs the built programs. Ends with 1 when something leaks or breaks.
import { parseArgs } from "node:util";
import type { TestBackend } from "../test/kit/backend/backend.ts";
import { randomness, Storm, stormBackend } from "../test/kit/load/storm.ts";
import type { BrokerProgram } from "../test/kit/process/broker.ts";
import type { Program } from "../test/kit/process/program.ts";
import { Processes } from "../test/kit/processes.ts";

const HELP = `bun run soak [options]

Runs a broker and its agents under random load and random kills, and checks that they leave nothing behind.
$NFRX_DIST runs the built programs.

  --minutes N    how long (default 10)
  --seed N       the seed of the random choices (default from the clock)
  --lanes N      requests at once (default 48)

Exit code 0 when nothing leaks or breaks, 1 otherwise.
`;

const { values: args } = parseArgs({
  options: {
    help: { type: "boolean", short: "h" },
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    lanes: { type: "string", default: "48" },
  },
});
if (args.help === true) {
  process.stdout.write(HELP);
  process.exit(0);
}
const minutes = Number(args.minutes);
const seed = Number(args.seed);
if (!(minutes > 0) || !Number.isInteger(seed)) throw new Error("--minutes and --seed must be numbers");

/** Seconds of load between two looks at what is left. */
const ROUND_S = 15;
/** Seconds between two kills. */
const KILL_S = 2;
/** Seconds in which a broker that has nothing to do is to be at zero, and its heap to shrink. */
const SETTLE_S = 5;
const AGENTS = 3;
/** MiB by which the broker may have grown from the second quarter of the rounds to the last. */
const GROWTH_MIB = 24;

const pause = (seconds: number): Promise<void> => new Promise(resolve => setTimeout(resolve, seconds * 1000));

/** An agent that is killed now and then, and always started again. */
class Victim {
  readonly deaths: Record<string, number> = {};
  #agent: Program | undefined;

  constructor(
    private readonly processes: Processes,
    private readonly broker: BrokerProgram,
    private readonly backend: TestBackend,
    private readonly id: string,
  ) {}

  async start(): Promise<void> {
    this.#agent = await this.processes.agent(this.broker, this.backend, {
      CLIENT_ID: this.id,
      MAX_CONCURRENCY: "8",
      EMBEDDING_BATCH_SIZE: "2",
      RECONNECT: "true",
      DRAIN_TIMEOUT: "1s",
    });
  }

  get rss(): number {
    return this.#agent?.running ? this.#agent.rss : Number.NaN;
  }

  async strike(how: "SIGKILL" | "SIGTERM" | "SIGSTOP"): Promise<void> {
    const agent = this.#agent;
    if (agent === undefined) return;
    this.deaths[how] = (this.deaths[how] ?? 0) + 1;
    agent.signal(how);
    if (how === "SIGSTOP") {
      await pause(1);
      agent.signal("SIGCONT");
      return;
    }
    await agent.ending(20_000);
    await this.start();
  }
}

class Soak {
  readonly problems: string[] = [];
  readonly #processes = new Processes();
  readonly #random = randomness(seed);
  readonly #rss: number[] = [];
  readonly #victims: Victim[] = [];
  readonly #backends: TestBackend[] = [];

  async run(): Promise<void> {
    await using processes = this.#processes;
    const broker = await processes.broker({ LLM_QUEUE_SIZE: "1000", LLM_QUEUE_UPDATE_SECONDS: "1" });
    for (let i = 0; i < AGENTS; i++) {
      const backend = await processes.backend({ respond: stormBackend });
      this.#backends.push(backend);
      this.#victims.push(new Victim(processes, broker, backend, `agent-${i}`));
    }
    await Promise.all(this.#victims.map(victim => victim.start()));
    const storm = new Storm(broker.port, this.#random, Number(args.lanes));
    const end = performance.now() + minutes * 60_000;
    for (let round = 1; performance.now() < end && this.problems.length === 0; round++) {
      await this.#load(storm);
      await this.#look(round, broker, storm);
    }
    this.#judgeMemory();
    for (const program of processes.all)
      for (const line of program.strays) this.problems.push(`${program.name} printed: ${line}`);
  }

  /** Some seconds of clients, with agents dying under them. */
  async #load(storm: Storm): Promise<void> {
    const over = new AbortController();
    const load = storm.run(Number.POSITIVE_INFINITY, over.signal);
    const end = performance.now() + ROUND_S * 1000;
    while (performance.now() < end) {
      await pause(KILL_S * this.#random() * 2);
      const victim = this.#victims[Math.floor(this.#random() * AGENTS)];
      const how = (["SIGKILL", "SIGTERM", "SIGSTOP"] as const)[Math.floor(this.#random() * 3)];
      if (victim !== undefined && how !== undefined) await victim.strike(how);
    }
    over.abort();
    await load;
  }

  /** What is left when nobody asks for anything: it should be nothing. */
  async #look(round: number, broker: BrokerProgram, storm: Storm): Promise<void> {
    try {
      await broker.quiet(SETTLE_S * 1000);
      for (const backend of this.#backends) await backend.when(() => backend.inflight === 0, "an idle backend");
    } catch (error) {
      this.problems.push(`round ${round}: ${error instanceof Error ? error.message : error}`);
    }
    if (!broker.running) return void this.problems.push(`the broker ended\n${broker.tail}`);
    await pause(SETTLE_S);
    this.#rss.push(broker.rss);
    const unhandled = await broker.metric("nfrx_unhandled_errors_total");
    if (unhandled !== 0) this.problems.push(`${unhandled} unhandled errors\n${broker.tail}`);
    if (storm.answers.short > 0) this.problems.push(`${storm.answers.short} short answers passed for whole ones`);
    const clients = Object.values(storm.phases).reduce((sum, count) => sum + count, 0);
    console.log(
      `round ${round}: clients ${clients}, answers ${JSON.stringify(storm.answers)}, ` +
        `kills ${JSON.stringify(this.#victims.map(victim => victim.deaths))}, ` +
        `MiB broker ${broker.rss.toFixed(0)} (peak ${broker.peak.toFixed(0)}), agents ${this.#victims.map(victim => victim.rss.toFixed(0)).join(" ")}`,
    );
    // What backends remember of old requests is not what is measured here.
    for (const backend of this.#backends) backend.requests.length = 0;
  }

  #judgeMemory(): void {
    const quarter = Math.floor(this.#rss.length / 4);
    if (quarter < 1) return console.log("too few rounds to judge the memory");
    const early = median(this.#rss.slice(quarter, 2 * quarter));
    const late = median(this.#rss.slice(-quarter));
    console.log(
      `broker's idle memory: ${early.toFixed(0)} MiB in the second quarter, ${late.toFixed(0)} MiB in the last`,
    );
    if (late - early > GROWTH_MIB) this.problems.push(`the broker grew by ${(late - early).toFixed(0)} MiB`);
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

console.log(`seed ${seed}, ${minutes} minutes`);
const soak = new Soak();
try {
  await soak.run();
} catch (error) {
  soak.problems.push(error instanceof Error ? error.message : String(error));
}
for (const problem of soak.problems) console.log(`PROBLEM ${problem}`);
console.log(soak.problems.length === 0 ? "nothing is left behind" : `${soak.problems.length} problems`);
process.exit(soak.problems.length === 0 ? 0 : 1);
