// The broker's HTTP API: JSON calls that are tried again, transfer channels, and server-sent events that resume.
import { setTimeout as pause } from "node:timers/promises";

/** What the broker answered when it was not what was asked for; `status` is 0 when there was no answer, or only part of one. */
export class NfrxError extends Error {
  readonly status: number;
  /** The broker's own word for it, such as `transfer_expired`. */
  readonly code: string;

  constructor(status: number, code: string, { cause, message }: { cause?: unknown; message?: unknown } = {}) {
    const said = typeof message === "string" ? `: ${message}` : "";
    super(MEANING[code] ?? `the broker answered ${status} ${code}${said}`, { cause });
    this.name = "NfrxError";
    this.status = status;
    this.code = code;
  }

  /** True when the same call may succeed in a while. */
  get passing(): boolean {
    return this.status === 0 || this.status === 429 || (this.status >= 502 && this.code !== "transfer_failed");
  }
}

const MEANING: Record<string, string> = {
  unreachable: "no connection to the broker",
  cut_short: "the other side, or the connection, broke off before everything had come",
  unauthorized: "the broker does not accept this key",
  not_found: "the broker knows no such job",
  invalid_state: "the job has ended, or is no longer this worker's",
  transfer_not_found: "the broker knows no such channel",
  transfer_expired: "the other side did not come in time",
  transfer_closed: "the channel has been used already",
  transfer_in_use: "somebody else is at this end of the channel",
  transfer_failed: "the other side broke off",
};

/** Bytes that come through a channel. */
export interface Incoming {
  contentType: string;
  /** Can be read once. Throws an NfrxError when the bytes end too early. */
  chunks: AsyncIterable<Uint8Array>;
}

export interface ServerEvent {
  event: string;
  data: unknown;
}

export interface CallOptions {
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
  /** How often it is tried; 8 times unless told. */
  tries?: number;
}

const TRIES = 8;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 10_000;
/** The broker writes something to every stream of events at least every 15 s; one that is silent for so long is dead. */
const SILENCE_MS = 60_000;
/** Longer than a claim waits for a job. */
const CALL_MS = 60_000;

export class Nfrx {
  readonly #url: string;
  readonly #key: string | undefined;
  readonly #onRetry: (error: NfrxError) => void;

  /** `onRetry` is told of each failure that is followed by another try. */
  constructor(url: string, key: string | undefined, onRetry: (error: NfrxError) => void = () => {}) {
    this.#url = url.replace(/\/+$/, "");
    this.#key = key;
    this.#onRetry = onRetry;
  }

  /** The broker at NFRX_URL, with the key in the first of these environment variables that is set. */
  static fromEnvironment(...keys: ("API_KEY" | "CLIENT_KEY")[]): Nfrx {
    const key = keys.map(name => process.env[name]).find(value => value);
    const onRetry = ({ message }: NfrxError): void => console.error(`${message}; trying again`);
    return new Nfrx(process.env["NFRX_URL"] || "http://localhost:8080", key, onRetry);
  }

