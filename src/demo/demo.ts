// `nfrx demo`: a broker, an agent and, if no Ollama responds, a toy backend, in one process.
import { workerAgent } from "../agent/worker-agent.ts";
import { Broker, type BrokerOptions } from "../broker/broker.ts";
import { randomKey } from "../lib/keys.ts";
import type { Logger } from "../lib/log.ts";
import { probeOpenai } from "../modules/openai.ts";
import { startDemoBackend } from "./backend.ts";
import { ECHO_MODEL } from "./models.ts";

const OLLAMA = "http://127.0.0.1:11434/v1";

export interface DemoOptions {
  values: BrokerOptions["values"];
  modules: BrokerOptions["modules"];
  log: Logger;
  onSignal: (run: () => void) => void;
}

/** Runs the demo until a signal ends it; the process' exit code. */
export async function runDemo({ values, modules, log, onSignal }: DemoOptions): Promise<number> {
  const apiKey = values.apiKey ?? randomKey();
  const clientKey = values.clientKey ?? randomKey();
  const broker = Broker.start({
    // A demo does not store its jobs.
    values: { ...values, apiKey, clientKey, jobsStore: values.jobsStore || "memory" },
    modules,
    log,
  });
  const ollama = await answers(OLLAMA);
  const toy = ollama ? undefined : startDemoBackend();
  const baseUrl = toy?.url ?? OLLAMA;
  const origin = `http://localhost:${broker.port}`;
  const agent = workerAgent({
    module: "llm",
    backend: {
      baseUrl,
      apiKey: undefined,
      pollMs: 10_000,
      facts: {},
      probe: ask => probeOpenai(baseUrl, { models: [] }, ask),
    },
    servers: [{ serverUrl: `ws://127.0.0.1:${broker.port}/api/llm/connect`, clientKey }],
    clientId: "demo",
    clientName: "demo",
    maxConcurrency: 4,
    requestTimeoutMs: 300_000,
    reconnect: true,
    log,
  });
  const { promise: stopped, resolve: stop } = Promise.withResolvers<void>();
  onSignal(stop);
  const running = agent.run();
  const [llm] = broker.mounted;
  llm?.pool.firstWorker().then(worker => {
    process.stdout.write(welcome(origin, apiKey, clientKey, [...worker.models], toy === undefined));
  });
  await stopped;
  await agent.shutdown(0);
  await running;
  await broker.finish(2_000);
  await broker.stop();
  await toy?.stop();
  return 0;
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/models`, { signal: AbortSignal.timeout(1_000) });
    await response.body?.cancel();
    return response.ok;
  } catch {
    return false;
  }
}

function welcome(origin: string, apiKey: string, clientKey: string, models: string[], real: boolean): string {
  const model = models.includes(ECHO_MODEL) ? ECHO_MODEL : (models[0] ?? ECHO_MODEL);
  const backend = real
    ? `Ollama with ${models.length} models`
    : "a toy backend (no Ollama found): models demo-echo and demo-embed";
  return `
nfrx demo: a broker and an agent in front of ${backend}

  URL         ${origin}/api/llm/v1
  API_KEY     ${apiKey}
  CLIENT_KEY  ${clientKey}
  Dashboard   ${origin}/state   (asks for the API_KEY)

curl:

  curl -N ${origin}/api/llm/v1/chat/completions \\
    -H 'Authorization: Bearer ${apiKey}' -H 'Content-Type: application/json' \\
    -d '{"model":"${model}","stream":true,"messages":[{"role":"user","content":"Hello from nfrx"}]}'

Python (pip install openai):

  from openai import OpenAI
  client = OpenAI(base_url="${origin}/api/llm/v1", api_key="${apiKey}")
  print(client.chat.completions.create(model="${model}", messages=[{"role": "user", "content": "Hello"}]).choices[0].message.content)

JavaScript (npm install openai):

  import OpenAI from "openai";
  const client = new OpenAI({ baseURL: "${origin}/api/llm/v1", apiKey: "${apiKey}" });
  console.log((await client.chat.completions.create({ model: "${model}", messages: [{ role: "user", content: "Hello" }] })).choices[0].message.content);

Another machine joins with:

  SERVER_URL=ws://<this host>:${new URL(origin).port}/api/llm/connect CLIENT_KEY=${clientKey} nfrx-llm --reconnect

Ctrl-C ends it.
`;
}
