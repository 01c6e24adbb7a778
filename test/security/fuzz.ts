// Requests and frames that no library sends, made from a seed: the same ones in every run.
import { FrameBatch, Kind } from "../../src/protocol/frames.ts";
import type { ApiOperation } from "../kit/http/api-document.ts";
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";
import { ADMIN_KEY } from "./credentials.ts";

/** A source of numbers from 0 up to 1. */
export type Random = () => number;

const pick = <T>(random: Random, of: readonly T[]): T => {
  const one = of[Math.floor(random() * of.length)];
  if (one === undefined) throw new Error("nothing to pick from");
  return one;
};

/** One request: what is written, and whether a response is due for it. */
export interface FuzzedRequest {
  readonly bytes: Buffer;
  /** False when its body never ends, so that the client goes away instead. */
  readonly whole: boolean;
}

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "get", "PROPFIND", "CONNECT"];
const SEGMENTS = [
  "x",
  "test-model",
  "..",
  "%2e%2e",
  "%2f",
  "%00",
  "%ff",
  "a%20b",
  "é",
  "",
  ".",
  "%",
  "a;b",
  "*",
  "{id}",
  "a".repeat(300),
];
const VALUES = [
  "",
  "0",
  "-1",
  "x",
  "1e309",
  "null",
  "true",
  "é".repeat(40),
  "%00",
  "a,b",
  '"',
  "{}",
  "a".repeat(4000),
  "\t",
  "bytes=0-1",
];
const HEADERS = [
  "Accept",
  "Accept-Encoding",
  "Content-Type",
  "Content-Encoding",
  "Origin",
  "Range",
  "If-None-Match",
  "Last-Event-ID",
  "Mcp-Session-Id",
  "Idempotency-Key",
  "X-Request-Id",
  "X-Forwarded-For",
  "X-Forwarded-Proto",
  "X-User-Roles",
  "Traceparent",
  "Expect",
  "Upgrade",
  "Sec-WebSocket-Protocol",
  "Access-Control-Request-Method",
  "Service-Worker",
  "Cookie",
  "Prefer",
  "X-Nfrx-Queue",
  "Anthropic-Version",
  "Api-Key",
  "Te",
];
const KEYS = [API_KEY, CLIENT_KEY, ADMIN_KEY, "wrong"];

/** The next request, near one of the API's operations. */
export function fuzzedRequest(random: Random, operations: readonly ApiOperation[]): FuzzedRequest {
  const operation = pick(random, operations);
  const method = random() < 0.85 ? operation.method : pick(random, METHODS);
  const path = pathOf(random, operation.path);
  const headers = [
    `Host: ${random() < 0.97 ? "127.0.0.1" : pick(random, ["", "u@x", "a:99999", "a b", "[", "x".repeat(500)])}`,
  ];
  if (random() < 0.9) headers.push(`Authorization: Bearer ${pick(random, KEYS)}`);
  for (let more = random() * 4; more > 1; more--) headers.push(`${pick(random, HEADERS)}: ${pick(random, VALUES)}`);
  const body = method === "GET" || method === "HEAD" ? Buffer.alloc(0) : bodyOf(random);
  const whole = random() < 0.95;
  if (body.length > 0 || random() < 0.1) {
    if (random() < 0.7) headers.push(`Content-Type: ${pick(random, TYPES)}`);
    headers.push(`Content-Length: ${whole ? body.length : body.length + 1 + Math.floor(random() * 1e6)}`);
  }
  return {
    bytes: Buffer.concat([Buffer.from(`${method} ${path} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`), body]),
    whole: whole || body.length === 0,
  };
}

const TYPES = [
  "application/json",
  "multipart/form-data; boundary=b",
  "text/plain",
  "application/x-www-form-urlencoded",
  "multipart/form-data",
];

function pathOf(random: Random, pattern: string): string {
  const path = pattern.replace(/\{[^}]+\}/g, () => pick(random, SEGMENTS));
  const changed = random() < 0.2 ? path.replace("/", () => pick(random, ["//", "/./", "/%2e/", "/x/../", "\\"])) : path;
  return random() < 0.7
    ? changed
    : `${changed}?${pick(random, ["stream", "types", "max", "ticket", "x"])}=${encodeURIComponent(pick(random, VALUES))}`;
}

