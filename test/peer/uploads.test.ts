// Recordings and documents with the programs of the 0.9 series: their agents at our broker, our agents at theirs.
import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { HEARTBEAT_MS, V1_DEAD_MS, V1_REQUEST_BODY } from "../../src/protocol/limits.ts";
import {
  bytes,
  json,
  type RecordedRequest,
  type Respond,
  silent,
  status,
  type TestBackend,
} from "../kit/backend/backend.ts";
import { Call, type CallAnswer, call } from "../kit/http/call.ts";
import { type Form, form, MIB, model, recording } from "../kit/http/form.ts";
import { AUTHORIZED } from "../kit/process/broker.ts";
import type { Program } from "../kit/process/program.ts";
import { Processes } from "../kit/processes.ts";
import { Gate } from "../kit/time/gate.ts";
import { Changes } from "../kit/time/until.ts";
import { CLIENT_KEY, World } from "../kit/world.ts";
import { freePort, OldProgram, startOldBroker, withPeer } from "./old.ts";

type Module = "asr" | "docling";

/** What a caller brings that is no business of a backend. */
const SECRETS = { Cookie: "session=of-the-caller", "X-Api-Key": "of-the-caller" };
const BACKEND_KEY = "key-of-the-backend";
const EVENTS = { "content-type": "text/event-stream" };
/** How long tens of MiB may take through four programs on a busy machine. */
const LARGE_MS = 50_000;
/** Heartbeats after which an agent would long be gone without them, and how long so many may take. */
const BEATS = V1_DEAD_MS / HEARTBEAT_MS + 1;
const BEATS_MS = 2 * BEATS * HEARTBEAT_MS;

/** The option that names a module's backend, with the address that it expects. */
function backendEnv(module: Module, backend: TestBackend): Record<string, string> {
  return module === "asr" ? { ASR_BASE_URL: backend.url } : { DOC_BASE_URL: backend.origin };
}

/** POSTs a body as a client without a library would. */
function post(url: string, { type, body }: Form, headers: Record<string, string> = {}): Promise<CallAnswer> {
  return new Call(url, { headers: { ...AUTHORIZED, "content-type": type, ...headers }, body }).answer(LARGE_MS);
}

const JSON_BODY = (value: object): Form => ({ type: "application/json", body: Buffer.from(JSON.stringify(value)) });

const small = form([{ name: "file", filename: "grüße.txt", content: "how 😀 sounds" }, model()]);
const streamed = form([model(), { name: "stream", content: "true" }, recording(1000)]);

function sha256(body: Uint8Array): string {
  return new Bun.CryptoHasher("sha256").update(body).digest("hex");
}

/** The request that reached a backend last. */
function last({ requests }: TestBackend): RecordedRequest {
  const request = requests.at(-1);
  if (request === undefined) throw new Error("no request has reached the backend");
  return request;
}

/** A backend's answer in events, one a pass. */
const events = (gate: Gate): Respond =>
  bytes(["data: one\n\n", "data: two\n\n", "data: [DONE]\n\n"], EVENTS, 200, gate);

// What both directions owe to callers; each direction adds what is its own.

/** Forms pass unchanged, wherever their model stands, and answers come back as they are. */
async function transcribes(url: string, backend: TestBackend): Promise<void> {
  backend.respond = status(200, { text: "grüß dich 😀" }, { "x-backend": "its own" });
  for (const upload of [small, form([model(), recording(1000)]), form([recording(300_000), model()])]) {
    const answer = await post(`${url}/audio/transcriptions`, upload);
    expect([answer.status, JSON.parse(answer.body.toString())]).toEqual([200, { text: "grüß dich 😀" }]);
    expect(answer.headers).toContainEqual(["x-backend", "its own"]);
    const { method, path, headers, sha256: arrived } = last(backend);
    expect([method, path, headers.get("content-type")]).toEqual(["POST", "/v1/audio/transcriptions", upload.type]);
    expect(arrived).toBe(sha256(upload.body));
  }
}

