// The variables that name proxies, read in one place: for the tunnel, for every fetch, and for doctor.
import { messageOf } from "../lib/errors.ts";

type Env = Record<string, string | undefined>;

/** The proxy for an address. */
export interface HttpProxy {
  /** Its address; undefined if the variable is invalid. */
  readonly url: string | undefined;
  /** Its host and port, for messages: without the password. */
  readonly host: string;
  /** The variable that names it. */
  readonly variable: string;
  /** The problem, and what to do. */
  readonly problem?: string;
}

/** Hosts that are never accessed through a proxy. */
const LOCAL_HOSTS = ["localhost", "127.0.0.1", "::1"];

/** Variables of one meaning; the first that is set and not empty counts, as for curl. */
const PROXIES = {
  https: ["https_proxy", "HTTPS_PROXY"],
  http: ["http_proxy", "HTTP_PROXY"],
  all: ["all_proxy", "ALL_PROXY"],
} as const;
const EXEMPT = ["no_proxy", "NO_PROXY"] as const;

/** The proxy through which `url` is to be reached; undefined for a direct connection. */
export function proxyFor(url: string, env: Env): HttpProxy | undefined {
  const { protocol, hostname, port } = new URL(url);
  const secure = protocol === "wss:" || protocol === "https:";
  const variable = [...PROXIES[secure ? "https" : "http"], ...PROXIES.all].find(name => env[name]);
  if (variable === undefined || isExempt(hostname, port || (secure ? "443" : "80"), exemptHosts(env))) return undefined;
  return { variable, ...addressOf(variable, env[variable] ?? "") };
}

/**
 * Writes the variables back as they are read here: every address with its scheme, the hosts without a proxy in both
 * spellings, this machine among them. Bun's fetch obeys them as they stand.
 */
export function adoptProxies(env: Env): void {
  for (const names of Object.values(PROXIES)) {
    const variable = names.find(name => env[name]);
    if (variable === undefined) continue;
    const { url } = addressOf(variable, env[variable] ?? "");
    for (const name of names) {
      if (!env[name]) delete env[name];
      else if (url !== undefined) env[name] = url;
    }
  }
  const exempt = [...new Set([...exemptHosts(env), ...LOCAL_HOSTS])].join(",");
  for (const name of EXEMPT) env[name] = exempt;
}

/** Why an attempt through a proxy failed, where that is the proxy's doing. */
export function proxyTrouble(proxy: HttpProxy, outcome: Pick<Response, "status"> | Error): ProxyTrouble | undefined {
  const { host, variable } = proxy;
  const message = outcome instanceof Error ? messageOf(outcome) : `status ${outcome.status}`;
  if (/\b407\b/.test(message)) {
    return {
      message: `the proxy ${host} (${variable}) requires a user and a password (407): set ${variable}=http://user:password@${host}`,
      permanent: true,
    };
  }
  if (!(outcome instanceof Error)) return undefined;
  const status = /refused to open a tunnel: (\d{3})/i.exec(message)?.[1];
  if (status !== undefined) {
    const permanent = status.startsWith("4");
    const what = permanent
      ? `does not allow the connection (${status}): allow it there, or put the host in NO_PROXY`
      : `cannot reach the target (${status})`;
    return { message: `the proxy ${host} (${variable}) ${what}`, permanent };
  }
  const why = /ECONNREFUSED|Unable to connect|Failed to connect|ConnectionRefused/i.test(message)
    ? "does not respond"
    : undefined;
  return why && { message: `the proxy ${host} (${variable}) ${why}: ${message}`, permanent: false };
}

export interface ProxyTrouble {
  readonly message: string;
  /** Waiting does not mend it. */
  readonly permanent: boolean;
}

function addressOf(variable: string, written: string): Pick<HttpProxy, "url" | "host" | "problem"> {
  const text = written.trim();
  const url = URL.parse(/^[a-z][a-z\d+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  if (url === null || url.hostname === "")
    return { url: undefined, host: "", problem: `${variable} is not a proxy URL: use http://host:port` };
  const { host, protocol } = url;
  if (protocol === "http:" || protocol === "https:") return { url: url.href, host };
  const kind = protocol.startsWith("socks") ? "SOCKS proxies are" : `${protocol}// is`;
  return {
    url: undefined,
    host,
    problem: `${variable} names ${protocol}//${host}: ${kind} not supported; use an HTTP proxy (http://host:port), or put the host in NO_PROXY`,
  };
}

function exemptHosts(env: Env): string[] {
  const list = EXEMPT.map(name => env[name]).find(value => value?.trim()) ?? "";
  return list
    .split(/[,\s]+/)
    .map(entry => entry.trim())
    .filter(entry => entry !== "");
}

function isExempt(hostname: string, port: string, list: readonly string[]): boolean {
  const host = hostname.replace(/^\[|\]$/g, "").toLowerCase();
  if (LOCAL_HOSTS.includes(host)) return true;
  return list.some(entry => {
    if (entry === "*") return true;
    const [, name = "", only] = /^\[?(.*?)\]?(?::(\d+))?$/.exec(entry.includes("::") ? `[${entry}]` : entry) ?? [];
    const bare = name.toLowerCase().replace(/^\*?\./, "");
    if (bare === "" || (only !== undefined && only !== port)) return false;
    return host === bare || host.endsWith(`.${bare}`);
  });
}
