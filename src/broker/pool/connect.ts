// The only door for agents: upgrade, first frame, registration, and what a worker says of itself afterwards.

import type { Drain } from "../../lib/drain.ts";
import { NfrxError } from "../../lib/errors.ts";
import { credentialsOf } from "../../lib/http.ts";
import type { Logger } from "../../lib/log.ts";
import type { Clock } from "../../lib/time.ts";
import { CLOSE_POLICY, CLOSE_RESTART, REGISTER_BYTES, REGISTER_MS, SUBPROTOCOL } from "../../protocol/limits.ts";
import { Link } from "../../protocol/link.ts";
import { heartbeatMessage, type Register, registerMessage, statusMessage } from "../../protocol/messages.ts";
import { wireOf } from "../../protocol/pair.ts";
import type { Liveness, Socket, Wire } from "../../protocol/wire.ts";
import type { Door } from "../auth.ts";
import type { AgentRefusal } from "../observe/metrics.ts";
import type { Pool } from "./pool.ts";
import { Worker } from "./worker.ts";

/** What a WebSocket of the broker's server carries, whoever it belongs to. */
export interface Connection {
  onOpen(socket: ServerSocket): void;
  onMessage(message: Uint8Array | string): void;
  onDrain(): void;
  onPong(): void;
  onClose(code: number, reason: string): void;
}

export type ServerSocket = Bun.ServerWebSocket<Connection>;

/** Adapts Bun's server socket to the protocol's. */
class LinkSocket implements Socket {
  constructor(private readonly ws: ServerSocket) {}

  send(message: Uint8Array | string): boolean {
    // 0 means dropped, with the socket left open; −1 means queued.
    const sent =
      typeof message === "string" ? this.ws.sendText(message) : this.ws.sendBinary(message as Uint8Array<ArrayBuffer>);
    return sent !== 0 || message.length === 0;
  }

  buffered(): number {
    return this.ws.getBufferedAmount();
  }

  close(code: number, reason: string): void {
    this.ws.close(code, reason);
  }

  terminate(): void {
    this.ws.terminate();
  }

  ping(): void {
    this.ws.ping();
  }
}

export interface DoorOptions {
  reception: Reception;
  pool: Pool;
  door: Door;
  drain: Drain;
  clock: Clock;
  log: Logger;
  /** Connected agents, of all modules together; one more is turned away. */
  admit: () => boolean;
  metrics: { refusedAgent(module: string, reason: AgentRefusal): void };
}

/** How the agents of a module introduce themselves, and what they speak. */
export interface Reception {
  /** The first message as a registration; undefined when it is none. */
  parse(message: string): Register | undefined;
  /** Why this agent is not taken; undefined when it is. */
  objection(register: Register, pool: Pool): string | undefined;
  /** What it is answered; undefined for nothing. */
  greeting(register: Register, version: 1 | 2): string | undefined;
  wire(version: 1 | 2): (link: Link) => Wire;
  liveness?: Liveness;
}

/** Workers send a register message and are answered nothing. */
export const workerReception: Reception = {
  parse: parseRegister,
  objection: () => undefined,
  greeting: () => undefined,
  wire: wireOf,
};

/** Lets the agents of one worker module in. */
export class WorkerDoor {
  constructor(private readonly options: DoorOptions) {}

  /**
   * What to do with an upgrade request: a refusal, or the connection to upgrade to. Credentials on the request are
   * judged here; an agent without any may still bring its key in the first frame.
   */
  receive(request: Request, peer: string): Response | Connection {
    const { door, drain, admit, metrics, pool } = this.options;
    const refuse = (reason: AgentRefusal, status: number, text: string, headers = {}): Response => {
      metrics.refusedAgent(pool.moduleId, reason);
      return new Response(text, { status, headers });
    };
    if (drain.draining) return refuse("draining", 503, "draining", { "retry-after": "10" });
    if (request.headers.get("upgrade")?.toLowerCase() !== "websocket")
      return refuse("not_websocket", 426, "a WebSocket upgrade is expected here", { upgrade: "websocket" });
    const admitted = door.admits(request.headers, () => peer);
    if (!admitted && credentialsOf(request.headers).length > 0) {
      const { status, code, detail } = door.refusal(request.headers, () => peer);
      const wait = detail.retryAfterSeconds;
      return refuse("unauthorized", status, code, wait === undefined ? {} : { "retry-after": `${wait}` });
    }
    if (!admit()) return refuse("too_many", 503, "too many agents", { "retry-after": "60" });
    const version = offers(request) ? 2 : 1;
    return new WorkerConnection(this.options, admitted, version, peer, door.addressOf(request.headers, peer));
  }
}

/** True when the agent offers wire v2. */
export function offers(request: Request): boolean {
  return (request.headers.get("sec-websocket-protocol") ?? "").split(",").some(word => word.trim() === SUBPROTOCOL);
}

class WorkerConnection implements Connection {
  #socket: ServerSocket | undefined;
  #link: Link | undefined;
  #worker: Worker | undefined;
  #deadline: { cancel(): void } | undefined;

