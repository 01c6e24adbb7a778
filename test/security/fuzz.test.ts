// 5,000 requests and messages from a fixed seed: the same process serves on, with nothing left over and no mistake of its own.
import { expect, test } from "bun:test";
import { ApiDocument } from "../kit/http/api-document.ts";
import { randomness } from "../kit/load/storm.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { Conversation } from "./conversation.ts";
import { ADMIN_KEY } from "./credentials.ts";
import { fuzzedMessage, fuzzedRequest } from "./fuzz.ts";

const SEED = 20261130;
const REQUESTS = 4_000;
const CONNECTIONS = 100;
const MESSAGES = 10;
const LANES = 16;
/** Milliseconds for a response to a whole request; a long poll is given up for longer than that. */
const RESPONSE_MS = 2_000;

/** Does `act` for each number below `count`, some at once. */
async function inLanes(count: number, act: (at: number) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) await act(at);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}

/** The same process, at rest, that serves a request. */
async function isWell(broker: BrokerProgram, pid: number): Promise<void> {
  expect([broker.running, broker.pid]).toEqual([true, pid]);
  await broker.quiet();
  expect(await broker.metric("nfrx_unhandled_errors_total")).toBe(0);
  expect((await broker.chat()).status).toBe(200);
  expect(broker.strays).toEqual([]);
  expect(broker.lines.filter(({ level }) => level === "error" || level === "fatal")).toEqual([]);
}

test("4,000 fuzzed requests", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({ ADMIN_KEY, JOBS_CLIENT_TTL: "1s" });
  await processes.agent(broker, await processes.backend());
  const { pid } = broker;
  const { operations } = await ApiDocument.of(broker.origin);
  const random = randomness(SEED);
  const requests = Array.from({ length: REQUESTS }, () => fuzzedRequest(random, operations));
  const mistakes: string[] = [];
  const seen = new Map<number, number>();
  await inLanes(requests.length, async at => {
    const request = requests[at];
    if (request === undefined) return;
    const talk = await Conversation.open(broker.port, `127.8.${at >> 8}.${at & 255}`);
    talk.write(request.bytes);
    if (request.whole)
      await talk.when(() => talk.statuses.length > 0 || talk.closed, "a response", RESPONSE_MS).catch(() => {});
    const [status = 0] = talk.statuses;
    seen.set(status, (seen.get(status) ?? 0) + 1);
    if (status === 500 || /node_modules|\.ts:\d/.test(talk.text))
      mistakes.push(`${request.bytes.toString("latin1").slice(0, 300)}\n→ ${talk.text.slice(0, 300)}`);
    talk.destroy();
  });
  expect(mistakes).toEqual([]);
  // The requests are near enough to real ones that many different things happen.
  expect(seen.size).toBeGreaterThan(8);
  await isWell(broker, pid);
}, 180_000);

test("1,000 fuzzed messages of agents", async () => {
  await using processes = new Processes();
  const broker = await processes.broker({ ADMIN_KEY });
  await processes.agent(broker, await processes.backend());
  const { pid } = broker;
  const random = randomness(SEED + 1);
  const scripts = Array.from({ length: CONNECTIONS }, () =>
    Array.from({ length: MESSAGES }, () => fuzzedMessage(random)),
  );
  let registered = 0;
  await inLanes(scripts.length, async at => {
    const v2 = at % 3 > 0;
    const worker = await HandWorker.connect(broker.connectUrl(), { v2 });
    if (at % 5 > 0) {
      worker.register({ worker_id: `fuzz-${at}`, models: [`fuzz-${at}`] });
      registered++;
    }
    for (const message of scripts[at] ?? []) if (worker.closed === undefined) worker.send(message);
    worker.close();
    await worker.when(() => worker.closed !== undefined, "the end of the connection");
  });
  expect(registered).toBeGreaterThan(50);
  await isWell(broker, pid);
}, 180_000);
