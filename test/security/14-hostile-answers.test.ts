// What a hostile worker or relay answers cannot act for the broker in a browser.
import { expect, test } from "bun:test";
import type { HeaderList } from "../../src/protocol/frames.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { HandWorker } from "../kit/protocol/hand.ts";
import { API_KEY } from "../kit/world.ts";

const HOSTILE: HeaderList = [
  ["Set-Cookie", "a=1; Path=/"],
  ["set-cookie", "b=2"],
  ["Clear-Site-Data", '"*"'],
  ["Strict-Transport-Security", "max-age=1"],
  ["Alt-Svc", 'h3=":443"'],
  ["Refresh", "0; url=/state"],
  ["NEL", "{}"],
  ["Report-To", "{}"],
  ["Reporting-Endpoints", 'a="https://evil.example"'],
  ["Service-Worker-Allowed", "/"],
  ["Link", "</state>; rel=preload; as=script"],
  ["Location", "/state"],
  ["Content-Location", "https://evil.example/"],
  ["Content-Security-Policy", "default-src *"],
  ["X-Content-Type-Options", "sniff"],
  ["Access-Control-Allow-Origin", "*"],
  ["X-Harmless", "kept"],
];
const NEVER = HOSTILE.map(([name]) => name.toLowerCase()).filter(
  name => !["x-harmless", "x-content-type-options", "content-security-policy"].includes(name),
);
const SANDBOX = "sandbox; default-src 'none'";
const AUTHORIZED = { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" };

interface World extends AsyncDisposable {
  broker: BrokerProgram;
  relay: HandWorker;
  worker: HandWorker;
}

async function world(): Promise<World> {
  const processes = new Processes();
  const broker = await processes.broker({ LLM_QUEUE_UPDATE_SECONDS: "1" });
  const [relay, worker] = await Promise.all([
    HandWorker.connect(broker.connectUrl("mcp"), { v2: true }),
    HandWorker.connect(broker.connectUrl("llm"), { v2: true }),
  ]);
  relay.register({ models: ["evil"], max_concurrency: 9 });
  worker.register({ agent_config: { backend_family: "ollama" }, models: ["m"] });
  await Promise.all([relay.handled(), worker.handled()]);
  const dispose = async (): Promise<void> => {
    relay.close();
    worker.close();
    await processes[Symbol.asyncDispose]();
  };
  return { broker, relay, worker, [Symbol.asyncDispose]: dispose };
}

function expectTame(what: string, { headers }: Response, sandboxed: boolean): void {
  for (const name of NEVER) expect([what, name, headers.get(name)]).toEqual([what, name, null]);
  expect([what, headers.get("x-content-type-options")]).toEqual([what, "nosniff"]);
  expect([what, headers.get("content-security-policy")]).toEqual([what, sandboxed ? SANDBOX : null]);
}

/** Asks, has the hand-written agent answer, and looks at the answer. */
async function exchange(
  hand: HandWorker,
  asked: Promise<Response>,
  status: number,
  type: string | undefined,
  text = "x",
): Promise<Response> {
  const n = hand.frames.filter(({ kind }) => kind === "head").length;
  const { id } = await hand.frame("head", Math.max(1, n));
  hand.answer(id, status, text, [
    ...HOSTILE,
    ...(type === undefined ? [] : [["content-type", type] satisfies [string, string]]),
  ]);
  const answer = await asked;
  await answer.arrayBuffer();
  return answer;
}

/** Sends a request and resolves with it once it has reached the agent. */
async function arrived(hand: HandWorker, send: () => Promise<Response>): Promise<Promise<Response>[]> {
  const n = hand.frames.filter(({ kind }) => kind === "head").length + 1;
  const asked = send();
  await hand.frame("head", n);
  return [asked];
}

for (const [type, sandboxed] of [
  ["text/html", true],
  ["image/svg+xml", true],
  ["application/xml", true],
  ["text/javascript", true],
  ["application/json;x=y, text/html", true],
  ["application/json", false],
  ["text/event-stream", false],
  [undefined, false],
] as const) {
  test(`an answer of type ${type} from a relay and from a worker`, async () => {
    await using all = await world();
    const { broker, relay, worker } = all;
    for (const method of ["GET", "POST", "DELETE", "OPTIONS"]) {
      for (const status of [200, 302, 404, 500]) {
        const init = {
          method,
          headers: AUTHORIZED,
          redirect: "manual",
          ...(method === "POST" && { body: "{}" }),
        } as const;
        const [asked] = await arrived(relay, () => fetch(`${broker.relayUrl("evil")}/hi`, init));
        if (asked === undefined) throw new Error("not asked");
        expectTame(`relay ${method} ${status}`, await exchange(relay, asked, status, type), sandboxed);
      }
    }
    for (const status of [200, 302, 400, 500]) {
      const [asked] = await arrived(worker, () =>
        fetch(`${broker.url}/chat/completions`, {
          method: "POST",
          body: '{"model":"m"}',
          headers: AUTHORIZED,
          redirect: "manual",
        }),
      );
      if (asked === undefined) throw new Error("not asked");
      expectTame(`worker ${status}`, await exchange(worker, asked, status, type), sandboxed);
    }
  });
}

test("an answer without a body, a part of a shared request, a gathered answer, an early stream and an error", async () => {
  await using all = await world();
  const { broker, relay, worker } = all;
  const [unchanged] = await arrived(relay, () => fetch(broker.relayUrl("evil"), { headers: AUTHORIZED }));
  if (unchanged === undefined) throw new Error("not asked");
  expectTame("304", await exchange(relay, unchanged, 304, "text/html", ""), true);

  const body = JSON.stringify({ model: "m", input: ["a", "b"] });
  const [part] = await arrived(worker, () =>
    fetch(`${broker.url}/embeddings`, { method: "POST", body, headers: AUTHORIZED }),
  );
  if (part === undefined) throw new Error("not asked");
  expectTame("fan-out", await exchange(worker, part, 400, "text/html"), true);

  const [gathered] = await arrived(worker, () =>
    fetch(`${broker.origin}/api/llm/ollama/api/tags`, { headers: AUTHORIZED }),
  );
  if (gathered === undefined) throw new Error("not asked");
  expectTame("gather", await exchange(worker, gathered, 200, "text/html", '{"models":[]}'), false);

  const stream = (): Promise<Response> =>
    fetch(`${broker.url}/chat/completions`, {
      method: "POST",
      body: '{"model":"m","stream":true}',
      headers: AUTHORIZED,
    });
  // The first takes the only place, so the second waits and hears of it.
  const [running] = await arrived(worker, stream);
  const early = await stream();
  expect(early.headers.get("content-type")).toContain("text/event-stream");
  expectTame("early stream", early, false);
  await early.body?.cancel();
  if (running === undefined) throw new Error("not asked");
  await exchange(worker, running, 200, "text/event-stream", "data: x\n\n");

  for (const url of [broker.relayUrl("nobody"), `${broker.origin}/api/llm/id/nobody/v1/responses`])
    expectTame(url, await fetch(url, { method: "POST", body: "{}", headers: AUTHORIZED }), false);
  for (const url of [broker.relayUrl("evil"), `${broker.url}/chat/completions`])
    expectTame(`HEAD ${url}`, await fetch(url, { method: "HEAD", headers: AUTHORIZED }), false);
});

test("a request for a script is refused and reaches nobody", async () => {
  await using all = await world();
  const { broker, relay, worker } = all;
  for (const headers of [
    { "service-worker": "script" },
    { "sec-fetch-dest": "serviceworker" },
    { "sec-fetch-dest": "script" },
  ]) {
    for (const url of [broker.relayUrl("evil"), `${broker.relayUrl("evil")}/sw.js`])
      expect((await fetch(url, { headers: { ...AUTHORIZED, ...headers } })).status).toBe(403);
    const chat = { method: "POST", body: '{"model":"m"}', headers: { ...AUTHORIZED, ...headers } };
    expect((await fetch(`${broker.url}/chat/completions`, chat)).status).toBe(403);
  }
  expect([...relay.frames, ...worker.frames].filter(({ kind }) => kind === "head")).toEqual([]);
});
