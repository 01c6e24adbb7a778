// The backend of a relay: forwards MCP requests from the tunnel to a provider.
import { matchesDigest, sha256 } from "../lib/digest.ts";
import { NfrxError } from "../lib/errors.ts";
import { credentialsOf, type HeaderPairs, headerOf, listens, MAX_ANSWER_HEADER } from "../lib/http.ts";
import { IdleLimit } from "../lib/idle-limit.ts";
import { asks, type RpcMessage, readRpc } from "../lib/json-rpc.ts";
import { callName } from "../lib/mcp-methods.ts";
import { backendHeaders } from "../lib/request-headers.ts";
import type { Clock } from "../lib/time.ts";
import type { Span } from "../lib/trace.ts";
import { RESOURCE_METADATA_PATH } from "../lib/well-known.ts";
import type { RequestHead } from "../protocol/frames.ts";
import type { Stream } from "../protocol/stream.ts";
import type { BackendAdapter, Serving } from "./backend-adapter.ts";
import { callBelow, serveStream } from "./forward.ts";
import { limited } from "./providers/answer-limit.ts";
import { collapsed } from "./providers/collapse.ts";
import type { Provider } from "./providers/provider.ts";
import { type CountedCall, RelayCounts } from "./relay-counts.ts";

/** Maximum size of a call that a relay buffers, in bytes. */
const CALL_BYTES = 64 * 1024 * 1024;
/** Interval between checks of a provider, in milliseconds. */
const LOOK_MS = 15_000;
/** The path of a relay on the wire; the rest of the path is the provider's. */
const RELAY_PATH = "/mcp";

export interface RelayAdapterOptions {
  /** The id under which it is reached. */
  id: string;
  provider: Provider;
  /** Its address, for messages. */
  address: string;
  /** The credentials that callers need. */
  authToken: string | undefined;
  /** Asks the broker to let callers in without credentials. */
  open: boolean;
  /** The caller's `Authorization` is forwarded to the provider, and so is the provider's response to it. */
  endToEnd: boolean;
  /** Forwards event streams; otherwise each call gets one JSON response. */
  streaming: boolean;
  /** Calls at once; 0 is no limit. */
  maxInflight: number;
  /** Shares its ID with other relays that set this option too. */
  replicas: boolean;
  clock: Clock;
}