async function streams(url: string, backend: TestBackend): Promise<void> {
  const gate = new Gate();
  backend.respond = events(gate);
  const asked = new Call(`${url}/audio/transcriptions`, {
    headers: { ...AUTHORIZED, "content-type": streamed.type },
    body: streamed.body,
  });
  for (const word of ["one", "two"]) {
    gate.release();
    await asked.shows(word);
  }
  expect(asked.text).toBe("data: one\n\ndata: two\n\n");
  gate.open();
  const answer = await asked.answer();
  expect(answer.complete).toBeTrue();
  expect(answer.headers).toContainEqual(["content-type", "text/event-stream"]);
  expect(answer.body.toString()).toBe("data: one\n\ndata: two\n\ndata: [DONE]\n\n");
}

async function passesErrors(url: string, backend: TestBackend, upload: Form): Promise<void> {
  for (const code of [400, 413, 422, 429, 500, 502, 503]) {
    backend.respond = status(code, { error: { message: `own ${code}` } });
    const answer = await post(url, upload);
    expect([answer.status, JSON.parse(answer.body.toString())]).toEqual([code, { error: { message: `own ${code}` } }]);
  }
}

/** A client that goes away is felt by the backend, before its answer and in the middle of it. */
async function cancels(url: string, backend: TestBackend, upload: Form): Promise<void> {
  const headers = { ...AUTHORIZED, "content-type": upload.type };
  const before = { arrived: backend.requests.length, aborted: backend.abortedCount };
  backend.respond = silent();
  const silently = new Call(url, { headers, body: upload.body });
  await backend.arrived(before.arrived + 1);
  silently.abort();
  await backend.aborted(before.aborted + 1);
  const gate = new Gate();
  backend.respond = events(gate);
  const begun = new Call(url, { headers, body: upload.body });
  gate.release();
  await begun.shows("one");
  begun.abort();
  await backend.aborted(before.aborted + 2);
}

/** A form arrives whole, however large. */
async function carriesWhole(url: string, backend: TestBackend, upload: Form): Promise<void> {
  backend.respond = status(200, "taken");
  const answer = await post(url, upload);
  expect([answer.status, answer.body.toString()]).toEqual([200, "taken"]);
  const { bodyBytes, sha256: arrived } = last(backend);
  expect([bodyBytes, arrived]).toEqual([upload.body.length, sha256(upload.body)]);
}

// ---- the old agents at our broker ------------------------------------------------------------------------------

interface OldAgent {
  world: World;
  backend: TestBackend;
  agent: OldProgram;
  [Symbol.asyncDispose](): Promise<void>;
}

async function oldAgent(
  module: Module,
  options: { name?: string; world?: World; args?: string[] } = {},
): Promise<OldAgent> {
  const { name = "old", world = new World({ module }), args = [] } = options;
  const backend = await world.backend();
  const agent = new OldProgram(
    `nfrx-${module}`,
    {
      SERVER_URL: world.connectUrl,
      CLIENT_KEY,
      CLIENT_ID: name,
      CLIENT_NAME: name,
      CONFIG_FILE: "agent.yaml",
      MAX_CONCURRENCY: "2",
      ...backendEnv(module, backend),
    },
    args,
  );
  await world.when(
    () => world.pool.registry.get(name)?.state === "idle",
    () => `the old agent registers:\n${agent.output}`,
  );
  return {
    world,
    backend,
    agent,
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]();
      await world.stop();
    },
  };
}

withPeer("old asr agent: recordings, their model first or last, and errors of the backend", async () => {
  await using old = await oldAgent("asr");
  const { world, backend } = old;
  await transcribes(world.url, backend);
  await passesErrors(`${world.url}/audio/transcriptions`, backend, small);
  expect(await world.leftovers()).toEqual({});
});

withPeer("old asr agent: what it did not know in its time goes through it too", async () => {
  await using old = await oldAgent("asr");
  const { world, backend } = old;
  const sound = recording(200_000).content;
  backend.respond = () => new Response(Buffer.from(sound), { headers: { "content-type": "audio/mpeg" } });
  const spoken = await post(`${world.url}/audio/speech`, JSON_BODY({ model: "test-model", input: "grüß dich" }));
  expect([spoken.status, sha256(spoken.body)]).toEqual([200, sha256(Buffer.from(sound))]);
  expect([last(backend).path, last(backend).json()]).toEqual([
    "/v1/audio/speech",
    { model: "test-model", input: "grüß dich" },
  ]);
  await post(`${world.url}/audio/translations`, small);
  expect([last(backend).path, last(backend).sha256]).toEqual(["/v1/audio/translations", sha256(small.body)]);
  expect(await world.leftovers()).toEqual({});
});

