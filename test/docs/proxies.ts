// nginx, Caddy and Traefik with the configurations of doc/deployment.md, each in front of a broker of ours.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "node:tls";
import { Authority } from "../kit/http/authority.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import type { Env } from "../kit/process/program.ts";
import type { Processes } from "../kit/processes.ts";
import { until } from "../kit/time/until.ts";
import { freePort } from "../peer/old.ts";
import { blocksOf, root } from "./page.ts";

/** What of the page's text stands for something else on this machine. */
interface Place {
  readonly broker: string;
  readonly port: number;
  readonly cert: string;
  readonly key: string;
  /** An empty folder of the proxy's own. */
  readonly folder: string;
}

export interface Proxy {
  readonly name: "nginx" | "Caddy" | "Traefik";
  /** Where the program is; undefined when it is not installed. */
  readonly program: string | undefined;
  /** Writes the page's configuration, changed by `change`, and returns the arguments to start with. */
  configure(place: Place, change: (text: string) => string): string[];
}

/** The page's block of that language, the `index`th one, with the replacements made. Throws when one has no place. */
function block(
  language: string,
  index: number,
  replacements: readonly (readonly [from: string, to: string])[],
): string {
  const text = blocksOf("doc/deployment.md").filter(one => one.language === language)[index]?.text ?? "";
  return replacements.reduce((so, [from, to]) => {
    if (!so.includes(from)) throw new Error(`the page has no ${from} in its ${language}`);
    return so.replaceAll(from, to);
  }, text);
}

/** A program that .ci/tools has installed from .ci/requirements-proxies.txt. */
function fromPip(name: string): string | undefined {
  const path = join(root, "node_modules", ".cache", "proxies", "bin", name);
  return existsSync(path) ? path : undefined;
}

const nginx: Proxy = {
  name: "nginx",
  program: Bun.which("nginx") ?? (existsSync("/usr/sbin/nginx") ? "/usr/sbin/nginx" : undefined),
  configure({ broker, port, cert, key, folder }, change) {
    const live = "/etc/letsencrypt/live/your.host";
    const text = block("nginx", 0, [
      ["127.0.0.1:8080", broker],
      ["listen 443 ssl", `listen 127.0.0.1:${port} ssl`],
      [`${live}/fullchain.pem`, cert],
      [`${live}/privkey.pem`, key],
    ]);
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(name => `${name}_temp_path ${name};`);
    const user = process.getuid?.() === 0 ? "user root;" : "";
    writeFileSync(
      join(folder, "nginx.conf"),
      `${user} pid nginx.pid; events {} http { access_log off; ${temporary.join(" ")}\n${change(text)}\n}`,
    );
    return ["-p", folder, "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off;"];
  },
};

const caddy: Proxy = {
  name: "Caddy",
  program: fromPip("caddy"),
  configure({ broker, port, cert, key, folder }, change) {
    const text = block("caddyfile", 0, [
      ["127.0.0.1:8080", broker],
      ["your.host {", `https://127.0.0.1:${port} {\n    tls ${cert} ${key}`],
    ]);
    const global = "{\n admin off\n auto_https disable_redirects\n log {\n  level ERROR\n }\n}\n";
    writeFileSync(join(folder, "Caddyfile"), global + change(text));
    return ["run", "--config", join(folder, "Caddyfile"), "--adapter", "caddyfile"];
  },
};

const traefik: Proxy = {
  name: "Traefik",
  program: fromPip("traefik"),
  configure({ broker, port, cert, key, folder }, change) {
    const dynamic = join(folder, "nfrx.yaml");
    const resolver = /certificatesResolvers:\n(?: .*\n)+/;
    const text = block("yaml", 0, [
      ['":443"', `"127.0.0.1:${port}"`],
      ["/etc/traefik/nfrx.yaml", dynamic],
    ]);
    if (!resolver.test(text)) throw new Error("the page gets no certificates");
    writeFileSync(join(folder, "traefik.yaml"), `${text.replace(resolver, "")}\nlog: { level: ERROR }\n`);
    const rules = block("yaml", 1, [
      ["127.0.0.1:8080", broker],
      ["`your.host`", "`127.0.0.1`"],
      ["{ certResolver: letsencrypt }", "{}"],
    ]);
    const pair = `{ certFile: ${cert}, keyFile: ${key} }`;
    const tls = `\ntls:\n  certificates: [${pair}]\n  stores: { default: { defaultCertificate: ${pair} } }\n`;
    writeFileSync(dynamic, change(rules) + tls);
    return [`--configFile=${join(folder, "traefik.yaml")}`];
  },
};

export const proxies: readonly Proxy[] = [nginx, caddy, traefik];

/** A proxy before a broker. */
export class Front implements AsyncDisposable {
  readonly origin: string;
  readonly ca: string;
  readonly #child: Bun.Subprocess;

  private constructor(
    readonly authority: Authority,
    readonly broker: BrokerProgram,
    readonly port: number,
    { name, program, configure }: Proxy,
    change: (text: string) => string,
  ) {
    this.origin = `https://127.0.0.1:${port}`;
    this.ca = readFileSync(authority.file, "utf8");
    const folder = join(authority.folder, name);
    mkdirSync(folder);
    const [cert, key] = [join(authority.folder, "host.pem"), join(authority.folder, "host.key")];
    const args = configure({ broker: `127.0.0.1:${broker.port}`, port, cert, key, folder }, change);
    this.#child = Bun.spawn([program ?? name.toLowerCase(), ...args], {
      env: { PATH: process.env["PATH"] ?? "", HOME: folder },
      stdout: "ignore",
      stderr: "inherit",
    });
  }

  static async start(
    processes: Processes,
    proxy: Proxy,
    env: Env = {},
    change = (same: string) => same,
  ): Promise<Front> {
    const authority = new Authority(processes.folder);
    authority.issue("host");
    const front = new Front(authority, await processes.broker(env), freePort(), proxy, change);
    const end = new AbortController();
    try {
      await until(front.#serving(end.signal), `${proxy.name} serves`, 45_000);
    } catch (error) {
      await front[Symbol.asyncDispose]();
      throw error;
    } finally {
      end.abort();
    }
    return front;
  }

  /** Asks through the proxy. */
  fetch(path: string, init: BunFetchRequestInit = {}): Promise<Response> {
    return fetch(this.origin + path, { keepalive: false, tls: { ca: this.ca }, ...init });
  }

  /** Writes a request's target as it is, which fetch would tidy first; the whole answer. */
  raw(target: string, host = `127.0.0.1:${this.port}`): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    let answer = "";
    const socket = connect({ port: this.port, host: "127.0.0.1", ca: this.ca }, () =>
      socket.write(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`),
    );
    socket.on("data", data => (answer += data.toString("latin1")));
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
    return promise;
  }

  /** What an agent needs to come in through the proxy. */
  get env(): Env {
    return { SERVER_URL: this.origin.replace("https", "wss"), TLS_CA_FILE: this.authority.file };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.exited;
  }

  /** Resolves once the proxy passes a request on: Traefik listens before it knows its routes. One request at a time. */
  async #serving(end: AbortSignal): Promise<void> {
    let serves = false;
    while (!serves && !end.aborted) {
      const answer = this.fetch("/healthz", { signal: AbortSignal.timeout(2_000) });
      serves = await answer.then(
        ({ status }) => status === 200,
        () => false,
      );
    }
  }
}
