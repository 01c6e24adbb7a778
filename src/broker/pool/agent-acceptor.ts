// The entry point for agents: upgrade, credentials, first frame, and ID conflicts.
import type { ErrorCode, NfrxError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Clock, Timer } from "../../lib/time.ts";
import type { Principal } from "../../modules/route.ts";
import {
  CLOSE_FULL,
  CLOSE_POLICY,
  CLOSE_RESTART,
  CONTROL_BYTES,
  HELD_MESSAGES,
  HOLDER_MS,
  REGISTER_BYTES,
  REGISTER_MS,
  SUBPROTOCOL,
} from "../../protocol/limits.ts";
import type { Link } from "../../protocol/link.ts";
import { type Register, registerMessage } from "../../protocol/messages.ts";
import type { Liveness, Wire } from "../../protocol/wire.ts";
import { wireOf } from "../../protocol/wire-of.ts";
import type { Authenticator } from "../http/access/authenticator.ts";
import { countRefusal, type RefusalMetrics } from "../http/count-refusal.ts";
import type { ServerSocket, SocketHandler } from "../http/web-socket.ts";
import type { Admission, AgentRefusal, KeylessPlace } from "./admission.ts";
import { LinkSocket } from "./link-socket.ts";
import { Membership, REPLACED } from "./membership.ts";
import type { Pool } from "./pool.ts";
import type { Registry } from "./registry.ts";
import type { Worker } from "./worker.ts";

export interface AgentAcceptorOptions {
  handshake: Handshake;
  pool: Pool;
  authenticator: Pick<Authenticator, "admitsMessage">;
  clock: Clock;
  log: Logger;
  /** How many may connect, of all modules together. */
  admission: Admission;
  metrics: RefusalMetrics & { refusedAgent(module: string, reason: AgentRefusal): void };
}

/** The registration and codecs of a module's agents. */
export interface Handshake {
  /** The first message as a registration; undefined when it is none. */
  parse(message: string): Register | undefined;
  /** Why this agent is not taken; undefined when it is. */
  objection(register: Register): string | undefined;
  /** The connected workers with this agent's ID. */
  holders(register: Register, workers: Registry): Worker[];
  /** The reply; undefined if there is none. */
  greeting(register: Register, version: 1 | 2): string | undefined;
  wire(version: 1 | 2): (link: Link) => Wire;
  liveness?: Liveness;
  /** Additional log fields at registration. */
  fields?: ((worker: Worker) => object) | undefined;
}

/** Workers send a register message and are answered nothing. */
export const workerHandshake: Handshake = {
  parse: parseRegister,
  objection: () => undefined,
  holders({ worker_id: id }, workers) {
    const holder = id ? workers.get(id) : undefined;
    // One that drains is about to go: its successor may be there already.
    return holder === undefined || holder.draining ? [] : [holder];
  },
  greeting: () => undefined,
  wire: wireOf,
};

/** Lets the agents of one worker module in. */
export class AgentAcceptor {
  constructor(private readonly options: AgentAcceptorOptions) {}

  /**
   * The decision on an upgrade request: a refusal, or the connection to upgrade to. A principal that does not hold `client`
   * is an agent of the 0.9 series, which may bring its key in the first frame.
   */
  receive(request: Request, principal: Principal, peer: string): Response | SocketHandler {
    const { admission, metrics, pool } = this.options;
    const { headers } = request;
    const refuse = (reason: AgentRefusal, status: number, text: string, more = {}): Response => {
      metrics.refusedAgent(pool.moduleId, reason);
      return new Response(text, { status, headers: more });
    };
    const version = offers(request) ? 2 : 1;
    const admitted = principal.holds("client");
    if (headers.get("upgrade")?.toLowerCase() !== "websocket")
      return refuse("not_websocket", 426, "expected a WebSocket upgrade", { upgrade: "websocket" });
    const full = { "retry-after": "60" };
    const { address } = principal;
    if (!admission.hasRoom) return refuse("too_many", 503, "too many agents", full);
    if (!admitted && !admission.takesKeyless(address))
      return refuse("too_many", 503, "too many agents that send their key after connecting", full);
    return new WorkerConnection(this.options, { admitted, version, peer, address });
  }

  /** Counts an agent that was refused before it came here. */
  countRefusal(error: NfrxError): void {
    const { metrics, pool } = this.options;
    const reason = REFUSALS[error.code];
    if (reason === undefined) countRefusal(metrics, error);
    else metrics.refusedAgent(pool.moduleId, reason);
  }
}

/** Reasons for earlier refusals of an agent, as named in the metric. */
const REFUSALS: Partial<Record<ErrorCode, AgentRefusal>> = {
  draining: "draining",
  unauthorized: "unauthorized",
  too_many_attempts: "unauthorized",
};

/** True when the agent offers wire v2. */
export function offers(request: Request): boolean {
  return (request.headers.get("sec-websocket-protocol") ?? "").split(",").some(word => word.trim() === SUBPROTOCOL);
}

interface Origin {
  /** It has shown its credentials. */
  admitted: boolean;
  version: 1 | 2;
  /** The address at the other end of the connection. */
  peer: string;
  /** The address that it comes from, which may be behind a proxy. */
  address: string;
}

class WorkerConnection implements SocketHandler {
  #socket: ServerSocket | undefined;
  #membership: Membership | undefined;
  #deadline: Timer | undefined;
  #keyless: KeylessPlace | undefined;
  #leave: (() => void) | undefined;
  /** Messages that arrived while the holder of its id is pinged. */
  #held: (Uint8Array | string)[] | undefined;
  #over = false;

