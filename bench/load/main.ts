/** The load generator: reads jobs from stdin, writes results to stdout, ends when stdin does. */
import { now } from "../clock.ts";
import { readLines } from "../lines.ts";
import { Fleet, Listeners } from "./fleet.ts";
import { Flow } from "./flow.ts";
import { Hold } from "./hold.ts";
import { type Job, lineToLoad, type Result } from "./jobs.ts";
import { runRequests } from "./requests.ts";
import { runStreams } from "./streams.ts";
import { runPull, runPush } from "./transfer.ts";
import { runUpload } from "./upload.ts";

let flow: Flow | null = null;
let hold: Hold | null = null;
let fleet: Fleet | null = null;
let listeners: Listeners | null = null;

async function run(job: Job): Promise<Result> {
  switch (job.kind) {
    case "requests":
      return runRequests(job);
    case "streams":
      return runStreams(job);
    case "upload":
      return runUpload(job);
    case "push":
      return runPush(job);
    case "pull":
      return runPull(job);
    case "flow":
      flow = new Flow(job);
      return flow.start();
    case "mark":
      return running(flow).mark();
    case "stop":
      return running(flow).stop();
    case "hold":
      hold = new Hold();
      return hold.open(job);
    case "release":
      return running(hold).release();
    case "fleet":
      fleet = new Fleet();
      return fleet.start(job);
    case "dismiss":
      return running(fleet).stop();
    case "listen":
      listeners = new Listeners();
      return listeners.open(job);
    case "received":
      return running(listeners).received();
    case "unlisten":
      return running(listeners).close();
  }
}

function running<T>(thing: T | null): T {
  if (thing === null) throw new Error("nothing is running");
  return thing;
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

say({ hello: now() });
await readLines(Bun.stdin.stream(), line => {
  const { id, job } = lineToLoad.parse(JSON.parse(line));
  run(job).then(
    result => say({ id, result }),
    (error: unknown) => say({ id, failure: String(error) }),
  );
});
process.exit(0);
