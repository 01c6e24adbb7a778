// The metrics of the programs themselves: fit for Prometheus while they work, and right about what was done.
import { expect, test } from "bun:test";
import { chatStream, json, serveDefault, silent } from "../kit/backend/backend.ts";
import { Exposition } from "../kit/broker/prometheus.ts";
import { Call } from "../kit/http/call.ts";
import { form, model, recording } from "../kit/http/form.ts";
import { randomness, turns } from "../kit/load/storm.ts";
import { TokenStorm } from "../kit/load/token-storm.ts";
import { McpSession } from "../kit/mcp/session.ts";
import { HttpTools } from "../kit/mcp/tools-http.ts";
import { AUTHORIZED, type BrokerProgram } from "../kit/process/broker.ts";
import type { Env, Program } from "../kit/process/program.ts";
import { Processes, troubles } from "../kit/processes.ts";
import { Gate } from "../kit/time/gate.ts";

const PROGRAMS = ["nfrx", "nfrx-llm", "nfrx-asr", "nfrx-docling", "nfrx-mcp"];
const MEASURED: Env = { METRICS_PORT: "127.0.0.1:0" };
const REQUESTS = 1_000;
const LANES = 48;
const SEED = 20261122;

const promtool = Bun.which("promtool");

/** Lets words through the gate one by one, with other work in between. */
async function pace(gate: Gate, words: number, random: () => number): Promise<void> {
  for (let word = 0; word < words; word++) {
    await turns(Math.floor(random() * 20));
    gate.release();
  }
}

/** Where an agent that is `MEASURED` shows its metrics. */
async function metricsOf(agent: Program): Promise<string> {
  const { port } = await agent.line(line => line.msg === "serving metrics", "serves metrics");
  return `http://127.0.0.1:${port}/metrics`;
}

test.skipIf(promtool === null)(
  "promtool finds no fault with any program's metrics under load",
  async () => {
    await using processes = new Processes();
    await using tools = await HttpTools.start();
    const backend = await processes.backend();
    let held = 0;
    backend.respond = (request, recorded) => {
      if (recorded.path.startsWith("/v1/audio")) return json({ text: "heard" });
      if (recorded.path.includes("/convert/")) return json({ status: "success" });
      // Some go on while the metrics are looked at.
      return ++held % 10 === 0 ? silent()(request, recorded) : serveDefault(request, recorded);
    };
    const broker = await processes.broker();
    const agents = [
      await processes.agent(broker, backend, { ...MEASURED, MAX_CONCURRENCY: "32", EMBEDDING_BATCH_SIZE: "2" }),
      await processes.agent(broker, backend, { ...MEASURED, MAX_CONCURRENCY: "32", EMBEDDING_BATCH_SIZE: "2" }),
      await processes.agent(broker, backend, MEASURED, "asr"),
      await processes.agent(broker, { url: backend.origin }, MEASURED, "docling"),
      await processes.relay(broker, { http: tools.url }, { ...MEASURED, CLIENT_ID: "tools" }),
    ];
    const session = await McpSession.open(broker.relayUrl("tools"));
    const abort = new AbortController();
    const load: Promise<unknown>[] = [];
    for (let n = 0; n < 30; n++) {
      load.push(broker.chat({ stream: n % 2 === 0 }, { signal: abort.signal }).then(answer => answer.text()));
      load.push(
        broker.post("/embeddings", { model: "test-model", input: ["a", "b", "c"] }, { signal: abort.signal }),
        broker.chat({ model: `made up "${n}"\\` }),
      );
    }
    await Promise.all([
      ...Array.from({ length: 5 }, () => spoken(broker)),
      converted(broker),
      session.text("echo", { text: "hello" }),
    ]);
    await backend.when(() => backend.inflight > 0, "requests that go on");
    const urls = [`${broker.origin}/metrics`, ...(await Promise.all(agents.map(metricsOf)))];
    const found: unknown[] = [];
    for (const url of urls) {
      const shown = await Exposition.of(url);
      const lint = Bun.spawnSync([promtool ?? "", "check", "metrics"], { stdin: Buffer.from(shown.text) });
      if (lint.exitCode !== 0 || lint.stdout.length + lint.stderr.length > 0)
        found.push({ url, code: lint.exitCode, said: `${lint.stdout}${lint.stderr}` });
      // Looked at while there was something to see.
      expect(shown.sum("nfrx_request_total") + shown.sum("nfrx_worker_jobs_started_total")).toBeGreaterThan(0);
      expect(shown.sum("nfrx_event_loop_lag_seconds_count")).toBeGreaterThan(0);
      expect(shown.sum("process_resident_memory_bytes")).toBeGreaterThan(1024 * 1024);
    }
    expect(found).toEqual([]);
    abort.abort();
    await Promise.allSettled(load);
  },
  60_000,
);