  constructor(
    private readonly options: DoorOptions,
    private readonly admitted: boolean,
    private readonly version: 1 | 2,
    private readonly peer: string,
    /** The address that a wrong key counts for. */
    private readonly address: string,
  ) {}

  onOpen(socket: ServerSocket): void {
    this.#socket = socket;
    this.#deadline = this.options.clock.after(REGISTER_MS, () => this.#refuse("not_registered", "expected register"));
  }

  onMessage(message: Uint8Array | string): void {
    if (this.#link !== undefined) return this.#link.receive(message);
    if (this.#deadline === undefined) return; // refused; the close is on its way
    const { reception, pool } = this.options;
    const register = message.length > REGISTER_BYTES ? undefined : reception.parse(textOf(message));
    if (register === undefined) return this.#refuse("not_registered", "expected register");
    if (!this.admitted && !this.#admitsKey(register)) return this.#refuse("unauthorized", "unauthorized");
    const objection = reception.objection(register, pool);
    if (objection !== undefined) return this.#refuse("rejected", objection);
    this.#deadline.cancel();
    const greeting = reception.greeting(register, this.version);
    if (greeting !== undefined) this.#socket?.sendText(greeting);
    this.#register(register);
  }

  onDrain(): void {
    this.#link?.drained();
  }

  onPong(): void {
    this.#link?.ponged();
  }

  onClose(code: number, reason: string): void {
    this.#deadline?.cancel();
    this.#link?.lost(code, reason);
  }

  #admitsKey(register: Register): boolean {
    const { door } = this.options;
    const keys = [register.client_key, register.token].filter(key => key !== undefined && key !== "");
    if (door.open || keys.some(key => key !== undefined && door.admitsKey(key))) return true;
    if (keys.length > 0) door.wrongKey(this.address);
    return false;
  }

  #refuse(kind: AgentRefusal, reason: string): void {
    this.#deadline?.cancel();
    this.#deadline = undefined;
    this.options.metrics.refusedAgent(this.options.pool.moduleId, kind);
    this.options.log.warn({ module: this.options.pool.moduleId, remote: this.peer, reason }, "agent refused");
    this.#socket?.close(CLOSE_POLICY, reason);
  }

  #register(register: Register): void {
    const { pool, clock, log, reception } = this.options;
    if (this.#socket === undefined) return;
    const link = new Link({
      socket: new LinkSocket(this.#socket),
      clock,
      side: "broker",
      wire: reception.wire(this.version),
      liveness: reception.liveness,
      events: {
        onControl: message => this.#onControl(message),
        onGoaway: () => {
          const { worker } = this.#about();
          pool.change(worker, () => {
            worker.draining = true;
          });
        },
        onClosed: (code, reason) => {
          const { worker, fields } = this.#about();
          pool.leave(worker);
          log.info({ ...fields, code, reason }, "worker disconnected");
        },
      },
    });
    this.#link = link;
    const worker = new Worker(link, register, this.peer, clock, pool.settings.maxSeats);
    this.#worker = worker;
    const older = pool.join(worker);
    older?.link.close(CLOSE_POLICY, "replaced by a newer connection");
    const { fields } = this.#about();
    log.info(
      {
        ...fields,
        models: worker.models.size,
        max_concurrency: worker.maxConcurrency,
        version: worker.version,
        ...(worker.drainedByOperator && { drained_by_operator: true }),
      },
      "worker registered",
    );
  }

  #about(): { worker: Worker; fields: object } {
    const worker = this.#worker;
    if (worker === undefined) throw new NfrxError("internal", "a link without a worker");
    const { moduleId } = this.options.pool;
    return {
      worker,
      fields: {
        module: moduleId,
        worker_id: worker.id,
        worker_name: worker.name,
        wire: this.version,
        remote: this.peer,
      },
    };
  }

  #onControl(message: { type?: unknown }): void {
    const { worker, fields } = this.#about();
    const { pool, log, clock } = this.options;
    if (message.type === "heartbeat") {
      const beat = heartbeatMessage.safeParse(message);
      if (!beat.success) return log.warn({ ...fields, problem: beat.error.issues[0]?.message }, "malformed heartbeat");
      worker.lastHeartbeat = clock.wall();
      // One that was silent for too long to get work may have it again.
      pool.wake();
      worker.hostCpuPercent = beat.data.host_cpu_percent ?? worker.hostCpuPercent;
      worker.hostRamUsedPercent = beat.data.host_ram_used_percent ?? worker.hostRamUsedPercent;
    } else if (message.type === "status_update") {
      const status = statusMessage.safeParse(message);
      if (!status.success)
        return log.warn({ ...fields, problem: status.error.issues[0]?.message }, "malformed status update");
      pool.change(worker, () => worker.update(status.data));
      log.info(
        { ...fields, state: worker.state, models: worker.models.size, max_concurrency: worker.maxConcurrency },
        "worker changed",
      );
    }
  }
}

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
  for (const worker of [...pool.registry.workers]) worker.link.close(CLOSE_RESTART, "the broker is going away");
}
