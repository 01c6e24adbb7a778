// Can the broker be reached? Each layer in its turn: name, connection, TLS, HTTP, clock, path, key, WebSocket.
import { lookup } from "node:dns/promises";
import { shakeHands } from "../lib/certificate.ts";
import { codeOf, messageOf } from "../lib/errors.ts";
import { type Finding, fail, ok, warn } from "../lib/findings.ts";
import { whyUnreachable } from "../lib/machine-checks.ts";
import { isLoopback } from "../lib/origin-guard.ts";
import { systemClock } from "../lib/time.ts";
import { CLOSE_NORMAL } from "../protocol/limits.ts";
import { type BrokerEndpoint, DialRefusal, dial } from "./dial.ts";
import { proxyTrouble } from "./proxy.ts";

/** Timeout of one query to the broker, in milliseconds. */
const ASK_MS = 10_000;
/** Clock difference in milliseconds from which the doctor warns. */
const SKEW_SEEN_MS = 30_000;
/** Clock difference in milliseconds from which tokens and certificates fail. */
const SKEW_BAD_MS = 300_000;

/** Stops at the first layer that fails, for the ones above cannot be well then. */
export async function* reach(broker: BrokerEndpoint): AsyncGenerator<Finding> {
  const { url, proxy, module } = broker;
  const { hostname, protocol, port, pathname } = new URL(url);
  const secure = protocol === "wss:";
  const unencrypted = plainTextHost(url);
  if (unencrypted !== undefined)
    yield warn(
      "tls",
      `SERVER_URL is not encrypted: CLIENT_KEY and all requests are sent to ${unencrypted} in plain text; use wss://`,
    );
  const at = { host: hostname.replace(/^\[|\]$/g, ""), port: Number(port || (secure ? 443 : 80)), secure };
  if (proxy?.problem !== undefined) {
    yield fail("proxy", proxy.problem);
    return;
  }
  if (proxy !== undefined) yield ok("proxy", `using ${proxy.host} (${proxy.variable})`);
  else {
    const wrong = await unreachable(at);
    yield wrong ?? ok("network", `${at.host}, port ${at.port}, is reachable`);
    if (wrong !== undefined) return;
  }
  const health = await ask(broker, new URL(`${prefixOf(pathname)}/healthz`, url));
  const trouble = proxy && proxyTrouble(proxy, health);
  if (trouble !== undefined) {
    yield fail("proxy", trouble.message);
    return;
  }
  if (!(health instanceof Response)) {
    yield await whyNoAnswer(at, broker, health);
    return;
  }
  const broken = await notABroker(health, at, prefixOf(pathname));
  yield broken ?? ok("broker", `a broker responds at ${new URL(url).host}${secure ? " with a valid certificate" : ""}`);
  if (broken !== undefined) return;
  if (health.status === 503)
    yield warn(
      "broker",
      "the broker reports that it is unavailable: it is draining, or it serves only relays and none is connected",
    );
  yield clockOf(health);
  if (!pathname.endsWith(`/api/${module}/connect`))
    yield warn("path", `${pathname} is not /api/${module}/connect: SERVER_URL may point to another module's endpoint`);
  yield await examineTunnel(broker);
}

/** The path below which the broker is, at a proxy that serves others too. */
function prefixOf(pathname: string): string {
  return /^(.*?)\/api\/[^/]+\/connect\/?$/.exec(pathname)?.[1] ?? "";
}

/** The host that a link without encryption leaves this machine for; undefined for TLS and for this machine itself. */
export function plainTextHost(url: string): string | undefined {
  const { protocol, hostname } = new URL(url);
  return protocol === "wss:" || isLoopback(hostname) ? undefined : hostname;
}

async function unreachable({ host, port }: { host: string; port: number }): Promise<Finding | undefined> {
  try {
    await lookup(host);
  } catch (error) {
    return fail("network", `cannot resolve ${host} (${codeOf(error)}): check SERVER_URL and this machine's DNS`);
  }
  const why = await whyUnreachable(host, port);
  if (why === undefined) return undefined;
  if (why === "ECONNREFUSED")
    return fail("network", `nothing listens at ${host}, port ${port}: start the broker, or correct SERVER_URL`);
  if (why === "ETIMEDOUT")
    return fail("network", `${host}, port ${port}, does not respond: check firewalls and SERVER_URL`);
  return fail("network", `cannot reach ${host}, port ${port}: ${why}`);
}

