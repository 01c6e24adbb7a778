import { asBuffer } from "../../../lib/bytes.ts";
import type { Usage } from "../../../modules/module.ts";

/** Maximum size of a usage object, in bytes. */
const LONGEST_USAGE = 4 * 1024;
/** Maximum nesting of the usage object: the counts are on the first level, their details on the second. */
const USAGE_LEVELS = 3;
const KEY = Buffer.from('"usage"');
const OPEN = 0x7b;
const CLOSE = 0x7d;
const COLON = 0x3a;
const SPACE = 0x20;

/**
 * Finds the token usage in an answer that passes by, JSON or events alike, keeping at most a few KiB. It looks for the
 * key `"usage"`: inside a JSON string its quotes would be escaped, so text that a model wrote cannot look like it. Of
 * several usage objects, as some backends send with every event, the last one counts.
 */
export class UsageTap {
  #usage: Usage | undefined;
  /** The end of the last chunk that could be the start of the key, or what has been collected of an object. */
  #carry: Buffer = EMPTY;

  get usage(): Usage | undefined {
    return this.#usage;
  }

  /** Takes the next bytes; `last` says that none follow, so that nothing is kept for the next call. */
  feed(chunk: Uint8Array, last = false): void {
    let bytes = asBuffer(chunk);
    if (this.#carry.length > 0) {
      bytes = Buffer.concat([this.#carry, bytes]);
      this.#carry = EMPTY;
    }
    let from = 0;
    for (;;) {
      const at = bytes.indexOf(KEY, from);
      if (at === -1) {
        if (last) return;
        const tail = Math.max(from, bytes.length - KEY.length + 1);
        this.#carry = overlap(bytes.subarray(tail));
        return;
      }
      const object = balanced(bytes, at + KEY.length);
      if (object === "cut") {
        // The rest comes with the next chunk, unless it is longer than any usage is.
        if (bytes.length - at < LONGEST_USAGE) this.#carry = Buffer.from(bytes.subarray(at));
        return;
      }
      if (object !== undefined) this.#read(bytes.toString("utf8", object.start, object.end));
      from = object?.end ?? at + KEY.length;
    }
  }

  #read(json: string): void {
    let value: unknown;
    try {
      value = JSON.parse(json);
    } catch {
      return;
    }
    this.#usage = parseUsage(value, this.#usage) ?? this.#usage;
  }
}

const EMPTY = Buffer.alloc(0);

/** The part of the last bytes that could start the key; usually empty, so that nothing is copied. */
function overlap(tail: Buffer): Buffer {
  const quote = tail.indexOf(KEY[0]!);
  return quote === -1 ? EMPTY : Buffer.from(tail.subarray(quote));
}

/** The `{…}` after a key's colon; undefined when something else stands there, `cut` when the chunk ends before it does. */
function balanced(bytes: Buffer, from: number): { start: number; end: number } | "cut" | undefined {
  let at = from;
  let colon = false;
  for (; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (byte <= SPACE) continue;
    if (byte === COLON && !colon) colon = true;
    else if (byte === OPEN && colon) break;
    else return undefined;
  }
  const start = at;
  let depth = 0;
  for (; at < bytes.length && at - start < LONGEST_USAGE; at++) {
    const byte = bytes[at]!;
    // Keys inside an object that never ends are looked at only so far back, so that the scan stays linear.
    if (byte === OPEN && ++depth > USAGE_LEVELS) return undefined;
    if (byte === CLOSE && --depth === 0) return { start, end: at + 1 };
  }
  return at - start >= LONGEST_USAGE ? undefined : "cut";
}

/**
 * Usage as OpenAI's chat, embeddings and responses APIs and Anthropic's messages spell it; undefined when it is none. The
 * last event of a message tells its output only: the input is that of the usage before.
 */
export function parseUsage(value: unknown, before?: Usage): Usage | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const out = count(value, "completion_tokens") ?? count(value, "output_tokens");
  const input = count(value, "prompt_tokens") ?? count(value, "input_tokens") ?? (out === undefined ? out : before?.in);
  if (input === undefined) return undefined;
  const output = out ?? 0;
  return { in: input, out: output, total: count(value, "total_tokens") ?? input + output };
}

/** Finds the token counts at the end of an answer of Ollama's, one JSON object or many in lines; keeps its last bytes. */
export class OllamaTap {
  #tail = EMPTY;

  feed(chunk: Uint8Array): void {
    const bytes = this.#tail.length === 0 ? asBuffer(chunk) : Buffer.concat([this.#tail, asBuffer(chunk)]);
    this.#tail = Buffer.from(bytes.subarray(-OLLAMA_TAIL));
  }

  get usage(): Usage | undefined {
    const text = this.#tail.toString("latin1");
    const number = (name: string): number | undefined => {
      const found = new RegExp(`"${name}"\\s*:\\s*(\\d{1,15})(?!.*"${name}")`, "s").exec(text)?.[1];
      return found === undefined ? undefined : Number(found);
    };
    const input = number("prompt_eval_count");
    const output = number("eval_count") ?? 0;
    // A prompt that was cached is not counted at all.
    if (input === undefined && output === 0) return undefined;
    return { in: input ?? 0, out: output, total: (input ?? 0) + output };
  }
}

/** Bytes at the end of an Ollama response that are searched for its counts. */
const OLLAMA_TAIL = 1024;

function count(value: object, key: string): number | undefined {
  const number: unknown = Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined;
  return typeof number === "number" && Number.isFinite(number) && number >= 0 ? number : undefined;
}
