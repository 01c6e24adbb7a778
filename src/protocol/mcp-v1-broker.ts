import { z } from "zod";
import { cutText } from "../lib/bytes.ts";
import { NfrxError } from "../lib/errors.ts";
import { headerOf } from "../lib/http.ts";
import { spanOf } from "../lib/json-span.ts";
import type { RequestHead } from "./frames.ts";
import { ERROR_TEXT_BYTES, NAME_MAX, V1_MCP_FRAME, V1_MCP_WAIT_MS } from "./limits.ts";
import type { Link } from "./link.ts";
import {
  type AwaitedReply,
  errorReply,
  type RpcReply,
  readRpcCall,
  responseTo,
  rpcErrorText,
  rpcRefusal,
  statusOf,
} from "./mcp-rpc.ts";
import type { McpV1Half } from "./mcp-v1-half.ts";
import type { Stream } from "./stream.ts";
import { sound } from "./wire.ts";

const opened = z.object({ sid: z.string() });
const failed = z.object({ sid: z.string(), code: z.string().nullish(), msg: z.string().nullish() });
const answered = z.object({ sid: z.string(), payload: z.unknown().optional() });
const closed = z.object({ sid: z.string(), msg: z.string().nullish() });

/** State of one exchange in addition to its stream. */
interface AskedCall {
  sid: string;
  state: "reading" | "opening" | "asked" | "answered";
  /** When it was opened at the relay. */
  since: number;
  head: RequestHead | undefined;
  body: Uint8Array[];
  bytes: number;
  waiting: AwaitedReply;
  /** The frame with the request, until the relay has agreed to take it. */
  rpc: string;
}

/** The broker's end: a stream with one request becomes open, open.ok, rpc and its response. */
export class BrokerHalf implements McpV1Half {
  readonly #askings = new Map<Stream, AskedCall>();
  readonly #bySid = new Map<string, Stream>();

  constructor(private readonly link: Link) {}

  turn(stream: Stream): void {
    const { out } = stream;
    const asking = this.#of(stream);
    if (out.head !== undefined && "method" in out.head) asking.head = out.head;
    out.head = undefined;
    for (let bytes = out.next(V1_MCP_FRAME); bytes.length > 0; bytes = out.next(V1_MCP_FRAME)) {
      asking.bytes += bytes.length;
      if (asking.bytes <= V1_MCP_FRAME) asking.body.push(Buffer.from(bytes));
    }
    // Everything is ours now, whether or not the relay gets it.
    if (out.ended) out.sent = true;
    const { head } = asking;
    if (asking.state !== "reading" || head === undefined) return;
    const refusal = rpcRefusal(head) ?? (asking.bytes > V1_MCP_FRAME ? tooLarge(413, "null") : undefined);
    if (refusal !== undefined) this.#reply(stream, asking, refusal);
    else if (out.ended) this.#ask(stream, asking, head);
  }

  reset(stream: Stream, error: NfrxError): void {
    const asking = this.#askings.get(stream);
    if (asking?.state !== "opening" && asking?.state !== "asked") return;
    this.#send({ t: "close", sid: asking.sid, msg: error.code === "timeout" ? "timeout" : "done" });
  }

  forget(stream: Stream): void {
    const asking = this.#askings.get(stream);
    if (asking === undefined) return;
    this.#askings.delete(stream);
    this.#bySid.delete(asking.sid);
  }

  /** Times out calls that a relay has dropped, which it does not report. */
  beat(now: number): void {
    for (const [stream, { state, since }] of this.#askings)
      if ((state === "opening" || state === "asked") && now - since >= V1_MCP_WAIT_MS)
        stream.reset(new NfrxError("timeout", `no response from the relay within ${V1_MCP_WAIT_MS / 1000} seconds`));
  }

  receive(kind: string, frame: object, text: string): void {
    switch (kind) {
      case "open.ok":
        return this.#onOpened(sound(opened.safeParse(frame)).sid);
      case "open.fail":
        return this.#onFailed(sound(failed.safeParse(frame)));
      case "rpc":
        return this.#onAnswer(sound(answered.safeParse(frame)), text);
      case "close":
        return this.#onClose(sound(closed.safeParse(frame)));
    }
  }

  #ask(stream: Stream, asking: AskedCall, head: RequestHead): void {
    const call = readRpcCall(head, Buffer.concat(asking.body, asking.bytes));
    asking.body = [];
    if ("status" in call) return this.#reply(stream, asking, call);
    const { sid } = asking;
    const { id, idText, method: hint, token, text } = call;
    const open = JSON.stringify({
      t: "open",
      sid,
      req_id: headerOf(head.headers, "x-request-id")?.slice(0, NAME_MAX),
      hint,
      auth: token,
    });
    // The text itself, so that no number in it is written anew.
    const rpc = `{"t":"rpc","sid":${JSON.stringify(sid)},"payload":${text}}`;
    // Either one would end the relay's connection, and every other call on it.
    if (Buffer.byteLength(open) > V1_MCP_FRAME) return this.#reply(stream, asking, tooLarge(431, idText));
    if (Buffer.byteLength(rpc) > V1_MCP_FRAME) return this.#reply(stream, asking, tooLarge(413, idText));
    asking.waiting = { id, idText };
    asking.rpc = rpc;
    asking.state = "opening";
    asking.since = this.link.clock.now();
    this.link.transmit(open);
  }

