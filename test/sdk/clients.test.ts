// Every client that people use, through the same stories: a plain answer, a wait, an early-opened stream, errors, failover,
// and the statuses after which it may or must not try again.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Respond } from "../kit/backend/backend.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { TestClock } from "../kit/time/clock.ts";
import { Gate } from "../kit/time/gate.ts";
import { API_KEY, World, type WorldOptions } from "../kit/world.ts";
import { cutShort, everyApi, MESSAGE, rejected, TEXT, wholeAnswer } from "./clients/answers.ts";
import { answerOf, type Client, failureOf, type Question } from "./clients/client.ts";
import { javascriptClients } from "./clients/javascript.ts";
import { hasPythonClients, PythonClients } from "./clients/python.ts";
import { Wire } from "./clients/wire.ts";

/** A silent stream opens after this time. */
const KEEP_ALIVE_MS = 15_000;
const LIMIT_MS = 30_000;
const model = "test-model";

interface Stage extends AsyncDisposable {
  readonly world: World;
  readonly wire: Wire;
  readonly clock: TestClock;
  question(more?: Partial<Question>): Question;
}

async function stage(options: WorldOptions = {}): Promise<Stage> {
  const clock = new TestClock();
  const world = new World({ clock, ...options });
  const wire = await Wire.to(world.broker.port);
  const question = { url: `${wire.origin}/api/llm`, key: API_KEY, model, stream: false, retries: 0 };
  return {
    world,
    wire,
    clock,
    question: more => ({ ...question, ...more }),
    async [Symbol.asyncDispose]() {
      await wire[Symbol.asyncDispose]();
      await world.stop();
    },
  };
}

const gated =
  (gate: Gate, respond: Respond): Respond =>
  async (request, recorded) => {
    await gate.wait(request.signal);
    return respond(request, recorded);
  };

const python = new PythonClients();
for (const client of javascriptClients) describe(client.name, () => stories(client));

describe.skipIf(!hasPythonClients)("in Python", () => {
  beforeAll(() => python.start(), 60_000);
  afterAll(() => python.stop());
  for (const client of python.clients) describe(client.name, () => stories(client));
});

/** Ollama's streams are lines, in which there is no place for comments: they never open before their answer. */
const opens = ({ api }: Client): boolean => api !== "ollama";

