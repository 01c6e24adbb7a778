import { z } from "zod";
import { BoundedMap } from "../lib/bounded-map.ts";
import { NfrxError, toNfrxError } from "../lib/errors.ts";
import { spanOf } from "../lib/json-span.ts";
import type { HeaderList } from "./frames.ts";
import { V1_MCP_ANSWER, V1_MCP_LINGER_MS, V1_MCP_OPENED } from "./limits.ts";
import type { Link } from "./link.ts";
import { Fold } from "./mcp-fold.ts";
import { type AwaitedReply, idTextOf, isObject, rpcErrorText, wordOf } from "./mcp-rpc.ts";
import type { McpV1Half } from "./mcp-v1-half.ts";
import type { Stream } from "./stream.ts";
import { sound } from "./wire.ts";

const open = z.object({
  sid: z.string().min(1),
  req_id: z.string().nullish(),
  auth: z.string().nullish(),
});
const request = z.object({ sid: z.string().min(1), payload: z.unknown().optional() });
const close = z.object({ sid: z.string(), msg: z.string().nullish() });

/** State of one exchange in addition to its stream. */
interface ServedCall extends AwaitedReply {
  sid: string;
  fold: Fold | undefined;
  answered: boolean;
  answeredAt: number;
}

/** The agent's end: open and rpc become a stream with a POST, and its response becomes one rpc. */
export class AgentHalf implements McpV1Half {
  readonly #servings = new Map<Stream, ServedCall>();
  readonly #bySid = new Map<string, Stream>();
  /** The headers that opened calls will have, until their request comes. */
  readonly #opened = new BoundedMap<HeaderList>(V1_MCP_OPENED);
  #peerStreams = 1;

  constructor(private readonly link: Link) {}

  turn(stream: Stream): void {
    const serving = this.#servings.get(stream);
    if (serving === undefined) return;
    const { out } = stream;
    if (out.head !== undefined && "status" in out.head) serving.fold = new Fold(out.head, serving);
    out.head = undefined;
    try {
      for (let bytes = out.next(V1_MCP_ANSWER); bytes.length > 0; bytes = out.next(V1_MCP_ANSWER))
        serving.fold?.feed(bytes);
      const answer = serving.fold?.found ?? (out.ended ? serving.fold?.end() : undefined);
      if (answer !== undefined) this.#answer(serving, answer);
    } catch (error) {
      return stream.reset(toNfrxError(error));
    }
    if (out.ended) out.sent = true;
  }

  reset(stream: Stream, error: NfrxError): void {
    const serving = this.#servings.get(stream);
    if (serving !== undefined) this.#answer(serving, rpcErrorText(serving.idText, error.message, wordOf(error.status)));
  }

  forget(stream: Stream): void {
    const serving = this.#servings.get(stream);
    if (serving === undefined) return;
    this.#servings.delete(stream);
    this.#bySid.delete(serving.sid);
  }

  /** Cancels streams that servers keep open after the response was sent. */
  beat(now: number): void {
    for (const [stream, { answered, answeredAt }] of this.#servings)
      if (answered && now - answeredAt >= V1_MCP_LINGER_MS)
        stream.reset(new NfrxError("canceled", "the provider did not end its event stream after the response"));
  }

  receive(kind: string, frame: object, text: string): void {
    switch (kind) {
      case "open":
        return this.#onOpen(sound(open.safeParse(frame)));
      case "rpc":
        return this.#onRequest(sound(request.safeParse(frame)), text);
      case "close":
        return this.#onClose(sound(close.safeParse(frame)));
    }
  }

  #onOpen({ sid, req_id, auth }: z.infer<typeof open>): void {
    if (this.#opened.has(sid) || this.#bySid.has(sid)) return;
    if (this.link.leaving)
      return this.#send({ t: "open.fail", sid, code: "MCP_PROVIDER_UNAVAILABLE", msg: "draining" });
    const headers: HeaderList = [];
    // The service decides about authorization, as for all callers.
    if (auth && VISIBLE.test(auth)) headers.push(["authorization", `Bearer ${auth}`]);
    if (req_id && VISIBLE.test(req_id)) headers.push(["x-request-id", req_id]);
    this.#opened.set(sid, headers);
    this.#send({ t: "open.ok", sid });
  }

  #onRequest({ sid, payload }: z.infer<typeof request>, text: string): void {
    const span = spanOf(text, ["payload"]);
    if (span === undefined) throw new NfrxError("protocol", "malformed frame: rpc without a payload");
    if (this.#bySid.has(sid)) return;
    const body = text.slice(...span);
    const headers = this.#opened.get(sid) ?? [];
    this.#opened.delete(sid);
    const id = this.#peerStreams;
    this.#peerStreams += 2;
    this.link.accept(id, { method: "POST", path: "/mcp", headers: [...PLAIN, ...headers] }, false, stream => {
      this.#servings.set(stream, { ...waitingIn(body, payload), sid, fold: undefined, answered: false, answeredAt: 0 });
      this.#bySid.set(sid, stream);
    });
    this.link.stream(id)?.deliverData(Buffer.from(body), true);
  }

  #onClose({ sid, msg }: z.infer<typeof close>): void {
    this.#opened.delete(sid);
    const stream = this.#bySid.get(sid);
    // After the response, close confirms it.
    if (stream === undefined || this.#servings.get(stream)?.answered) return;
    this.link.peerReset(stream, "canceled", `canceled by the broker${msg ? `: ${msg}` : ""}`);
  }

  /** Responds once; a 0.9 broker treats a close without a response as an empty result. */
  #answer(serving: ServedCall, payload: string): void {
    if (serving.answered) return;
    serving.answered = true;
    serving.answeredAt = this.link.clock.now();
    const { sid } = serving;
    // The text itself, so that no number in it is written anew.
    this.link.transmit(`{"t":"rpc","sid":${JSON.stringify(sid)},"payload":${payload}}`);
    this.#send({ t: "close", sid, msg: "done" });
  }

  #send(frame: { t: string; sid: string; code?: string; msg?: string }): void {
    this.link.transmit(JSON.stringify(frame));
  }
}

/** Headers of every request. v1 cannot carry an encoded response. */
const PLAIN: HeaderList = [
  ["content-type", "application/json"],
  ["accept", "application/json, text/event-stream"],
  ["accept-encoding", "identity"],
];

/** The part of an external text that a header can contain. */
const VISIBLE = /^[\x21-\x7e]+$/;

function waitingIn(text: string, value: unknown): AwaitedReply {
  const id = isObject(value) ? value["id"] : undefined;
  return typeof id === "string" || typeof id === "number"
    ? { id, idText: idTextOf(text) }
    : { id: undefined, idText: "null" };
}