  #onOpened(sid: string): void {
    const asking = this.#bySidIn(sid, "opening")?.asking;
    if (asking === undefined) return;
    asking.state = "asked";
    const { rpc } = asking;
    asking.rpc = "";
    this.link.transmit(rpc);
  }

  #onFailed({ sid, code, msg }: z.infer<typeof failed>): void {
    const found = this.#bySidIn(sid, "opening");
    if (found === undefined) return;
    const { stream, asking } = found;
    const word = code?.slice(0, NAME_MAX) || "MCP_PROVIDER_UNAVAILABLE";
    const message = cutText(msg || "the relay did not accept the call", ERROR_TEXT_BYTES);
    this.#reply(stream, asking, errorReply(statusOf(word), asking.waiting.idText, message, word));
  }

  #onAnswer({ sid, payload }: z.infer<typeof answered>, text: string): void {
    const found = this.#bySidIn(sid, "asked");
    if (found === undefined) return;
    const { stream, asking } = found;
    const span = spanOf(text, ["payload"]);
    const response = span && responseTo(asking.waiting, text.slice(...span), payload);
    const headers = [["content-type", "application/json"]] satisfies [string, string][];
    this.#reply(
      stream,
      asking,
      response === undefined
        ? { status: 502, headers, body: rpcErrorText(asking.waiting.idText, NO_RESPONSE, "MCP_UPSTREAM_ERROR") }
        : { status: 200, headers, body: response },
    );
  }

  #onClose({ sid, msg }: z.infer<typeof closed>): void {
    const stream = this.#bySid.get(sid);
    const state = stream && this.#askings.get(stream)?.state;
    if (stream === undefined || state === "answered") return;
    this.link.peerReset(
      stream,
      "upstream_error",
      `the relay closed the call without a response${msg ? `: ${msg}` : ""}`,
    );
  }

  #reply(stream: Stream, asking: AskedCall, { status, headers, body }: RpcReply): void {
    asking.state = "answered";
    asking.body = [];
    stream.deliverHead({ status, headers }, body === "");
    if (body !== "") stream.deliverData(Buffer.from(body), true);
  }

  #of(stream: Stream): AskedCall {
    let asking = this.#askings.get(stream);
    if (asking === undefined) {
      const waiting = { id: undefined, idText: "null" };
      asking = {
        sid: `s${stream.id}`,
        state: "reading",
        since: 0,
        head: undefined,
        body: [],
        bytes: 0,
        waiting,
        rpc: "",
      };
      this.#askings.set(stream, asking);
      this.#bySid.set(asking.sid, stream);
    }
    return asking;
  }

  #bySidIn(sid: string, state: AskedCall["state"]): { stream: Stream; asking: AskedCall } | undefined {
    const stream = this.#bySid.get(sid);
    const asking = stream && this.#askings.get(stream);
    return stream !== undefined && asking?.state === state ? { stream, asking } : undefined;
  }

  #send(frame: { t: string; sid: string; msg: string }): void {
    this.link.transmit(JSON.stringify(frame));
  }
}

/** A 0.9 relay forwards the first event of a stream, whatever it is. */
const NO_RESPONSE =
  "the relay sent a message other than the response; 0.9 relays cannot forward server messages that precede it";

function tooLarge(status: 413 | 431, idText: string): RpcReply {
  const what = status === 413 ? "a request" : "an authorization";
  return errorReply(
    status,
    idText,
    `${what} exceeds the limit of 0.9 relays, ${V1_MCP_FRAME} bytes`,
    "MCP_LIMIT_EXCEEDED",
  );
}
