// The configuration of nginx in doc/deployment.md, with nginx and our programs: what the page promises of it.
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Authority } from "../kit/authority.ts";
import { bytes, chatStream } from "../kit/backend.ts";
import { Gate } from "../kit/gate.ts";
import { AUTHORIZED, type BrokerProgram, chatBody, type Env, Processes } from "../kit/processes.ts";
import { eventually, until } from "../kit/until.ts";
import { freePort } from "../peer/old.ts";
import { blocksOf } from "./page.ts";

const program = Bun.which("nginx") ?? (existsSync("/usr/sbin/nginx") ? "/usr/sbin/nginx" : undefined);
const withNginx = test.skipIf(program === undefined && process.env["CI"] !== "true");
const LIMIT_MS = 60_000;

/** nginx with the page's configuration before a broker. */
class Front implements AsyncDisposable {
  readonly origin: string;
  readonly ca: string;
  readonly #child: Bun.Subprocess;

  private constructor(
    readonly authority: Authority,
    readonly broker: BrokerProgram,
    port: number,
    change: (configuration: string) => string,
  ) {
    this.origin = `https://127.0.0.1:${port}`;
    this.ca = readFileSync(authority.file, "utf8");
    const folder = join(authority.folder, "nginx");
    mkdirSync(folder);
    const [block] = blocksOf("doc/deployment.md").filter(({ language }) => language === "nginx");
    const live = "/etc/letsencrypt/live/your.host";
    const filled = [
      ["127.0.0.1:8080", `127.0.0.1:${broker.port}`],
      ["listen 443 ssl", `listen 127.0.0.1:${port} ssl`],
      [`${live}/fullchain.pem`, join(authority.folder, "host.pem")],
      [`${live}/privkey.pem`, join(authority.folder, "host.key")],
    ].reduce((text, [from = "", to = ""]) => {
      if (!text.includes(from)) throw new Error(`the page has no ${from}`);
      return text.replaceAll(from, to);
    }, block?.text ?? "");
    const configuration = change(filled);
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(name => `${name}_temp_path ${name};`);
    const user = process.getuid?.() === 0 ? "user root;" : "";
    writeFileSync(
      join(folder, "nginx.conf"),
      `${user} pid nginx.pid; events {} http { access_log off; ${temporary.join(" ")}\n${configuration}\n}`,
    );
    const command = [program ?? "nginx", "-p", folder, "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off;"];
    this.#child = Bun.spawn(command, { stdout: "ignore", stderr: "inherit" });
  }

  static async start(processes: Processes, env: Env = {}, change = (same: string) => same): Promise<Front> {
    const authority = new Authority(processes.folder);
    authority.issue("host");
    const front = new Front(authority, await processes.broker(env), freePort(), change);
    const port = Number(new URL(front.origin).port);
    let open = false;
    await eventually(
      () => {
        if (!open) void reachable(port).then(answer => (open = answer));
        return open;
      },
      "nginx listens",
      20_000,
    );
    return front;
  }

  /** Asks through nginx. */
  fetch(path: string, init: BunFetchRequestInit = {}): Promise<Response> {
    return fetch(this.origin + path, { keepalive: false, tls: { ca: this.ca }, ...init });
  }

  /** What an agent needs to come in through nginx. */
  get env(): Env {
    return { SERVER_URL: this.origin.replace("https", "wss"), TLS_CA_FILE: this.authority.file };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.exited;
  }
}

async function reachable(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data: () => undefined } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}

withNginx(
  "behind nginx: an agent connects, and words arrive as they are written",
  async () => {
    await using processes = new Processes();
    await using front = await Front.start(processes);
    const backend = await processes.backend();
    const words = new Gate();
    backend.respond = chatStream(["one", "two", "three"], { gate: words });
    await processes.agent(front.broker, backend, front.env);
    // Bun sends an answer's head with the first byte of its body.
    words.release();
    const answer = await front.fetch("/api/llm/v1/chat/completions", {
      method: "POST",
      headers: { ...AUTHORIZED, "content-type": "application/json" },
      body: JSON.stringify(chatBody({ stream: true })),
    });
    const reader = answer.body!.getReader();
    const decoder = new TextDecoder();
    let text = "";
    for (const word of ["one", "two", "three"]) {
      expect(text).not.toContain(word);
      if (word !== "one") words.release();
      while (!text.includes(word)) text += decoder.decode((await until(reader.read(), word)).value, { stream: true });
    }
    await reader.cancel();
  },
  LIMIT_MS,
);

