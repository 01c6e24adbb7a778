import type { Drain } from "../../lib/drain.ts";
import type { TrustedProxies } from "../../lib/http.ts";
import { IdleLimit } from "../../lib/idle-limit.ts";
import type { Logger } from "../../lib/log.ts";
import { type Clock, isoTime } from "../../lib/time.ts";
import type { RelaySettings } from "../../modules/module.ts";
import type { RelaysState } from "../../modules/state.ts";
import type { Authenticator } from "../http/access/authenticator.ts";
import type { OwnKeys } from "../http/access/own-keys.ts";
import type { BodyLimits } from "../http/body/body.ts";
import type { BrokerMetrics } from "../observe/metrics.ts";
import type { Admission } from "../pool/admission.ts";
import { AgentAcceptor } from "../pool/agent-acceptor.ts";
import type { WorkerRecord } from "../pool/directory.ts";
import { LocalOwnerMap, Owners } from "../pool/owners.ts";
import { Pool } from "../pool/pool.ts";
import type { Worker } from "../pool/worker.ts";
import { CallerAdmission } from "./caller-admission.ts";
import { Calls } from "./calls.ts";
import { isReplica, relayHandshake } from "./handshake.ts";
import { Relay } from "./relay.ts";
import { SESSIONS_MAX, Sessions } from "./sessions.ts";

/** Maximum number of calls that wait for relays. */
const WAITING_MAX = 1_000;

/** Maximum number of event streams per relay, in addition to its calls. */
const LISTENERS_MAX = 4096;

export interface RelaysOptions {
  /** The name of this broker among several. */
  node: string;
  settings: RelaySettings;
  authenticator: Authenticator;
  ownKeys: OwnKeys;
  publicUrl: string | undefined;
  proxies: TrustedProxies;
  drain: Drain;
  clock: Clock;
  log: Logger;
  metrics: BrokerMetrics;
  limits: BodyLimits;
  admission: Admission;
  expose: boolean;
}

/** Maximum number of calls in flight shown in the state. */
const CALLS_SHOWN_MAX = 200;

/** The id of a relay: its only model. */
const idOf = ({ models }: WorkerRecord): string => [...models][0] ?? "";

/** Its workers keep the id that they were let in with, whatever they say later. */
class RelayPool extends Pool {
  /** Connections of the older series have no lasting id of their own; what lasts is the relay's, unless it is shared. */
  override handleOf(worker: WorkerRecord): string {
    return isReplica(worker.facts) ? worker.id : idOf(worker);
  }

  override change(worker: Worker, apply: () => void): void {
    const { models } = worker;
    super.change(worker, () => {
      apply();
      worker.models = models;
    });
  }
}

/** The relays of a broker: a pool whose labels are their IDs, the agents' endpoint, and the path of their requests. */
export class Relays {
  readonly pool: Pool;
  readonly acceptor: AgentAcceptor;
  readonly relay: Relay;
  readonly admission: CallerAdmission;
  readonly sessions: Sessions;
  readonly #calls: Calls;
  readonly #settings: RelaySettings;
  readonly #clock: Clock;

  constructor(options: RelaysOptions) {
    const { settings, clock, log, metrics, drain, limits } = options;
    this.#settings = settings;
    this.#clock = clock;
    const { maxConcurrencyPerClient: slots, queueTimeoutMs = 0 } = settings;
    this.pool = new RelayPool("mcp", clock, {
      queueSize: queueTimeoutMs > 0 ? WAITING_MAX : 0,
      queueTimeoutMs,
      queueUpdateMs: 0,
      graceMs: 0,
      minScore: 1,
      maxParallel: 1,
      maxSlotExempt: LISTENERS_MAX,
      maxSlots: slots,
    });
    const { directory } = this.pool;
    this.#calls = new Calls(clock, id => directory.serves(id));
    directory.onChanged(({ kind, worker }) => {
      if (kind === "leave" && !directory.serves(idOf(worker))) this.#calls.forget(idOf(worker));
    });
    this.admission = new CallerAdmission({
      directory,
      requireApiKey: settings.requireApiKey,
      allowOpen: settings.allowOpen ?? false,
    });
    const liveness = { pingMs: settings.wsHeartbeatMs, deadMs: settings.wsDeadAfterMs };
    this.acceptor = new AgentAcceptor({
      handshake: relayHandshake(liveness, slots, worker => this.#guardFields(worker)),
      pool: this.pool,
      authenticator: options.authenticator,
      clock,
      log,
      metrics,
      admission: options.admission,
    });
    const owners = new Owners(new LocalOwnerMap(clock, SESSIONS_MAX), options.node, Number.POSITIVE_INFINITY);
    this.sessions = new Sessions(options.node, owners, new LocalOwnerMap(clock, SESSIONS_MAX));
    this.relay = new Relay({
      pool: this.pool,
      owners,
      metrics,
      clock,
      log,
      // A tool may think for as long as it likes; a relay that is lost is noticed by its silence.
      idle: new IdleLimit(clock, 0),
      retryLost: 0,
      publicUrl: options.publicUrl,
      proxies: options.proxies,
      ownKeys: options.ownKeys,
      drain,
      sessions: this.sessions,
      calls: this.#calls,
      limits,
      maxAnswerBytes: settings.maxRespBytes,
      expose: options.expose,
    });
  }

  /** Log fields about a relay's authentication. */
  #guardFields(worker: WorkerRecord): object {
    const guard = this.admission.guardOf(worker);
    const refused = worker.asksToBeOpen && guard === "api_key";
    return { guard, ...(refused && { note: "MCP_OPEN has no effect: MCP_ALLOW_OPEN is not set at the broker" }) };
  }

  /** The relays in the state. */
  state(): RelaysState {
    const { pool } = this;
    const { maxConcurrencyPerClient, maxReqBytes, maxRespBytes, requireApiKey, allowOpen } = this.#settings;
    return {
      clients: pool.directory.records().map(worker => ({
        id: idOf(worker),
        worker_id: pool.handleOf(worker),
        name: worker.name,
        guard: this.admission.guardOf(worker),
        status: worker.inflight > 0 ? "active" : "idle",
        ready: worker.state !== "not_ready",
        draining: worker.state === "draining",
        drained_by_operator: worker.drainedByOperator,
        inflight: worker.inflight,
        max_concurrency: worker.maxConcurrency,
        listeners: worker.slotExempt,
        functions: this.#calls.functionsOf(idOf(worker)),
        version: worker.version,
        wire: worker.wire,
        connected_at: isoTime(worker.connectedAt),
        last_heartbeat: isoTime(worker.lastHeartbeat),
        last_error: worker.lastError,
        host_info: worker.hostInfo,
      })),
      sessions: this.#calls.list(CALLS_SHOWN_MAX),
      sessions_total: this.#calls.size,
      limits: {
        max_concurrency_per_client: maxConcurrencyPerClient,
        max_req_bytes: maxReqBytes,
        max_resp_bytes: maxRespBytes,
        require_api_key: requireApiKey,
        allow_open: allowOpen ?? false,
      },
      recent: pool.recent.view(this.#clock.now(), this.#clock.wall()),
    };
  }
}
