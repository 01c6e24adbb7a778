// `doctor` of the built programs before set-ups that are broken, each in its own way: the line that it prints names the cause.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { Authority } from "../kit/http/authority.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import type { Env } from "../kit/process/program.ts";
import { Processes } from "../kit/processes.ts";
import { until } from "../kit/time/until.ts";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";

const processes = new Processes({ dist: process.env["NFRX_DIST"] || "dist" });
let broker: BrokerProgram;
let secure: BrokerProgram;
let backend: { url: string };
let authority: Authority;
const servers: Bun.Server<undefined>[] = [];

beforeAll(async () => {
  authority = new Authority(processes.folder);
  authority.issue("good");
  authority.issue("late", -1);
  backend = await processes.backend();
  broker = await processes.broker({ HOST: "", JOBS_STORE: "memory" });
  secure = await processes.broker({ JOBS_STORE: "memory", ...pair("good") });
});
afterAll(async () => {
  await Promise.all(servers.map(server => server.stop(true)));
  await processes[Symbol.asyncDispose]();
});

const pair = (name: string): Env => ({
  TLS_CERT_FILE: join(processes.folder, `${name}.pem`),
  TLS_KEY_FILE: join(processes.folder, `${name}.key`),
});

/** Options of an agent that is well set up. */
const agent = (): Env => ({
  SERVER_URL: broker.origin,
  CLIENT_KEY,
  COMPLETION_BASE_URL: backend.url,
  RECONNECT: "true",
});

interface Said {
  code: number | null;
  failed: string[];
  all: string;
}

async function doctor(program: string, env: Env, ...args: string[]): Promise<Said> {
  const run = processes.start(program, { NO_PROXY: "*", ...env }, ["doctor", ...args]);
  const { code } = await until(run.ended, () => `${program} doctor to end\n${run.tail}`, 30_000);
  expect(run.lines).toEqual([]);
  return { code, failed: run.strays.filter(line => line.startsWith("FAIL")), all: run.strays.join("\n") };
}

/** Serves in the test's own process; the address. */
function serve(fetch: (request: Request) => Response | Promise<Response>, tls?: Bun.TLSOptions): string {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch, ...(tls !== undefined && { tls }) });
  servers.push(server);
  return server.url.origin;
}

/** What is in front of the broker passes on all but what a WebSocket needs. */
function withoutWebSocket(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  const headers = new Headers(request.headers);
  for (const name of ["connection", "upgrade", "host"]) headers.delete(name);
  return fetch(broker.origin + pathname, { method: request.method, headers });
}

/** The broker's answers with another time on them. */
async function anHourBehind(request: Request): Promise<Response> {
  const answer = await withoutWebSocket(request);
  return new Response(await answer.bytes(), {
    status: answer.status,
    headers: { date: new Date(Date.now() - 3_600_000).toUTCString() },
  });
}