withPeer("old asr agent: events arrive as they are written, and an abort reaches its backend", async () => {
  await using old = await oldAgent("asr");
  const { world, backend } = old;
  await streams(world.url, backend);
  await cancels(`${world.url}/audio/transcriptions`, backend, streamed);
  expect(await world.leftovers()).toEqual({});
});

withPeer(
  "old asr agent: recordings arrive whole up to what wire v1 carries, and one byte more is refused",
  async () => {
    await using old = await oldAgent("asr");
    const { world, backend, agent } = old;
    const url = `${world.url}/audio/transcriptions`;
    await carriesWhole(url, backend, form([model(), recording(20 * MIB)]));
    await carriesWhole(url, backend, form([recording(20 * MIB), model()]));
    const around = form([model(), recording(0)]).body.length;
    await carriesWhole(url, backend, form([model(), recording(V1_REQUEST_BODY - around)]));
    const served = backend.requests.length;
    const tooLarge = form([model(), recording(V1_REQUEST_BODY - around + 1)]);
    const announced = await post(url, tooLarge);
    expect([announced.status, JSON.parse(announced.body.toString())]).toMatchObject([
      413,
      { error: { code: "too_large" } },
    ]);
    const chunked = new Call(url, { headers: { ...AUTHORIZED, "content-type": tooLarge.type }, body: "chunked" });
    for (let at = 0; at < tooLarge.body.length; at += MIB) await chunked.send(tooLarge.body.subarray(at, at + MIB));
    await chunked.finish();
    expect(await chunked.answer(LARGE_MS)).toMatchObject({ status: 413, complete: true });
    // Nothing of either reached the agent, which serves on over the same connection.
    expect((await post(url, small)).status).toBe(200);
    expect(backend.requests).toHaveLength(served + 1);
    expect(agent.output.split("connected to server")).toHaveLength(2);
    const { backend: other } = await world.worker({ clientName: "ours" });
    await carriesWhole(url, other, tooLarge);
    expect(await world.leftovers()).toEqual({});
  },
  120_000,
);

withPeer("old asr agent: its heartbeats keep it in while nobody asks anything", async () => {
  await using old = await oldAgent("asr");
  const { world, backend } = old;
  const worker = world.pool.registry.get("old");
  const changes = new Changes();
  const beats = new Set<number>();
  const wake = world.pool.wake.bind(world.pool);
  world.pool.wake = () => {
    wake();
    beats.add(worker?.lastHeartbeat ?? 0);
    changes.notify();
  };
  backend.respond = status(200, "still here");
  await changes.when(
    () => beats.size > BEATS,
    () => `${[...beats]} are not enough heartbeats`,
    BEATS_MS,
  );
  expect(world.pool.registry.get("old")).toBe(worker);
  expect((await post(`${world.url}/audio/transcriptions`, small)).body.toString()).toBe("still here");
  expect(await world.leftovers()).toEqual({});
});