/** Sends a GET; returns the error if there is no response. */
async function ask({ headers, ca, proxy }: BrokerEndpoint, url: URL): Promise<Response | Error> {
  try {
    return await fetch(url.href.replace(/^ws/, "http"), {
      signal: AbortSignal.timeout(ASK_MS),
      redirect: "manual",
      headers,
      ...(ca !== undefined && { tls: { ca } }),
      ...(proxy?.url !== undefined && { proxy: proxy.url }),
    });
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

interface Target {
  host: string;
  port: number;
  secure: boolean;
}

async function whyNoAnswer(
  { host, port, secure }: Target,
  { ca, proxy }: BrokerEndpoint,
  error: Error,
): Promise<Finding> {
  if (proxy !== undefined)
    return fail("proxy", `no response through ${proxy.host} (${proxy.variable}): ${messageOf(error)}`);
  const hands = await shakeHands(host, port, ca);
  if (hands === undefined) {
    return secure
      ? fail("tls", `${host}, port ${port}, does not use TLS: use ws:// in SERVER_URL, or the TLS port`)
      : fail("broker", `no response from ${host}, port ${port}: ${messageOf(error)}`);
  }
  if (!secure) return fail("tls", `${host}, port ${port}, uses TLS: use wss:// in SERVER_URL`);
  return fail("tls", distrust(hands.distrust, hands.validTo) ?? messageOf(error));
}

function distrust(code: string | undefined, validTo: string): string | undefined {
  switch (code) {
    case undefined:
      return undefined;
    case "CERT_HAS_EXPIRED":
      return `the broker's certificate has expired (${validTo}): renew it, or correct this machine's clock`;
    case "CERT_NOT_YET_VALID":
      return "the broker's certificate is not valid yet: correct this machine's clock";
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
      return `the CA of the broker's certificate is not trusted (${code}): set TLS_CA_FILE to its certificate`;
    case "ERR_TLS_CERT_ALTNAME_INVALID":
    case "HOSTNAME_MISMATCH":
      return "the broker's certificate is for another host name: use that name in SERVER_URL";
    default:
      return `the broker's certificate is not trusted: ${code}`;
  }
}

/** Reports a server that is not a broker; a broker's health has a status. */
async function notABroker(
  health: Response,
  { host, port, secure }: Target,
  prefix: string,
): Promise<Finding | undefined> {
  const text = await health.text();
  if (/"status"\s*:\s*"(ok|unavailable)"/.test(text)) return undefined;
  // Some servers respond to plain HTTP at a TLS port with an error page.
  if (!secure && (await shakeHands(host, port, undefined)) !== undefined)
    return fail("tls", `${host}, port ${port}, uses TLS: use wss:// in SERVER_URL`);
  return fail(
    "broker",
    `the server at this address is not a broker (GET ${prefix}/healthz: ${health.status}): correct SERVER_URL`,
  );
}

function clockOf(health: Response): Finding {
  const there = Date.parse(health.headers.get("date") ?? "");
  if (Number.isNaN(there)) return warn("clock", "the broker's response has no Date header");
  const skew = Date.now() - there;
  const seconds = Math.round(Math.abs(skew) / 1000);
  const text = `this machine's clock is ${seconds} s ${skew > 0 ? "ahead of" : "behind"} the broker's: synchronize both with NTP`;
  if (Math.abs(skew) >= SKEW_BAD_MS) return fail("clock", text);
  return Math.abs(skew) >= SKEW_SEEN_MS ? warn("clock", text) : ok("clock", "in sync with the broker's");
}

/** Opens the WebSocket and closes it again without registering. */
async function examineTunnel(broker: BrokerEndpoint): Promise<Finding> {
  try {
    const events = { onStream: () => {}, onClosed: () => {} };
    const link = await dial({ ...broker, clock: systemClock, events });
    link.drop(CLOSE_NORMAL, "examined");
    const key = broker.clientKey === undefined ? "without a key" : "and CLIENT_KEY is accepted";
    return ok("tunnel", `connected by WebSocket, wire version ${link.version}, ${key}`);
  } catch (error) {
    if (error instanceof DialRefusal) return fail("handshake", error.message);
    return fail(
      "tunnel",
      `HTTP works but WebSocket does not (${messageOf(error)}): configure the proxy in front of the broker to forward the headers Upgrade and Connection`,
    );
  }
}