describe("an agent", () => {
  test("that is well set up", async () => {
    const { code, failed, all } = await doctor("nfrx-llm", agent());
    expect(failed).toEqual([]);
    expect(all).toContain("connected by WebSocket, wire version 2");
    expect(all).toContain("test-model");
    expect(code).toBe(0);
  });

  const backends: [program: string, option: string][] = [
    ["nfrx-llm", "COMPLETION_BASE_URL"],
    ["nfrx-asr", "ASR_BASE_URL"],
    ["nfrx-docling", "DOC_BASE_URL"],
    ["nfrx-mcp", "PROVIDER_URL"],
  ];
  test.each(backends)("%s leaves no warning in the log of the broker", async (program, option) => {
    const { mark } = broker;
    const { failed } = await doctor(program, { ...agent(), [option]: backend.url });
    expect(failed.filter(line => !/^FAIL +backend /.test(line))).toEqual([]);
    // The broker logs a later request after all that the examination made it log.
    await fetch(`${broker.origin}/api/doctor-was-here`);
    const last = await broker.line(line => line["status"] === 404, "logs the later request", 30_000, mark);
    const heard = broker.lines.slice(0, broker.lines.indexOf(last)).slice(mark);
    expect(heard.map(line => line["route"])).toContain(`/api/${program.slice(5)}/connect`);
    expect(heard.filter(({ level }) => level !== "info")).toEqual([]);
  });

  const broken: [name: string, env: () => Env, line: RegExp][] = [
    ["a wrong key", () => ({ CLIENT_KEY: "wrong" }), /handshake +the broker rejected the key \(CLIENT_KEY\)/],
    ["a wrong path", () => ({ SERVER_URL: `${broker.origin}/api/lmm/connect` }), /handshake .*404.*SERVER_URL/],
    ["plain HTTP to a TLS port", () => ({ SERVER_URL: `http://127.0.0.1:${secure.port}` }), /tls .*use wss:\/\//],
    ["TLS to a plain port", () => ({ SERVER_URL: `https://127.0.0.1:${broker.port}` }), /tls .*use ws:\/\//],
    ["a certificate of nobody's", () => ({ SERVER_URL: secure.origin }), /tls .*TLS_CA_FILE/],
    [
      "an expired certificate",
      () => ({
        SERVER_URL: serve(() => Response.json({ status: "ok" }), {
          cert: Bun.file(join(processes.folder, "late.pem")),
          key: Bun.file(join(processes.folder, "late.key")),
        }),
        TLS_CA_FILE: authority.file,
      }),
      /tls .*has expired/,
    ],
    ["no broker", () => ({ SERVER_URL: "http://127.0.0.1:1" }), /network .*nothing listens at 127.0.0.1, port 1:/],
    ["no such host", () => ({ SERVER_URL: "https://broker.invalid" }), /network .*cannot resolve broker\.invalid/],
    [
      "a proxy that asks for a password, named without a scheme",
      () => ({
        SERVER_URL: "http://broker.invalid",
        HTTP_PROXY: serve(() => new Response("", { status: 407 })).replace("http://", ""),
        NO_PROXY: "",
        no_proxy: "other.invalid",
      }),
      /proxy .*HTTP_PROXY.*\(407\)/,
    ],
    [
      "a SOCKS proxy",
      () => ({ SERVER_URL: "https://broker.invalid", ALL_PROXY: "socks5://127.0.0.1:1", NO_PROXY: "" }),
      /proxy .*SOCKS proxies are not supported/,
    ],
    [
      "a path prefix that is not the proxy's",
      () => ({ SERVER_URL: `${broker.origin}/nfrx` }),
      /broker .*not a broker \(GET \/nfrx\/healthz: 404\)/,
    ],
    ["another server", () => ({ SERVER_URL: serve(() => new Response("hello")) }), /broker .*not a broker.*SERVER_URL/],
    ["a proxy without WebSocket", () => ({ SERVER_URL: serve(withoutWebSocket) }), /tunnel .*Upgrade and Connection/],
    ["a clock off by an hour", () => ({ SERVER_URL: serve(anHourBehind) }), /clock .*36\d\d s ahead of.*NTP/],
    [
      "no backend",
      () => ({ COMPLETION_BASE_URL: "http://127.0.0.1:1/v1" }),
      /backend .*start the backend.*COMPLETION_BASE_URL/,
    ],
    [
      "the wrong backend",
      () => ({ COMPLETION_BASE_URL: backend.url.replace("/v1", "/v2") }),
      /backend .*404.*COMPLETION_BASE_URL/,
    ],
    [
      "a backend that refuses the key",
      () => ({ COMPLETION_BASE_URL: serve(() => new Response("", { status: 401 })), COMPLETION_API_KEY: "wrong" }),
      /backend .*rejects the key.*; set the key in COMPLETION_API_KEY$/,
    ],
  ];
  test("below a path prefix", async () => {
    const prefixed = serve(async request => {
      const { pathname } = new URL(request.url);
      if (!pathname.startsWith("/nfrx/")) return new Response("not here", { status: 404 });
      return fetch(broker.origin + pathname.slice("/nfrx".length), { headers: request.headers });
    });
    const { all } = await doctor("nfrx-llm", { ...agent(), SERVER_URL: `${prefixed}/nfrx` });
    expect(all).toContain("a broker responds at");
  });

  test.each(broken)("with %s", async (_, env, line) => {
    const { code, failed } = await doctor("nfrx-llm", { ...agent(), ...env() });
    expect(failed.filter(text => line.test(text))).toHaveLength(1);
    expect(code).toBe(1);
  });

  test("over TLS with its authority named", async () => {
    const { code, failed } = await doctor("nfrx-llm", {
      ...agent(),
      SERVER_URL: secure.origin,
      TLS_CA_FILE: authority.file,
    });
    expect(failed).toEqual([]);
    expect(code).toBe(0);
  });
});

describe("a broker", () => {
  const own = (): Env => ({ PORT: "0", API_KEY, CLIENT_KEY });

  test("that is well set up", async () => {
    const { code, failed } = await doctor("nfrx", own());
    expect(failed).toEqual([]);
    expect(code).toBe(0);
  });

  test("that runs already", async () => {
    const { failed, all } = await doctor("nfrx", { ...own(), PORT: String(broker.port) });
    expect(failed).toEqual([]);
    expect(all).toContain("a broker is running there");
    expect(all).toContain("not ready: no worker is connected");
  });

  const broken: [name: string, env: () => Env, line: RegExp][] = [
    [
      "a port that is taken",
      () => ({ PORT: new URL(backend.url).port, HOST: "127.0.0.1" }),
      /address .*in use by another program.*PORT/,
    ],
    [
      "a configuration file that cannot be read",
      () => ({ CONFIG_FILE: processes.folder }),
      /config .*cannot be read: EISDIR/,
    ],
    ["an expired certificate", () => pair("late"), /certificate .*expired on \d{4}-\d\d-\d\d/],
    [
      "a key of another certificate",
      () => ({ ...pair("good"), TLS_KEY_FILE: join(processes.folder, "late.key") }),
      /certificate .*TLS_KEY_FILE: the key in .*late.key does not belong to the certificate in .*good.pem/,
    ],
    ["a folder that is none", () => ({ UPLOAD_SPOOL_DIR: authority.file }), /uploads .*set UPLOAD_SPOOL_DIR/],
    ["a value that is none", () => ({ PORT: "eighty" }), /config .*PORT: "eighty" is not a port/],
  ];
  test.each(broken)("with %s", async (_, env, line) => {
    const { code, failed } = await doctor("nfrx", { ...own(), ...env() });
    expect(failed.filter(text => line.test(text))).toHaveLength(1);
    expect(code).toBe(1);
  });

  test("with a full disk", async () => {
    const folder = join(processes.folder, "small");
    mkdirSync(folder);
    const mount = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], { stderr: "pipe" });
    expect(mount.stderr.toString()).toBe("");
    try {
      const { code, failed } = await doctor("nfrx", { ...own(), JOBS_STORE: join(folder, "jobs.db") });
      expect(failed).toHaveLength(1);
      expect(failed[0]).toMatch(
        /jobs .*the disk of .*small is full \(0 MiB left\): free some space, or set JOBS_STORE/,
      );
      expect(code).toBe(1);
    } finally {
      Bun.spawnSync(["umount", folder]);
    }
  });
});

