// The world that both official SDKs meet.
import { type DemoBackend, startDemoBackend } from "../../src/demo/backend.ts";
import {
  chatStream,
  cut,
  embeddings,
  error,
  json,
  type Respond,
  silent,
  status,
  type TestBackend,
} from "../kit/backend/backend.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { Gate } from "../kit/time/gate.ts";
import { World } from "../kit/world.ts";

/** Long enough for a slow machine to answer, short enough to wait for. */
const TIMEOUT_MS = 2_000;

export interface Story {
  world: World;
  /** Three workers that serve `embed`. */
  embedders: TestBackend[];
  /** Serves models that are called after what they do: `endless`, `limited`, `invalid`, `silent`, `broken`. */
  odd: TestBackend;
  /** Passes for the words of `endless`. */
  words: Gate;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Vectors that hold the number in their text. */
const numbered: Respond = (request, recorded) => {
  const body = recorded.json() as { model: string; input: string | string[]; encoding_format?: string };
  if (!Array.isArray(body.input)) return embeddings()(request, recorded);
  const data = body.input.map((text, index) => {
    const vector = new Float32Array([Number(text.slice(4)), 0.5]);
    const embedding =
      body.encoding_format === "base64" ? Buffer.from(vector.buffer).toString("base64") : Array.from(vector);
    return { object: "embedding", index, embedding };
  });
  const tokens = body.input.length;
  return json({ object: "list", model: body.model, data, usage: { prompt_tokens: tokens, total_tokens: tokens } });
};

export async function startStory(): Promise<Story> {
  const world = new World({ broker: { requestTimeoutMs: TIMEOUT_MS }, pool: { queueSize: 0 } });
  const demo: DemoBackend = startDemoBackend({ wordMs: 1 });
  await world.agent(demo, { clientName: "demo", maxConcurrency: 4 });
  const embedders: TestBackend[] = [];
  for (const batchSize of [16, 32, 64]) {
    const { backend } = await world.worker({ models: ["embed"], batchSize });
    backend.respond = numbered;
    embedders.push(backend);
  }
  const { backend: odd } = await world.worker({
    models: ["endless", "limited", "invalid", "silent", "broken"],
    maxConcurrency: 4,
  });
  const words = new Gate();
  const answers: Record<string, Respond> = {
    endless: chatStream(Array(1_000).fill("word "), { gate: words }),
    limited: status(429, error("slow down", "rate_limit_exceeded"), { "retry-after": "1" }),
    invalid: status(400, error("no such thing", "invalid_value")),
    silent: silent(),
    broken: cut('data: {"id":"1","object":"chat.completion.chunk","created":1,"model":"broken","choices":[]}\n\n', {
      headers: { "content-type": "text/event-stream" },
      gate: words,
    }),
  };
  odd.respond = (request, recorded) => {
    const { model } = recorded.json() as { model: string };
    return answers[model]!(request, recorded);
  };
  // Connected, but with no seat to give, and there is no queue to wait in.
  const busy = await HandWorker.connect(world.connectUrl);
  busy.register({ models: ["busy"], max_concurrency: 0 });
  await world.when(() => world.pool.registry.serves("busy"), "the busy worker is registered");
  return {
    world,
    embedders,
    odd,
    words,
    async [Symbol.asyncDispose]() {
      busy.close();
      await world.stop();
      await demo.stop();
    },
  };
}