async function spoken(broker: BrokerProgram): Promise<void> {
  const { body, type } = form([model(), recording(1_000)]);
  const call = new Call(`${broker.origin}/api/asr/v1/audio/transcriptions`, {
    headers: { ...AUTHORIZED, "content-type": type },
    body,
  });
  expect((await call.answer()).status).toBe(200);
}

async function converted(broker: BrokerProgram): Promise<void> {
  const call = new Call(`${broker.origin}/api/docling/v1/convert/source`, {
    headers: { ...AUTHORIZED, "content-type": "application/json" },
    body: "{}",
  });
  expect((await call.answer()).status).toBe(200);
}

test(`after ${REQUESTS} requests with cancels, metrics, state and the backend agree on tokens`, async () => {
  await using processes = new Processes();
  const backend = await processes.backend();
  const broker = await processes.broker();
  const workers = ["worker-1", "worker-2"];
  const agents: Program[] = [];
  for (const CLIENT_ID of workers)
    agents.push(
      await processes.agent(broker, backend, {
        ...MEASURED,
        CLIENT_ID,
        MAX_CONCURRENCY: "12",
        EMBEDDING_BATCH_SIZE: "4",
      }),
    );
  const storm = new TokenStorm(broker, randomness(SEED), workers);
  backend.respond = storm.respond;
  await storm.run(REQUESTS, LANES);
  await broker.quiet();
  await backend.idle();

  const { reported } = storm;
  expect(Math.min(reported.in, reported.out, reported.embeddings)).toBeGreaterThan(500);
  expect(reported.canceled).toBeGreaterThan(REQUESTS / 4);
  const shown = await Exposition.of(`${broker.origin}/metrics`);
  const counted = (metric: string): object => ({
    in: shown.sum(metric, { kind: "in" }),
    out: shown.sum(metric, { kind: "out" }),
  });
  const size = (size_kind: string): number => shown.sum("nfrx_request_size_total", { size_kind });
  const tokens = { in: reported.in, out: reported.out };
  expect({
    models: counted("nfrx_model_tokens_total"),
    newer: counted("nfrx_llm_model_tokens_total"),
    workers: counted("nfrx_llm_worker_tokens_total"),
    requests: { in: size("tokens_in"), out: size("tokens_out"), total: size("tokens_total") },
    state: await totalsOf(broker),
    embeddings: [
      shown.sum("nfrx_llm_model_embeddings_total"),
      shown.sum("nfrx_llm_worker_embeddings_total"),
      size("embeddings"),
    ],
  }).toEqual({
    models: tokens,
    newer: tokens,
    workers: tokens,
    requests: { ...tokens, total: tokens.in + tokens.out },
    state: { ...tokens, embeddings: reported.embeddings },
    embeddings: [reported.embeddings, reported.embeddings, reported.embeddings],
  });
  expect(shown.sum("nfrx_request_total")).toBe(REQUESTS);
  expect(shown.sum("nfrx_request_completed_total")).toBe(REQUESTS);
  expect(shown.sum("nfrx_request_completed_total", { error_code: "canceled" })).toBe(reported.canceled);
  expect(shown.sum("nfrx_request_canceled_total")).toBe(reported.canceled);
  expect(shown.sum("nfrx_request_inflight")).toBe(0);
  const own = await Promise.all(agents.map(async agent => Exposition.of(await metricsOf(agent))));
  const atAgents = (name: string): number => own.reduce((sum, agent) => sum + agent.sum(name), 0);
  expect(atAgents("nfrx_worker_jobs_failed_total")).toBe(0);
  expect(atAgents("nfrx_worker_jobs_succeeded_total") + atAgents("nfrx_worker_jobs_canceled_total")).toBe(
    atAgents("nfrx_worker_jobs_started_total"),
  );
  expect(troubles(processes)).toEqual([]);
}, 120_000);