  /** A call with JSON both ways; undefined for 204. What may succeed in a while is tried again. */
  async call<T>(method: string, path: string, options: CallOptions = {}): Promise<T | undefined> {
    const { body, headers, signal, tries = TRIES } = options;
    for (let attempt = 1; ; attempt++) {
      try {
        const init = {
          method,
          headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        };
        const response = await this.#fetch(path, init, signal, AbortSignal.timeout(CALL_MS));
        if (response.status === 204) return undefined;
        return await (response.json() as Promise<T>).catch(cause => {
          throw new NfrxError(0, "cut_short", { cause });
        });
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof NfrxError && error.passing) || attempt === tries) throw error;
        this.#onRetry(error);
        await backoff(attempt, signal);
      }
    }
  }

  /** A new channel, for one writer and one reader. */
  async createChannel(): Promise<{ channel_id: string; expires_at: string }> {
    return (await this.call("POST", "/api/transfer"))!;
  }

  /** Writes to a channel; resolves when the reader has all of it. A channel serves once, so this is never tried again. */
  async send(channel: string, body: Blob | Uint8Array, contentType: string, signal?: AbortSignal): Promise<void> {
    const init = { method: "POST", headers: { "content-type": contentType }, body: body as Blob };
    const response = await this.#fetch(channelPath(channel), init, signal);
    await response.arrayBuffer();
  }

  /** Reads from a channel; resolves when the writer has come. */
  async receive(channel: string, signal?: AbortSignal): Promise<Incoming> {
    const response = await this.#fetch(channelPath(channel), {}, signal);
    return {
      contentType: response.headers.get("content-type") ?? "application/octet-stream",
      chunks: chunksOf(response, signal),
    };
  }

  /** The events of a stream, until the broker has no more. Connects again when it is cut, and goes on after the last event that came. */
  async *events(path: string, signal?: AbortSignal): AsyncGenerator<ServerEvent, void> {
    let lastId = "";
    for (let attempt = 1; ; attempt++) {
      const silence = new AbortController();
      const timer = setTimeout(() => silence.abort(), SILENCE_MS);
      try {
        const headers = { accept: "text/event-stream", ...(lastId !== "" && { "last-event-id": lastId }) };
        const response = await this.#fetch(path, { headers }, signal, silence.signal);
        if (response.status === 204) return;
        for await (const line of eventLines(chunksOf(response, signal), () => timer.refresh())) {
          attempt = 1;
          lastId = line.id ?? lastId;
          yield { event: line.event, data: JSON.parse(line.data) };
        }
      } catch (error) {
        signal?.throwIfAborted();
        if (!(error instanceof NfrxError && error.passing)) throw error;
        this.#onRetry(error);
      } finally {
        clearTimeout(timer);
        silence.abort();
      }
      await backoff(attempt, signal);
    }
  }

  /** An answer whose body is still to be read. Throws for every one that is no success, and `signal`'s reason when that aborts. */
  async #fetch(path: string, init: RequestInit, signal?: AbortSignal, limit?: AbortSignal): Promise<Response> {
    const signals = [signal, limit].filter(one => one !== undefined);
    const headers = { ...(this.#key && { authorization: `Bearer ${this.#key}` }), ...init.headers };
    let response: Response;
    try {
      response = await fetch(this.#url + path, {
        ...init,
        headers,
        redirect: "error",
        signal: AbortSignal.any(signals),
      });
    } catch (cause) {
      signal?.throwIfAborted();
      throw new NfrxError(0, "unreachable", { cause });
    }
    if (response.ok) return response;
    // Ours are `{"error": "<word>"}`, with a message or without; a proxy in between may answer anything.
    const said = (await response.json().catch(() => null)) as { error?: unknown; message?: unknown } | null;
    const { status } = response;
    const word = status === 401 || status === 403 ? "unauthorized" : said?.error;
    throw new NfrxError(status, typeof word === "string" ? word : "error", { message: said?.message });
  }
}

/** Everything of it, in memory; throws when that is more than `limit` bytes. */
export async function bytesOf({ chunks }: Incoming, limit: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > limit) throw new Error(`more than ${limit} bytes`);
    parts.push(chunk);
  }
  return Buffer.concat(parts);
}

/** Waits longer after every attempt in vain; half of it by chance, so that many clients do not come back at once. */
async function backoff(attempt: number, signal?: AbortSignal): Promise<void> {
  const longest = Math.min(FIRST_PAUSE_MS * 2 ** (attempt - 1), LONGEST_PAUSE_MS);
  await pause(longest * (0.5 + Math.random() / 2), undefined, { ...(signal && { signal }) });
}

/** Jobs name a channel by its path, people by its id. */
function channelPath(channel: string): string {
  return channel.startsWith("/") ? channel : `/api/transfer/${encodeURIComponent(channel)}`;
}

/** The body of an answer. Whatever breaks the reading of it is an NfrxError; what its consumer throws is not. */
async function* chunksOf(response: Response, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array, void> {
  // The broker streams without Content-Length; this header names the length when the writer had told it.
  const announced = response.headers.get("x-transfer-length");
  let length = 0;
  try {
    for await (const chunk of response.body ?? []) {
      length += chunk.length;
      yield chunk;
    }
  } catch (cause) {
    signal?.throwIfAborted();
    throw new NfrxError(0, "cut_short", { cause });
  }
  if (announced !== null && Number(announced) !== length) throw new NfrxError(0, "cut_short");
}

interface EventLines {
  event: string;
  data: string;
  id: string | undefined;
}

/** Server-sent events as the HTML standard defines them, without `retry`. */
async function* eventLines(chunks: AsyncIterable<Uint8Array>, heard: () => void): AsyncGenerator<EventLines, void> {
  const decoder = new TextDecoder();
  let rest = "";
  let fields: { event?: string; id?: string; data?: string } = {};
  for await (const chunk of chunks) {
    heard();
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines.map(text => text.replace(/\r$/, ""))) {
      if (line === "") {
        const { event = "message", id, data } = fields;
        fields = {};
        if (data !== undefined) yield { event, id, data };
        continue;
      }
      const [, name, value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
      if (name === "event") fields.event = value;
      else if (name === "id") fields.id = value;
      else if (name === "data") fields.data = fields.data === undefined ? value : `${fields.data}\n${value}`;
    }
  }
}