describe("health", () => {
  async function health(program: string, env: Env): Promise<[code: number | null, said: string]> {
    const run = processes.start(program, env, ["health"]);
    const { code } = await until(run.ended, () => `${program} health to end\n${run.tail}`, 30_000);
    return [code, run.strays.join("\n")];
  }

  test("of a broker", async () => {
    const key = { API_KEY, CLIENT_KEY };
    expect(await health("nfrx", { ...key, PORT: String(broker.port) })).toEqual([0, "ok"]);
    expect(await health("nfrx", { ...key, PORT: "1" })).toEqual([1, "no broker responds at port 1"]);
  });

  test("of an agent", async () => {
    const port = new URL(serve(() => new Response("nfrx_worker_connected_to_server 0\n"))).port;
    const running = { ...agent(), METRICS_PORT: `127.0.0.1:${port}` };
    expect(await health("nfrx-llm", running)).toEqual([1, "the agent is not connected to its broker"]);
    expect(await health("nfrx-llm", agent())).toEqual([1, "set METRICS_PORT to check a running agent"]);
    const free = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
    const metrics = `127.0.0.1:${free.port}`;
    await free.stop(true);
    await processes.agent(broker, backend, { METRICS_PORT: metrics });
    expect(await health("nfrx-llm", { ...agent(), METRICS_PORT: metrics })).toEqual([0, "ok"]);
  });
});