function stories(client: Client): void {
  const tell = (name: string, run: () => Promise<void>) => test(name, run, LIMIT_MS);

  for (const stream of [false, true])
    tell(`gets ${stream ? "a stream" : "a plain answer"}`, async () => {
      await using on = await stage();
      const { backend } = await on.world.worker();
      backend.respond = everyApi;
      expect(await answerOf(client, on.question({ stream }))).toBe(TEXT);
      expect(await on.world.leftovers()).toEqual({});
    });

  for (const [what, respond] of [
    ["its stream", everyApi] as const,
    ["a whole answer to its stream", wholeAnswer] as const,
  ])
    tell(`waits in the queue for ${what}`, async () => {
      await using on = await stage();
      const { backend } = await on.world.worker({ maxConcurrency: 1 });
      const gate = new Gate();
      backend.respond = gated(gate, respond);
      const first = on.world.chat();
      await backend.arrived(1);
      const answer = answerOf(client, on.question({ stream: true }));
      if (opens(client)) await on.wire.heard(/nfrx\.queue/);
      else await on.world.when(() => on.world.pool.waiting === 1, "the request waits");
      on.clock.advance(KEEP_ALIVE_MS);
      gate.open();
      expect(await answer).toBe(TEXT);
      await (await first).text();
      expect(await on.world.leftovers()).toEqual({});
    });

  tell("reads a stream that opens before its backend answers", async () => {
    await using on = await stage();
    const gate = new Gate();
    const { backend } = await on.world.worker();
    backend.respond = gated(gate, everyApi);
    const answer = answerOf(client, on.question({ stream: true }));
    await backend.arrived(1);
    on.clock.advance(KEEP_ALIVE_MS);
    if (opens(client)) await on.wire.heard(/: keep-alive/);
    gate.open();
    expect(await answer).toBe(TEXT);
    expect(await on.world.leftovers()).toEqual({});
  });

  for (const stream of [false, true])
    tell(`raises its own exception for the backend's error${stream ? " instead of a stream" : ""}`, async () => {
      await using on = await stage();
      const { backend } = await on.world.worker();
      backend.respond = rejected(client.api);
      const failure = await failureOf(client, on.question({ stream }));
      expect(failure.message).toContain(MESSAGE);
      expect(failure.status).toBe(400);
      expect(failure.kinds).toContain(client.rejected);
    });

  tell("raises its own exception for the backend's error on a stream that is open", async () => {
    await using on = await stage();
    const gate = new Gate();
    const { backend } = await on.world.worker();
    backend.respond = gated(gate, rejected(client.api));
    const failed = failureOf(client, on.question({ stream: true }));
    await backend.arrived(1);
    on.clock.advance(KEEP_ALIVE_MS);
    if (opens(client)) await on.wire.heard(/: keep-alive/);
    gate.open();
    const failure = await failed;
    expect(failure.message).toContain(MESSAGE);
    expect(failure.kinds).toContain(client.broken);
    expect(await on.world.leftovers()).toEqual({});
  });

  tell("raises its own exception for a stream that breaks off", async () => {
    await using on = await stage();
    const { backend } = await on.world.worker();
    // The client has the beginning of the answer before the backend cuts it: what it raises depends on that.
    const gate = new Gate();
    backend.respond = cutShort(gate);
    const failed = failureOf(client, on.question({ stream: true }));
    await on.wire.heard(/\r\n\r\n[\s\S]*?"/);
    gate.open();
    const failure = await failed;
    expect(failure.kinds).toContain(client.cut);
    expect(await on.world.leftovers()).toEqual({});
  });

  for (const stream of [false, true])
    tell(`gets ${stream ? "its stream" : "its answer"} from another worker when a machine is lost`, async () => {
      await using on = await stage();
      const lost = await HandWorker.connect(on.world.connectUrl, { v2: true });
      lost.register({ agent_config: { backend_family: "ollama" } });
      await on.world.when(() => on.world.pool.registry.size === 1, "the worker is registered");
      const answer = answerOf(client, on.question({ stream }));
      await lost.frame("head");
      const { backend } = await on.world.worker();
      backend.respond = everyApi;
      lost.terminate();
      expect(await answer).toBe(TEXT);
      expect(on.wire.requests).toBe(1);
      expect(await on.world.leftovers()).toEqual({});
    });

  tell("gets its answer from another worker when a backend is down", async () => {
    await using on = await stage();
    const { backend: down } = await on.world.worker({ clientId: "a" });
    await down.stop();
    const { backend } = await on.world.worker({ clientId: "b" });
    backend.respond = everyApi;
    expect(await answerOf(client, on.question({ stream: true }))).toBe(TEXT);
    expect(await answerOf(client, on.question())).toBe(TEXT);
    expect(on.wire.requests).toBe(2);
    expect(await on.world.leftovers()).toEqual({});
  });

  tell(`${client.retries ? "tries again" : "gives up"} after 503, when the worker is expected back`, async () => {
    await using on = await stage({ pool: { graceMs: 0 } });
    const gone = await HandWorker.connect(on.world.connectUrl, { v2: true });
    gone.register();
    await on.world.when(() => on.world.pool.registry.size === 1, "the worker is registered");
    gone.close();
    await on.world.when(() => on.world.pool.registry.size === 0, "the worker is gone");
    on.wire.beforeRetry = async () => {
      const { backend } = await on.world.worker();
      backend.respond = everyApi;
    };
    const question = on.question({ retries: 1 });
    if (client.retries) expect(await answerOf(client, question)).toBe(TEXT);
    else expect((await failureOf(client, question)).status).toBe(503);
    expect(on.wire.requests).toBe(client.retries ? 2 : 1);
    expect(await on.world.leftovers()).toEqual({});
  });

  if (client.obeys)
    tell("does not ask again for what took too long", async () => {
      await using on = await stage({ broker: { requestTimeoutMs: 10_000 } });
      const { backend } = await on.world.worker();
      backend.respond = gated(new Gate(), everyApi);
      const failed = failureOf(client, on.question({ retries: 1 }));
      await backend.arrived(1);
      backend.respond = everyApi;
      on.clock.advance(10_000);
      expect((await failed).status).toBe(504);
      expect(on.wire.requests).toBe(1);
      expect(await on.world.leftovers()).toEqual({});
    });
}