for (const module of ["asr", "docling"] as const) {
  const path = module === "asr" ? "/audio/transcriptions" : "/convert/file";

  // These two programs end at once on SIGTERM, unlike the 0.9.7 agent for chats: what they had in hand is lost to them.
  withPeer(`old ${module} agent: told to end it leaves at once, and its work goes to another one`, async () => {
    await using old = await oldAgent(module);
    const { world, backend, agent } = old;
    backend.respond = silent();
    const running = post(`${world.url}${path}`, small);
    await backend.arrived(1);
    const { backend: other } = await world.worker({ clientName: "ours" });
    other.respond = status(200, "done elsewhere");
    agent.terminate();
    expect((await running).body.toString()).toBe("done elsewhere");
    expect(last(other).sha256).toBe(sha256(small.body));
    await world.when(() => world.pool.registry.size === 1, "the old agent has left");
    await agent.exited;
    expect(await world.leftovers()).toEqual({});
  });

  withPeer(
    `old ${module} agent: drained it finishes its work, what is new goes elsewhere, then it leaves`,
    async () => {
      const port = freePort();
      await using old = await oldAgent(module, { args: ["--status-addr", `127.0.0.1:${port}`] });
      const { world, backend, agent } = old;
      const gate = new Gate();
      backend.respond = events(gate);
      const running = post(`${world.url}${path}`, small);
      await backend.arrived(1);
      const token = readFileSync(join(agent.home, `${module}.token`), "utf8");
      const control = { method: "POST", headers: { "x-auth-token": token } };
      expect((await fetch(`http://127.0.0.1:${port}/control/drain`, control)).status).toBe(200);
      await world.when(() => world.pool.registry.get("old")?.state === "draining", "the broker knows");
      const { backend: other } = await world.worker({ clientName: "ours" });
      other.respond = status(200, "done elsewhere");
      expect((await post(`${world.url}${path}`, small)).body.toString()).toBe("done elsewhere");
      gate.open();
      // The old agent may cut its connection before its last frames have left: then the client must hear of it.
      const { body, complete } = await running;
      expect(!complete || /data: \[DONE\]\n\n$|event: error\n/.test(body.toString())).toBeTrue();
      await world.when(() => world.pool.registry.size === 1, "the old agent has left");
      await agent.exited;
      expect(await world.leftovers()).toEqual({});
    },
  );
}

withPeer(
  "old docling agent: documents from a source and as files, and errors of the backend",
  async () => {
    await using old = await oldAgent("docling");
    const { world, backend } = old;
    backend.respond = status(200, { document: { md_content: "# grüß dich 😀" } });
    const headers = { ...SECRETS, "Accept-Docling-Document-Version": "1.2" };
    for (const [path, upload] of [
      ["source", JSON_BODY({ sources: [{ kind: "http", url: "https://example.org/ü.pdf" }] })],
      [
        "file",
        form([
          { ...recording(1000), name: "files" },
          { name: "to_formats", content: "md" },
        ]),
      ],
    ] as const) {
      const answer = await post(`${world.url}/convert/${path}`, upload, headers);
      expect([answer.status, JSON.parse(answer.body.toString())]).toEqual([
        200,
        { document: { md_content: "# grüß dich 😀" } },
      ]);
      const arrived = last(backend);
      expect([arrived.method, arrived.path]).toEqual(["POST", `/v1/convert/${path}`]);
      expect([arrived.headers.get("content-type"), arrived.sha256]).toEqual([upload.type, sha256(upload.body)]);
      expect(arrived.headers.get("accept-docling-document-version")).toBe("1.2");
      for (const name of ["authorization", "cookie", "x-api-key"]) expect(arrived.headers.get(name)).toBeNull();
    }
    await passesErrors(`${world.url}/convert/file`, backend, small);
    await cancels(`${world.url}/convert/file`, backend, small);
    await carriesWhole(`${world.url}/convert/file`, backend, form([recording(20 * MIB)]));
    expect(await world.leftovers()).toEqual({});
  },
  120_000,
);