  constructor(
    private readonly options: AgentAcceptorOptions,
    private readonly origin: Origin,
  ) {}

  onOpen(socket: ServerSocket): void {
    const { admission } = this.options;
    this.#socket = socket;
    if (this.origin.admitted) {
      this.#leave = admission.join();
      return this.#expectRegister();
    }
    socket.pause();
    this.#keyless = admission.keyless(this.origin.address, () => {
      socket.resume();
      this.#expectRegister();
    });
  }

  onMessage(message: Uint8Array | string): void {
    if (this.#membership !== undefined) return this.#membership.link.receive(message);
    if (this.#held !== undefined) {
      if (this.#held.push(message) > HELD_MESSAGES || message.length > CONTROL_BYTES)
        this.#refuse("rejected", "too much data before registration");
    } else if (!this.#over) this.#onFirst(message);
  }

  onDrain(): void {
    this.#membership?.link.drained();
  }

  onPong(): void {
    this.#membership?.link.ponged();
  }

  onClose(code: number, reason: string): void {
    this.#over = true;
    this.#deadline?.cancel();
    this.#held = undefined;
    this.#keyless?.leave();
    this.#leave?.();
    this.#membership?.link.lost(code, reason);
  }

  #expectRegister(): void {
    this.#deadline = this.options.clock.after(REGISTER_MS, () => this.#refuse("not_registered", "expected register"));
  }

  #onFirst(message: Uint8Array | string): void {
    const { handshake, pool, admission } = this.options;
    const { admitted } = this.origin;
    const most = admitted ? REGISTER_BYTES : CONTROL_BYTES;
    const register = message.length > most ? undefined : handshake.parse(textOf(message));
    const long = message.length > CONTROL_BYTES && !register?.models?.length;
    if (register === undefined || long) return this.#refuse("not_registered", "expected register");
    if (!admitted) {
      if (!this.#admitsKey(register)) return this.#refuse("unauthorized", "unauthorized");
      if (!admission.hasRoom) return this.#refuse("too_many", "too many agents", {}, CLOSE_FULL);
      this.#keyless?.leave();
      this.#leave = admission.join();
    }
    this.#deadline?.cancel();
    const objection = handshake.objection(register);
    if (objection !== undefined) return this.#refuse("rejected", objection);
    const holders = handshake.holders(register, pool.registry);
    if (holders.length === 0) this.#join(register);
    else void this.#contest(register, holders);
  }

  #admitsKey(register: Register): boolean {
    const keys = [register.client_key, register.token].flatMap(key => key || []);
    return this.options.authenticator.admitsMessage(keys, this.origin.address);
  }

  /** Pings the owner of the ID: if it responds it keeps the ID, else this agent takes it over. */
  async #contest(register: Register, holders: readonly Worker[]): Promise<void> {
    const { handshake, pool, log } = this.options;
    this.#held = [];
    const alive = await Promise.all(holders.map(({ upstream }) => upstream.answers(HOLDER_MS)));
    if (this.#over) return;
    const dead = holders.filter((_, at) => !alive[at]);
    const left = handshake.holders(register, pool.registry);
    const holder = left.find(one => !dead.includes(one));
    if (holder !== undefined)
      return this.#refuse("rejected", ID_IN_USE, { worker_id: holder.id, held_by: holder.remote });
    for (const { id, name, upstream } of left) {
      log.warn(
        { module: pool.moduleId, worker_id: id, worker_name: name, by: this.origin.peer },
        "a worker does not respond; a newer connection takes over its ID",
      );
      if (id !== register.worker_id) upstream.close(CLOSE_POLICY, REPLACED);
    }
    this.#join(register);
  }

  #refuse(kind: AgentRefusal, reason: string, about = {}, code = CLOSE_POLICY): void {
    const { metrics, pool, log } = this.options;
    this.#over = true;
    this.#held = undefined;
    this.#deadline?.cancel();
    metrics.refusedAgent(pool.moduleId, kind);
    log.warn({ module: pool.moduleId, remote: this.origin.peer, reason, ...about }, "agent rejected");
    this.#socket?.close(code, reason);
  }

  #join(register: Register): void {
    const { pool, clock, log, handshake } = this.options;
    const { version, peer: remote } = this.origin;
    if (this.#socket === undefined) return;
    const greeting = handshake.greeting(register, version);
    if (greeting !== undefined) this.#socket.sendText(greeting);
    const membership = new Membership({
      socket: new LinkSocket(this.#socket),
      register,
      remote,
      wire: handshake.wire(version),
      liveness: handshake.liveness,
      fields: handshake.fields,
      pool,
      clock,
      log,
    });
    this.#membership = membership;
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const message of held) membership.link.receive(message);
  }
}

/** Close reason for an agent whose ID is in use. */
const ID_IN_USE = "id in use";

function textOf(message: Uint8Array | string): string {
  return typeof message === "string" ? message : Buffer.from(message).toString("utf8");
}

function parseRegister(text: string): Register | undefined {
  try {
    const register = registerMessage.safeParse(JSON.parse(text));
    return register.success ? register.data : undefined;
  } catch {
    return undefined;
  }
}

/** Asks every agent of a pool to reconnect elsewhere or later. */
export function dismiss(pool: Pool): void {
  for (const worker of pool.registry.records()) worker.upstream.close(CLOSE_RESTART, "the broker is shutting down");
}