/** A provider as an agent's service. */
export function relayAdapter(options: RelayAdapterOptions): BackendAdapter {
  const { provider, id, clock } = options;
  // A tool may think for as long as it likes.
  const idle = new IdleLimit(clock, 0);
  const token = options.authToken === undefined ? undefined : sha256(options.authToken);
  const limit = options.maxInflight > 0 ? options.maxInflight : Number.POSITIVE_INFINITY;
  const running = new Set<Stream>();
  const counts = new RelayCounts();

  /** The response that replaces the provider's. */
  const refusal = (stream: Stream, head: RequestHead, message: RpcMessage): Response | undefined => {
    if (token !== undefined && carriersOf(head.headers, token).length === 0)
      return failure(401, "MCP_UNAUTHORIZED", "unauthorized", message.id, {
        "www-authenticate": "Bearer",
      });
    if (!options.streaming && head.method === "GET" && head.path !== RESOURCE_METADATA_PATH)
      return failure(405, undefined, "this relay does not offer event streams (MCP_STREAMING is off)", message.id, {
        allow: "POST, DELETE",
      });
    if (head.method !== "POST" || !asks(message)) return undefined;
    if (running.size >= limit)
      return failure(429, "MCP_LIMIT_EXCEEDED", "too many concurrent calls", message.id, { "retry-after": "1" });
    running.add(stream);
    return undefined;
  };

  const respond = async (
    stream: Stream,
    head: RequestHead,
    { draining }: Serving,
    signal: AbortSignal,
    counted: CountedCall,
    span: Span | undefined,
  ): Promise<Response> => {
    const body = await bodyOf(stream);
    const message = readRpc(body ?? NOTHING);
    counted.method = callName(head.method, message);
    if (draining && (head.method === "POST" ? asks(message) : head.method !== "DELETE"))
      throw new NfrxError("refused", "draining");
    const refused = refusal(stream, head, message);
    if (refused !== undefined) {
      counted.outcome = "refused";
      return refused;
    }
    counted.outcome = "succeeded";
    if (head.path === RESOURCE_METADATA_PATH && options.endToEnd && provider.metadata !== undefined)
      return provider.metadata(signal);
    const own = toProvider(head.headers, { ...options, token });
    const headers = span === undefined ? own : span.inject(own);
    const rest = head.path.slice(RELAY_PATH.length);
    const response = await provider.fetch({ method: head.method, rest, headers, body, signal });
    if (response.status === 401 && !options.endToEnd) {
      // The provider's error about the relay's own credentials: useless to a caller.
      await response.body?.cancel();
      throw new NfrxError("upstream_error", "the provider rejected the relay's credentials");
    }
    const text = (): string => Buffer.from(body ?? NOTHING).toString("utf8");
    return withinLimit(options.streaming ? response : await collapsed(response, text()), head, message);
  };

  return {
    address: options.address,
    pollMs: LOOK_MS,
    facts: {
      mcp_auth: options.endToEnd ? "end-to-end" : "shield",
      ...(options.replicas && { mcp_replicas: "true" }),
    },
    models: [id],
    async look() {
      // The provider bounds it itself, and ends when it is closed: it may take minutes to start.
      await provider.probe(new AbortController().signal);
      return { models: [id], facts: {} };
    },
    servesDuringDrain: true,
    registration: {
      ...(token !== undefined && { auth_token_sha256: Buffer.from(token).toString("hex") }),
      ...(token === undefined && options.open && { open: true }),
    },
    declares: ({ path }) => path === RESOURCE_METADATA_PATH || /^\/mcp(?:[/?]|$)/.test(path),
    async serve(stream, head, serving) {
      const counted: CountedCall = { method: head.method, outcome: "failed" };
      try {
        const call = callBelow(serving.span, head.method);
        await serveStream(stream, { idle }, signal => respond(stream, head, serving, signal, counted, call), call);
      } catch (error) {
        counted.outcome = error instanceof NfrxError && error.code === "canceled" ? "canceled" : "failed";
        throw error;
      } finally {
        running.delete(stream);
        counts.ended(counted);
      }
    },
    declare: meters => counts.declare(meters, () => provider.sessions),
    lingers: ({ method, headers }) => listens(method, headerOf(headers, "accept")),
    close: () => provider.close(),
  };
}

/** The whole of a request's body, or null when it has none. */
async function bodyOf(stream: Stream): Promise<Uint8Array | null> {
  if (stream.arrived) return stream.take() ?? null;
  const chunks: Uint8Array[] = [];
  let length = 0;
  for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) {
    length += chunk.length;
    if (length > CALL_BYTES) throw new NfrxError("too_large", `the call exceeds ${CALL_BYTES} bytes`);
    chunks.push(chunk);
  }
  return length === 0 ? null : Buffer.concat(chunks, length);
}

/** A response within the broker's message limit; a broker that does not state it cuts larger messages. */
function withinLimit(answer: Response, head: RequestHead, message: RpcMessage): Response | Promise<Response> {
  const largest = Number(headerOf(head.headers, MAX_ANSWER_HEADER));
  if (!(largest > 0)) return answer;
  const id = message.kind === "request" && message.id !== null ? JSON.stringify(message.id) : undefined;
  return limited(answer, largest, { method: head.method, id });
}

/** The names of the headers that carry the relay's token. */
function carriersOf(list: HeaderPairs, token: Uint8Array): string[] {
  return credentialsOf(new Headers(list))
    .filter(({ key }) => matchesDigest(key, token))
    .map(({ header }) => header);
}

interface Passing {
  endToEnd: boolean;
  streaming: boolean;
  token: Uint8Array | undefined;
}

/** The caller's headers as the provider gets them: without the relay's token, and without `Authorization` when it shields. */
function toProvider(list: HeaderPairs, { endToEnd, streaming, token }: Passing): HeaderPairs {
  const dropped = new Set<string>(token === undefined ? [] : carriersOf(list, token));
  if (!endToEnd) dropped.add("authorization");
  // Responses that are parsed here are requested without encoding.
  if (!streaming) dropped.add("accept-encoding");
  return backendHeaders(list, name => dropped.has(name));
}

function failure(
  status: number,
  mcp: string | undefined,
  message: string,
  id: string | number | null,
  headers: Record<string, string> = {},
): Response {
  const error = { code: -32_000, message, ...(mcp && { data: { mcp } }) };
  return Response.json({ jsonrpc: "2.0", id, error }, { status, headers });
}

const NOTHING = new Uint8Array(0);