withPeer("old docling agent: it carries questions about tasks, to the agent that has the task", async () => {
  await using old = await oldAgent("docling");
  const { world, backend } = old;
  await using second = await oldAgent("docling", { name: "second", world });
  const document = Buffer.from(recording(300_000).content);
  const tasks =
    (id: string): Respond =>
    request => {
      const { pathname } = new URL(request.url);
      if (request.method === "POST") return json({ task_id: id, task_status: "pending" });
      if (!pathname.endsWith(`/${id}`)) return json({ detail: "Task not found." }, 404);
      if (pathname.includes("/status/")) return json({ task_id: id, task_status: "success" });
      return new Response(document, { headers: { "content-type": "application/zip" } });
    };
  backend.respond = tasks("task-1");
  second.backend.respond = tasks("task-2");
  const begun = new Set<string>();
  for (let i = 0; i < 2; i++) {
    const answer = await post(`${world.url}/convert/file/async`, small);
    begun.add(JSON.parse(answer.body.toString()).task_id);
  }
  expect([...begun].sort()).toEqual(["task-1", "task-2"]);
  for (const [id, owner] of [
    ["task-1", backend],
    ["task-2", second.backend],
  ] as const) {
    const polled = await call(`${world.url}/status/poll/${id}?wait=5&a=b%20c`, { headers: AUTHORIZED });
    expect([polled.status, JSON.parse(polled.body.toString())]).toMatchObject([200, { task_id: id }]);
    const { method, path, search, bodyBytes } = last(owner);
    expect([method, path, search, bodyBytes]).toEqual(["GET", `/v1/status/poll/${id}`, "?wait=5&a=b%20c", 0]);
    const result = await call(`${world.url}/result/${id}`, { headers: AUTHORIZED });
    expect([result.status, sha256(result.body)]).toEqual([200, sha256(document)]);
    expect([last(owner).method, last(owner).path]).toEqual(["GET", `/v1/result/${id}`]);
  }
  const unknown = await call(`${world.url}/result/task-3`, { headers: AUTHORIZED });
  expect([unknown.status, JSON.parse(unknown.body.toString())]).toEqual([404, { detail: "Task not found." }]);
  expect(await world.leftovers()).toEqual({});
});

// ---- our agents at the old broker ------------------------------------------------------------------------------

class OldServer {
  private constructor(
    readonly port: number,
    readonly module: Module,
    public broker: OldProgram,
    readonly backend: TestBackend,
    readonly agent: Program,
    private readonly processes: Processes,
  ) {}

  static async start(module: Module): Promise<OldServer> {
    const port = freePort();
    const processes = new Processes();
    const [broker, backend] = await Promise.all([startOldBroker(port), processes.backend()]);
    const agent = processes.start(`nfrx-${module}`, {
      SERVER_URL: `ws://127.0.0.1:${port}/api/${module}/connect`,
      CLIENT_KEY,
      CLIENT_ID: "ours",
      CLIENT_NAME: "ours",
      RECONNECT: "true",
      [module === "asr" ? "ASR_API_KEY" : "DOC_API_KEY"]: BACKEND_KEY,
      ...backendEnv(module, backend),
    });
    await broker.logs("registered");
    return new OldServer(port, module, broker, backend, agent, processes);
  }

  /** The base URL of the module's API. */
  get url(): string {
    return `http://127.0.0.1:${this.port}/api/${this.module}/v1`;
  }

  /** Kills the broker and starts another one in its place. */
  async replace(): Promise<void> {
    await this.broker[Symbol.asyncDispose]();
    this.broker = await startOldBroker(this.port);
    await this.broker.logs("registered");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.processes[Symbol.asyncDispose]();
    await this.broker[Symbol.asyncDispose]();
  }
}

withPeer("old broker: our asr agent serves recordings, and errors of the backend", async () => {
  await using old = await OldServer.start("asr");
  const models = await call(`${old.url}/models`, { headers: AUTHORIZED });
  expect(JSON.parse(models.body.toString())).toMatchObject({ data: [{ id: "test-model", owned_by: "ours" }] });
  await transcribes(old.url, old.backend);
  await passesErrors(`${old.url}/audio/transcriptions`, old.backend, small);
});

withPeer("old broker: our asr agent's events arrive as they are written, an abort reaches its backend", async () => {
  await using old = await OldServer.start("asr");
  await streams(old.url, old.backend);
  await cancels(`${old.url}/audio/transcriptions`, old.backend, streamed);
});

withPeer("old broker: our docling agent serves documents, and errors of the backend", async () => {
  await using old = await OldServer.start("docling");
  const { url, backend } = old;
  const document = Buffer.from(recording(300_000).content);
  backend.respond = () => new Response(document, { headers: { "content-type": "application/zip" } });
  for (const [path, upload] of [
    ["source", JSON_BODY({ sources: [{ kind: "http", url: "https://example.org/ü.pdf" }] })],
    [
      "file",
      form([
        { ...recording(1000), name: "files" },
        { name: "to_formats", content: "md" },
      ]),
    ],
  ] as const) {
    const answer = await post(`${url}/convert/${path}`, upload);
    expect([answer.status, sha256(answer.body)]).toEqual([200, sha256(document)]);
    expect(answer.headers).toContainEqual(["content-type", "application/zip"]);
    const { method, path: asked, headers, sha256: arrived } = last(backend);
    expect([method, asked, headers.get("content-type")]).toEqual(["POST", `/v1/convert/${path}`, upload.type]);
    expect(arrived).toBe(sha256(upload.body));
  }
  await passesErrors(`${url}/convert/file`, backend, small);
  await cancels(`${url}/convert/file`, backend, small);
});