async function totalsOf(broker: BrokerProgram): Promise<object> {
  const response = await fetch(`${broker.origin}/api/state`, { headers: AUTHORIZED });
  const { plugins } = (await response.json()) as { plugins: { llm: { workers: Record<string, number>[] } } };
  const sum = (field: string): number => plugins.llm.workers.reduce((so, worker) => so + (worker[field] ?? 0), 0);
  return { in: sum("input_tokens_total"), out: sum("output_tokens_total"), embeddings: sum("embeddings_total") };
}

test("clients that go away at any moment: metrics and state agree, between what was sent and what was seen", async () => {
  await using processes = new Processes();
  const backend = await processes.backend();
  const broker = await processes.broker();
  await processes.agent(broker, backend, { MAX_CONCURRENCY: "64" });
  const random = randomness(SEED + 1);
  const words = Array.from({ length: 40 }, (_, at) => `word ${at}`);
  let sent = 0;
  backend.respond = (request, recorded) => {
    sent += 3;
    const gate = new Gate();
    void pace(gate, words.length, random);
    return chatStream(words, { gate })(request, recorded);
  };
  let seen = 0;
  let cut = 0;
  const one = async (): Promise<void> => {
    const call = new Call(`${broker.url}/chat/completions`, {
      headers: { ...AUTHORIZED, "content-type": "application/json" },
      body: JSON.stringify({
        model: "test-model",
        messages: [],
        stream: true,
        stream_options: { include_usage: true },
      }),
    });
    const bytes = Math.floor(random() * 9_000);
    await call.when(() => call.text.length >= bytes || call.complete, "some bytes", 60_000);
    if (call.text.includes('"usage":{')) seen += 3;
    else cut++;
    call.abort("rst");
    await call.closed();
  };
  for (let round = 0; round < 10; round++) await Promise.all(Array.from({ length: 32 }, one));
  await broker.quiet();
  const shown = await Exposition.of(`${broker.origin}/metrics`);
  const counted = shown.sum("nfrx_model_tokens_total", { kind: "in" });
  expect(Math.min(seen, cut)).toBeGreaterThan(0);
  expect(counted).toBeGreaterThanOrEqual(seen);
  expect(counted).toBeLessThanOrEqual(sent);
  expect(shown.sum("nfrx_llm_worker_tokens_total", { kind: "in" })).toBe(counted);
  expect(shown.sum("nfrx_request_size_total", { size_kind: "tokens_in" })).toBe(counted);
  expect(await totalsOf(broker)).toMatchObject({ in: counted });
}, 60_000);

test.each(PROGRAMS)(
  "%s does not start when the address of its metrics is taken, and says which option to change",
  async name => {
    await using processes = new Processes();
    const holder = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
    try {
      const program = processes.start(name, { PORT: "0", HOST: "127.0.0.1", METRICS_PORT: `127.0.0.1:${holder.port}` });
      expect((await program.ending()).code).toBe(1);
      expect(program.strays).toEqual([
        `${name}: METRICS_PORT: cannot listen on 127.0.0.1:${holder.port}: another program uses this port`,
      ]);
    } finally {
      await holder.stop(true);
    }
  },
);
