import type { NfrxError } from "../lib/errors.ts";
import { PING_MS, V1_MCP_ANSWER, V1_MCP_DEAD_MS } from "./limits.ts";
import type { Link } from "./link.ts";
import { AgentHalf } from "./mcp-v1-agent.ts";
import { BrokerHalf } from "./mcp-v1-broker.ts";
import type { McpV1Half } from "./mcp-v1-half.ts";
import type { ControlMessage } from "./messages.ts";
import type { Stream } from "./stream.ts";
import { parseControl, type Wire } from "./wire.ts";

/**
 * The protocol of 0.9 between an MCP relay and its broker, as a codec behind the same streams: one JSON-RPC request and
 * one response per call, as JSON text. `broker` talks to a v1 relay, `agent` to a v1 broker.
 */
export class WireMcpV1 implements Wire {
  readonly version = 1;
  readonly deadMs: number;
  /** A relay gets a complete request in one frame, and a broker a complete response. */
  readonly bufferLimit: number;
  readonly initialCredit = Number.POSITIVE_INFINITY;

  readonly #half: McpV1Half;
  readonly #pingMs: number;
  #pingAt: number;

  constructor(private readonly link: Link) {
    this.#half = link.side === "broker" ? new BrokerHalf(link) : new AgentHalf(link);
    this.bufferLimit = link.side === "broker" ? V1_MCP_ANSWER : Number.POSITIVE_INFINITY;
    this.deadMs = link.liveness?.deadMs ?? V1_MCP_DEAD_MS;
    this.#pingMs = link.liveness?.pingMs ?? PING_MS;
    this.#pingAt = link.clock.now();
  }

  turn(stream: Stream): boolean {
    this.#half.turn(stream);
    return true;
  }

  flush(): void {}
  consumed(): void {}
  goaway(): void {}

  reset(stream: Stream, error: NfrxError): void {
    this.#half.reset(stream, error);
  }

  forget(stream: Stream): void {
    this.#half.forget(stream);
  }

  beat(now: number): void {
    this.#half.beat(now);
    if (now - this.#pingAt < this.#pingMs) return;
    this.#pingAt = now;
    this.link.transmit(PING);
    // A v1 broker does not answer this ping, and its own interval is configurable.
    if (this.link.side === "agent") this.link.ping();
  }

  /** The registration in the words of v1; of a relay's state it knows nothing. */
  control(message: ControlMessage): void {
    if (message.type !== "register") return;
    const { models, worker_name: client_name, client_key } = message;
    const id = Array.isArray(models) && typeof models[0] === "string" ? models[0] : "";
    this.link.transmit(JSON.stringify({ id, client_name, client_key }));
  }

  receive(message: Uint8Array | string): void {
    const text = typeof message === "string" ? message : Buffer.from(message).toString("utf8");
    const frame: object = parseControl(text);
    const kind = "t" in frame ? frame.t : undefined;
    if (kind === undefined) return this.link.dispatchControl(frame, text.length);
    if (kind === "ping") {
      this.link.transmit(PONG);
      this.link.checkUnread();
    } else if (typeof kind === "string") {
      this.#half.receive(kind, frame, text);
    }
  }
}

const PING = '{"t":"ping"}';
const PONG = '{"t":"pong"}';