for (const module of ["asr", "docling"] as const) {
  const path = module === "asr" ? "/audio/transcriptions" : "/convert/file";

  withPeer(`old broker: what it tells our ${module} agent of its callers' credentials stays there`, async () => {
    await using old = await OldServer.start(module);
    old.backend.respond = status(200, "taken");
    expect((await post(`${old.url}${path}`, small, SECRETS)).status).toBe(200);
    const { headers } = last(old.backend);
    expect(headers.get("authorization")).toBe(`Bearer ${BACKEND_KEY}`);
    expect(headers.get("x-api-key")).toBe(module === "docling" ? BACKEND_KEY : null);
    expect(headers.get("cookie")).toBeNull();
    for (const value of [...Object.values(SECRETS), AUTHORIZED["authorization"]])
      expect([...headers.values()]).not.toContain(value);
  });

  withPeer(`old broker: our ${module} agent drains on SIGTERM and leaves in peace`, async () => {
    await using old = await OldServer.start(module);
    const { url, backend, agent, broker } = old;
    const gate = new Gate();
    backend.respond = events(gate);
    const running = post(`${url}${path}`, small);
    await backend.arrived(1);
    agent.signal("SIGTERM");
    await agent.line(({ msg }) => msg === "draining", "drains");
    gate.open();
    expect(await running).toMatchObject({ status: 200, complete: true });
    expect((await running).body.toString()).toEndWith("data: [DONE]\n\n");
    expect(await agent.ending()).toEqual({ code: 0, signal: null });
    await broker.logs("code=1000 reason=drained");
  });

  withPeer(`old broker: our ${module} agent comes back when it does`, async () => {
    await using old = await OldServer.start(module);
    old.backend.respond = status(200, "served again");
    await old.replace();
    expect((await post(`${old.url}${path}`, small)).body.toString()).toBe("served again");
  });
}

withPeer("old broker: our heartbeats keep our agent in while nobody asks anything", async () => {
  await using old = await OldServer.start("asr");
  const state = new Call(`http://127.0.0.1:${old.port}/api/state/stream`, { headers: AUTHORIZED });
  const beats = (): Set<string> => new Set(state.text.match(/"last_heartbeat":"[^"]*"/g));
  await state.when(() => beats().size > BEATS, "enough heartbeats", BEATS_MS);
  state.abort();
  expect(old.broker.output.split("registered")).toHaveLength(2);
  old.backend.respond = status(200, "still here");
  expect((await post(`${old.url}/audio/transcriptions`, small)).body.toString()).toBe("still here");
});

withPeer(
  "old broker: large bodies arrive whole",
  async () => {
    await using old = await OldServer.start("asr");
    const url = `${old.url}/audio/transcriptions`;
    await carriesWhole(url, old.backend, form([model(), recording(20 * MIB)]));
    await carriesWhole(url, old.backend, form([recording(90 * MIB), model()]));
    const answer = Buffer.from(recording(20 * MIB).content);
    old.backend.respond = () => new Response(answer);
    expect(sha256((await post(url, small)).body)).toBe(sha256(answer));
  },
  120_000,
);

// A message of more than 128 MiB, of 96 MiB before base64, is more than the WebSocket client of our agents takes.
withPeer(
  "old broker: a body too large for our agent fails, and the agent comes back",
  async () => {
    await using old = await OldServer.start("docling");
    const url = `${old.url}/convert/file`;
    const answer = await post(url, form([recording(97 * MIB)]));
    expect(answer.status).toBe(502);
    expect(old.backend.requests).toHaveLength(0);
    await old.broker.logs("registered", 2);
    old.backend.respond = status(200, "served again");
    expect((await post(url, small)).body.toString()).toBe("served again");
  },
  120_000,
);
