// A registered agent: its link, its worker, and its later reports.
import type { Logger } from "../../lib/log.ts";
import type { Clock } from "../../lib/time.ts";
import { CLOSE_POLICY, CONTROL_BYTES, CONTROL_MAX, CONTROL_WINDOW_MS } from "../../protocol/limits.ts";
import { Link } from "../../protocol/link.ts";
import { freeSlotsMessage, heartbeatMessage, type Register, statusMessage } from "../../protocol/messages.ts";
import type { Liveness, Socket, Wire } from "../../protocol/wire.ts";
import type { Pool } from "./pool.ts";
import { Worker } from "./worker.ts";

export interface MembershipOptions {
  socket: Socket;
  register: Register;
  /** The address at the other end. */
  remote: string;
  wire: (link: Link) => Wire;
  liveness: Liveness | undefined;
  /** Additional log fields at registration. */
  fields?: ((worker: Worker) => object) | undefined;
  pool: Pool;
  clock: Clock;
  log: Logger;
}

/** One agent's membership of a pool, from its registration to the end of its link. */
export class Membership {
  readonly link: Link;
  readonly #worker: Worker;
  readonly #options: MembershipOptions;
  readonly #about: object;
  #controls = 0;
  #controlsSince: number;

  /** Joins the pool; an older connection of the same id is closed. */
  constructor(options: MembershipOptions) {
    const { socket, register, remote, wire, liveness, pool, clock, log } = options;
    this.#options = options;
    this.#controlsSince = clock.now();
    this.link = new Link({
      socket,
      clock,
      side: "broker",
      wire,
      liveness,
      events: {
        onControl: (message, length) => this.#onControl(message, length),
        onGoaway: () => {
          pool.change(this.#worker, () => {
            this.#worker.draining = true;
          });
        },
        onClosed: (code, reason) => {
          pool.leave(this.#worker);
          log.info({ ...this.#about, code, reason }, "worker disconnected");
        },
      },
    });
    const worker = new Worker(this.link, register, remote, clock, pool.settings.maxSlots);
    this.#worker = worker;
    const { id, name } = worker;
    this.#about = { module: pool.moduleId, worker_id: id, worker_name: name, wire: worker.wire, remote };
    const older = pool.join(worker);
    older?.upstream.close(CLOSE_POLICY, REPLACED);
    const { models, maxConcurrency: max_concurrency, version, drainedByOperator } = worker;
    log.info(
      {
        ...this.#about,
        models: models.size,
        max_concurrency,
        version,
        ...(drainedByOperator && { drained_by_operator: true }),
        ...options.fields?.(worker),
      },
      "worker registered",
    );
  }

  #onControl(message: { type?: unknown }, length: number): void {
    if (this.#isTooMuch(message, length)) return;
    const worker = this.#worker;
    const { pool, log, clock } = this.#options;
    if (message.type === "heartbeat") {
      const beat = heartbeatMessage.safeParse(message);
      if (!beat.success)
        return log.warn({ ...this.#about, problem: beat.error.issues[0]?.message }, "malformed heartbeat");
      worker.lastHeartbeat = clock.wall();
      worker.forgetTaken();
      // One that was silent for too long to get work may have it again.
      pool.wake();
      worker.hostCpuPercent = beat.data.host_cpu_percent ?? worker.hostCpuPercent;
      worker.hostRamUsedPercent = beat.data.host_ram_used_percent ?? worker.hostRamUsedPercent;
    } else if (message.type === "free_slots") {
      const report = freeSlotsMessage.safeParse(message);
      if (!report.success)
        return log.warn({ ...this.#about, problem: report.error.issues[0]?.message }, "malformed report of free slots");
      worker.reportFree(report.data.free);
      pool.wake();
    } else if (message.type === "status_update") {
      const status = statusMessage.safeParse(message);
      if (!status.success)
        return log.warn({ ...this.#about, problem: status.error.issues[0]?.message }, "malformed status update");
      pool.change(worker, () => worker.update(status.data));
      log.info(
        { ...this.#about, state: worker.state, models: worker.models.size, max_concurrency: worker.maxConcurrency },
        "worker changed",
      );
    }
  }

  /** Closes the link of an agent that sends too many control messages. */
  #isTooMuch(message: { type?: unknown; models?: unknown }, length: number): boolean {
    const now = this.#options.clock.now();
    if (now - this.#controlsSince >= CONTROL_WINDOW_MS) {
      this.#controlsSince = now;
      this.#controls = 0;
    }
    const listsModels = message.type === "status_update" && Array.isArray(message.models);
    const reason =
      length > CONTROL_BYTES && !listsModels
        ? `a control message has more than ${CONTROL_BYTES} bytes`
        : ++this.#controls > CONTROL_MAX
          ? `more than ${CONTROL_MAX} control messages a second`
          : undefined;
    if (reason === undefined) return false;
    this.#options.log.warn({ ...this.#about, reason }, "closing a worker that sent too many messages");
    this.link.close(CLOSE_POLICY, reason);
    return true;
  }
}

/** Close reason of a connection whose ID was taken over. */
export const REPLACED = "replaced by a newer connection";