/** A JSON value that is nearly what an API takes. */
function jsonOf(random: Random, depth: number): unknown {
  const kind = random();
  if (depth > 4 || kind < 0.35)
    return pick(random, [null, true, 0, -1, 1e300, "", "test-model", "é\u0000\u202e", "x".repeat(200), [], {}]);
  if (kind < 0.55) return Array.from({ length: Math.floor(random() * 4) }, () => jsonOf(random, depth + 1));
  return Object.fromEntries(FIELDS.filter(() => random() < 0.25).map(name => [name, jsonOf(random, depth + 1)]));
}

const FIELDS = [
  "model",
  "messages",
  "stream",
  "input",
  "role",
  "content",
  "max_tokens",
  "type",
  "metadata",
  "types",
  "max_wait_seconds",
  "state",
  "progress",
  "key",
  "properties",
  "jsonrpc",
  "id",
  "method",
  "params",
  "priority",
  "worker_id",
  "error",
  "__proto__",
  "constructor",
];

function bodyOf(random: Random): Buffer {
  const kind = random();
  if (kind < 0.1)
    return Buffer.from(Array.from({ length: Math.floor(random() * 64) }, () => Math.floor(random() * 256)));
  const json = Buffer.from(JSON.stringify(jsonOf(random, 0)));
  // Without a wait: what a request may wait for is bounded by the client that goes away.
  if (kind < 0.3) return json.subarray(0, Math.floor(random() * json.length));
  if (kind < 0.35) return Buffer.from(`${"[".repeat(5000)}${"]".repeat(5000)}`);
  if (kind < 0.4)
    return Buffer.from(
      `--b\r\nContent-Disposition: form-data; name="${pick(random, FIELDS)}"\r\n\r\n${json}\r\n--b${random() < 0.5 ? "--" : ""}\r\n`,
    );
  return json;
}

/** One message of an agent: JSON that is nearly a control message, frames that are nearly frames, or noise. */
export function fuzzedMessage(random: Random): string | Uint8Array<ArrayBuffer> {
  const kind = random();
  if (kind < 0.3) return JSON.stringify({ type: pick(random, TYPES_OF_CONTROL), ...controlOf(random) });
  if (kind < 0.4) return JSON.stringify(jsonOf(random, 0));
  if (kind < 0.5) return pick(random, ["", "{", "null", "[]", '{"type":', "\u0000"]);
  const batch = new FrameBatch();
  const id = Math.floor(random() * 8);
  const step = random();
  if (step < 0.25)
    batch.putHead(id, { status: Math.floor(random() * 700), headers: [["x", pick(random, VALUES)]] }, random() < 0.5);
  else if (step < 0.5) batch.putData(id, Buffer.alloc(Math.floor(random() * 1000), 120), random() < 0.5);
  else if (step < 0.65) batch.putReset(id, pick(random, ["canceled", "x", ""]), "é".repeat(Math.floor(random() * 100)));
  else if (step < 0.8) batch.putWindow(id, Math.floor(random() * 2 ** 31));
  else batch.putSignal(pick(random, [Kind.PING, Kind.PONG, Kind.GOAWAY]), Buffer.alloc(Math.floor(random() * 16)));
  const bytes = new Uint8Array(batch.take());
  // Every third is broken somewhere.
  if (random() < 0.33 && bytes.length > 0) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
  return random() < 0.15 ? bytes.slice(0, Math.floor(random() * bytes.length)) : bytes;
}

const TYPES_OF_CONTROL = [
  "register",
  "heartbeat",
  "status_update",
  "http_proxy_response_headers",
  "http_proxy_response_chunk",
  "http_proxy_response_end",
  "ping",
  "x",
];

function controlOf(random: Random): object {
  return {
    worker_id: pick(random, ["fuzz", "", 7, "a\u0000b"]),
    models: pick(random, [null, [], ["fuzz"], [1], "x", Array.from({ length: 50 }, (_, at) => `m${at}`)]),
    max_concurrency: pick(random, [0, 1, -1, 1e9, "2", null]),
    ts: pick(random, [0, "x", null]),
    request_id: pick(random, ["x", 1, null]),
    status: pick(random, ["idle", "gone", 200, null]),
    agent_config: pick(random, [{}, { hostname: "h" }, { a: 1 }, "x", null]),
    data: pick(random, ["AAAA", "!", 1, null]),
  };
}