withNginx(
  "behind nginx: a transfer passes while it is sent, and a large upload is nobody's but nfrx' to refuse",
  async () => {
    await using processes = new Processes();
    await using front = await Front.start(processes);
    const created = await front.fetch("/api/transfer", { method: "POST", headers: AUTHORIZED });
    const { channel_id } = (await created.json()) as { channel_id: string };
    const gate = new Gate();
    const source = await processes.backend({ respond: bytes(["first", "second"], {}, 200, gate) });
    const sending = fetch(`${source.origin}/x`).then(({ body }) =>
      front.fetch(`/api/transfer/${channel_id}`, { method: "POST", headers: AUTHORIZED, body }),
    );
    const receiving = front.fetch(`/api/transfer/${channel_id}`, { headers: AUTHORIZED });
    gate.release();
    const reader = (await receiving).body!.getReader();
    expect(new TextDecoder().decode((await until(reader.read(), "the first bytes")).value)).toBe("first");
    gate.open();
    expect(await (await sending).json()).toEqual({ status: "ok" });
    await reader.cancel();

    const backend = await processes.backend();
    backend.respond = (_, { bodyBytes }) => Response.json({ text: `${bodyBytes} bytes` });
    await processes.agent(front.broker, backend, front.env, "asr");
    const form = new FormData();
    form.set("model", "test-model");
    form.set("file", new Blob([new Uint8Array(20_000_000)]), "long.wav");
    const heard = await front.fetch("/api/asr/v1/audio/transcriptions", {
      method: "POST",
      headers: AUTHORIZED,
      body: form,
    });
    expect(await heard.json()).toEqual({ text: expect.stringMatching(/^2000\d{4} bytes$/) });
  },
  LIMIT_MS,
);

withNginx(
  "behind nginx: roles from outside do not count, metrics stay inside",
  async () => {
    await using processes = new Processes();
    await using front = await Front.start(processes, { API_HTTP_ROLES: "staff" });
    const roles = { "x-user-roles": "staff" };
    expect((await fetch(`${front.broker.url}/models`, { headers: roles })).status).toBe(200);
    expect((await front.fetch("/api/llm/v1/models", { headers: roles })).status).toBe(401);
    expect((await front.fetch("/api/llm/v1/models", { headers: AUTHORIZED })).status).toBe(200);
    expect((await front.fetch("/metrics")).status).toBe(404);
    expect((await front.fetch("/healthz")).status).toBe(200);
  },
  LIMIT_MS,
);

withNginx(
  "behind nginx: an old key is taken for the new one, as doc/security.md says, by callers and by agents",
  async () => {
    await using processes = new Processes();
    // As long as `openssl rand -hex 24` makes them.
    const keys = { "old-key": "0".repeat(48), "new-key": "1".repeat(48) };
    const [map] = blocksOf("doc/security.md").filter(({ language }) => language === "nginx");
    const both = { API_KEY: keys["new-key"], CLIENT_KEY: keys["new-key"] };
    await using front = await Front.start(processes, both, configuration => {
      const taken = Object.entries(keys).reduce((text, [from, to]) => text.replaceAll(from, to), map?.text ?? "");
      const header = "proxy_set_header Authorization $nfrx_key;";
      return `${taken}\n${configuration.replace("location / {", `location / { ${header}`)}`;
    });
    const bearer = (key: string): Env => ({ authorization: `Bearer ${key}` });
    for (const [key, status] of [
      [keys["old-key"], 200],
      [keys["new-key"], 200],
      ["another", 401],
    ] as const)
      expect((await front.fetch("/api/llm/v1/models", { headers: bearer(key) })).status).toBe(status);
    expect((await fetch(`${front.broker.url}/models`, { headers: bearer(keys["old-key"]) })).status).toBe(401);
    const backend = await processes.backend();
    await processes.agent(front.broker, backend, { ...front.env, CLIENT_KEY: keys["old-key"] });
  },
  LIMIT_MS,
);
