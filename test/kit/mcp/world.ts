// A world for MCP in one call: a broker with relays, agents of nfrx-mcp, private servers, in this process.
import { type ProviderSettings, type RelayAgentOptions, relayAgent } from "../../../src/agent/relay-agent.ts";
import type { Agent } from "../../../src/agent/run.ts";
import { Broker, type BrokerOptions } from "../../../src/broker/broker.ts";
import type { Relays } from "../../../src/broker/relay/relays.ts";
import { brokerOptions } from "../../../src/config/broker.ts";
import { defaultsOf } from "../../../src/config/group.ts";
import type { Logger } from "../../../src/lib/log.ts";
import type { Tracing } from "../../../src/lib/tracing.ts";
import { mcpModule } from "../../../src/modules/mcp.ts";
import { mcpAgentOptions } from "../../../src/modules/mcp-provider.ts";
import type { RelaySettings } from "../../../src/modules/module.ts";
import { type RecordedRequest, type Respond, startBackend, status, type TestBackend } from "../backend/backend.ts";
import { Call, type CallAnswer, type CallInit } from "../http/call.ts";
import { linkOf } from "../protocol/link-of.ts";
import type { TestClock } from "../time/clock.ts";
import { Changes } from "../time/until.ts";
import { API_KEY, CLIENT_KEY, type LogLine } from "../world.ts";

/** The id of a relay unless a test gives one. */
export const RELAY = "tools";

/** What a client of Streamable HTTP always sends. */
export const MCP_HEADERS = { "Content-Type": "application/json", Accept: "application/json, text/event-stream" };

/** A call as it is on the wire. */
export const rpc = (id: number | string, method: string, params: object = {}): string =>
  JSON.stringify({ jsonrpc: "2.0", id, method, params });

/** Answers with the result of a call: 200 and JSON. */
export const result =
  (value: object = {}, headers: Record<string, string> = {}): Respond =>
  (request, recorded) =>
    status(200, { jsonrpc: "2.0", id: idOf(recorded), result: value }, headers)(request, recorded);

function idOf(recorded: RecordedRequest): unknown {
  const body: unknown = recorded.json();
  return typeof body === "object" && body !== null && "id" in body ? body.id : null;
}

/** A private MCP server of the test's own making, at /mcp. The relay's own looks at it are kept apart. */
export class McpProvider {
  /** Answers every request but for the relay's own looks. */
  respond: Respond = result({ ok: true });
  /** Answers the relay's own looks. */
  probe: Respond = status(405);

  constructor(readonly backend: TestBackend) {
    backend.respond = (request, recorded) => (isProbe(recorded) ? this.probe : this.respond)(request, recorded);
  }

  get url(): string {
    return `${this.backend.origin}/mcp`;
  }

  /** What callers have asked, in order of arrival. */
  get requests(): RecordedRequest[] {
    return this.backend.requests.filter(request => !isProbe(request));
  }

  arrived(n: number): Promise<void> {
    return this.backend.when(() => this.requests.length >= n, `${n} calls at the provider`);
  }

  /** Resolves when `n` requests in all have lost whoever asked. */
  aborted(n: number): Promise<void> {
    return this.backend.when(
      () => this.requests.filter(({ aborted }) => aborted).length >= n,
      `${n} aborted calls at the provider`,
    );
  }
}

/** The relay looks without a word of MCP and wants no events. */
function isProbe({ method, headers }: RecordedRequest): boolean {
  return method === "GET" && headers.get("accept") === "application/json";
}

export interface McpWorldOptions {
  broker?: Partial<BrokerOptions["values"]>;
  relays?: Partial<RelaySettings>;
  /** The broker's clock; relays have the system's unless told. */
  clock?: TestClock;
  /** The broker's traces; a relay has its own. */
  tracing?: Tracing;
}

export interface RelayOptions extends Partial<Omit<RelayAgentOptions, "provider">> {
  provider?: Partial<ProviderSettings>;
  clientKey?: string;
}

export class McpWorld {
  readonly logs: LogLine[] = [];
  readonly agents: Agent[] = [];
  readonly broker: Broker;
  /** How each agent ended. */
  readonly runs: Promise<unknown>[] = [];
  readonly #backends: TestBackend[] = [];
  readonly #changes = new Changes();
  readonly #clock: TestClock | undefined;

  constructor(options: McpWorldOptions = {}) {
    this.#clock = options.clock;
    this.broker = Broker.start({
      values: {
        ...defaultsOf(brokerOptions),
        port: 0,
        host: "127.0.0.1",
        jobsStore: "memory",
        metricsOpen: true,
        apiKey: API_KEY,
        clientKey: CLIENT_KEY,
        ...options.broker,
      },
      modules: [
        mcpModule.configure({
          ...defaultsOf(mcpModule.options),
          // Each step of time is answered by every relay.
          ...(options.clock && { wsHeartbeatMs: STEP_MS }),
          // Few tests are about credentials.
          allowOpen: true,
          ...options.relays,
        }),
      ],
      log: this.log("broker"),
      tracing: options.tracing,
      ...(options.clock && { clock: options.clock }),
    });
    this.#tellOfSeats();
  }

  get origin(): string {
    return `http://127.0.0.1:${this.broker.port}`;
  }

  get connectUrl(): string {
    return `ws://127.0.0.1:${this.broker.port}/api/mcp/connect`;
  }

  get relays(): Relays {
    const { relays } = this.broker;
    if (relays === undefined) throw new Error("the broker serves no relays");
    return relays;
  }

  /** Where a relay is reached. */
  url(id = RELAY): string {
    return `${this.origin}/api/mcp/id/${id}`;
  }

  /** A provider of the test's own making. */
  async provider(port = 0): Promise<McpProvider> {
    const backend = await startBackend({ port });
    this.#backends.push(backend);
    return new McpProvider(backend);
  }

  /** An agent in front of a provider, which it may or may not reach; it has begun to run when this returns. */
  start(
    provider: { url: string },
    { provider: settings, clientKey = CLIENT_KEY, ...options }: RelayOptions = {},
  ): Agent {
    const agent = relayAgent({
      id: RELAY,
      provider: {
        ...defaultsOf(mcpAgentOptions),
        transportOrder: ["http"],
        providerUrl: provider.url,
        open: true,
        ...settings,
      },
      servers: [{ serverUrl: this.connectUrl, clientKey }],
      clientName: `relay-${this.agents.length + 1}`,
      reconnect: false,
      log: this.log("agent"),
      ...options,
    });
    this.agents.push(agent);
    this.runs.push(
      agent.run().then(
        () => "done",
        (error: unknown) => error,
      ),
    );
    return agent;
  }

  /** The same, registered by the time this resolves. */
  async relay(provider: { url: string }, options: RelayOptions = {}): Promise<Agent> {
    const agent = this.start(provider, options);
    await this.when(
      () => this.relays.pool.registry.get(agent.id) !== undefined && agent.state !== "connecting",
      `${agent.name} is registered`,
    );
    return agent;
  }

  /** A provider and a relay in front of it. */
  async pair(options: RelayOptions = {}): Promise<{ provider: McpProvider; agent: Agent }> {
    const provider = await this.provider();
    return { provider, agent: await this.relay(provider, options) };
  }

  /** A request to a relay over a socket of its own. */
  ask(init: CallInit & { id?: string; rest?: string } = {}): Call {
    const { id, rest = "", headers = {}, ...more } = init;
    const given = Array.isArray(headers) ? headers : Object.entries(headers);
    const has = (name: string): boolean => given.some(([one]) => one.toLowerCase() === name.toLowerCase());
    const usual = Object.entries(MCP_HEADERS).filter(([name]) => !has(name));
    return new Call(this.url(id) + rest, { ...more, headers: [...usual, ...given] });
  }

  /** A call and the whole of its answer. */
  call(body: CallInit["body"], init: Parameters<McpWorld["ask"]>[0] = {}): Promise<CallAnswer> {
    return this.ask({ ...(body !== undefined && { body }), ...init }).answer();
  }

  /** Resolves once `holds` does; it is asked again whenever anything is logged or asks for a seat. Bounded. */
  when(holds: () => boolean, what: string | (() => string), ms?: number): Promise<void> {
    return this.#changes.when(holds, what, ms);
  }

  /** Lets time pass for the broker while its relays answer its pings. */
  async pass(ms: number): Promise<void> {
    if (this.#clock === undefined) throw new Error("this world has the system's clock");
    for (let left = ms; left > 0; left -= STEP_MS) {
      const heard = [...this.relays.pool.registry.workers].map(({ upstream: { stats } }) => ({
        stats,
        before: stats.bytesIn,
      }));
      this.#clock.advance(Math.min(left, STEP_MS));
      if (left < STEP_MS) return;
      await this.when(() => heard.every(({ stats, before }) => stats.bytesIn > before), "an answer to a ping");
    }
  }

  /** A logger whose lines are kept in `logs`. */
  log(part: string): Logger {
    const line =
      (level: string) =>
      (fields: object, message: string): void => {
        this.logs.push({ level, message, fields: { part, ...fields } });
        this.#changes.notify();
        // What is logged is often said in the middle of a change: look again when it is done.
        setImmediate(() => this.#changes.notify());
      };
    return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error"), fatal: line("fatal") };
  }

  /** Resolves with the first line of this message, once it is there. */
  async said(message: string, holds: (line: LogLine) => boolean = () => true): Promise<LogLine> {
    const find = (): LogLine | undefined => this.logs.find(line => line.message === message && holds(line));
    await this.when(() => find() !== undefined, `"${message}" in the log`);
    return find()!;
  }

  /** What the state shows of the relays. */
  async state(): Promise<{ clients: Record<string, unknown>[]; sessions: Record<string, unknown>[] }> {
    const response = await fetch(`${this.origin}/api/state`, { headers: { authorization: `Bearer ${API_KEY}` } });
    const { plugins } = (await response.json()) as { plugins: { mcp: Awaited<ReturnType<McpWorld["state"]>> } };
    return plugins.mcp;
  }

  /** The lines of /metrics that begin with `name`, without those at zero. */
  async metrics(name: string): Promise<string[]> {
    const text = await (await fetch(`${this.origin}/metrics`)).text();
    return text.split("\n").filter(line => line.startsWith(name) && !line.endsWith(" 0"));
  }

  /** Everything that is under way, by kind. */
  get underway(): Record<string, number> {
    const { pool } = this.relays;
    const workers = [...pool.registry.workers];
    return {
      slots: pool.inflight,
      slotExempt: workers.reduce((sum, { slotExempt }) => sum + slotExempt, 0),
      streams: pool.streams,
      waiting: pool.waiting,
      drainable: this.broker.drain.inflight,
    };
  }

  /** Waits until nothing is under way; then what is still counted anywhere, which is nothing when all is well. */
  async leftovers(): Promise<Record<string, unknown>> {
    await this.when(
      () => Object.values(this.underway).every(count => count === 0),
      () => `nothing is left: ${JSON.stringify(this.underway)}`,
    );
    await Promise.all(this.#backends.map(backend => backend.idle()));
    const left: Record<string, unknown> = {};
    const { sessions } = await this.state();
    if (sessions.length > 0) left["calls"] = sessions;
    for (const line of await this.metrics("nfrx_")) if (GAUGES.test(line)) left[line] = true;
    return left;
  }

  /** Who comes in and who takes a seat is not logged: this tells the tests that wait for it. */
  #tellOfSeats(): void {
    const { drain } = this.broker;
    const { pool } = this.relays;
    const notify = (): void => {
      setImmediate(() => this.#changes.notify());
    };
    const enter = drain.enter.bind(drain);
    drain.enter = () => {
      notify();
      const leave = enter();
      return () => {
        leave();
        notify();
      };
    };
    const acquire = pool.acquire.bind(pool);
    pool.acquire = wanted => {
      notify();
      return acquire(wanted);
    };
    const join = pool.join.bind(pool);
    pool.join = worker => {
      const link = linkOf(worker);
      const receive = link.receive.bind(link);
      link.receive = message => {
        notify();
        receive(message);
      };
      return join(worker);
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.agents.map(agent => agent.shutdown(0)));
    await this.broker.stop();
    await Promise.all([...this.#backends.map(backend => backend.stop()), ...this.runs]);
  }
}

/** Time passes in steps that are shorter than a connection may be silent. */
const STEP_MS = 10_000;

const GAUGES =
  /^nfrx_(?:request_inflight|queue_length|seats_taken|drainable_inflight|buffered_body_bytes|spooled_body_bytes|tunnel_streams|unhandled_errors_total)\b/;

/** The JSON body of an answer. */
export function jsonOf(answer: { body: Buffer }): unknown {
  return JSON.parse(answer.body.toString());
}

/** The value of a header of an answer; undefined when it has none. */
export function headerOf(answer: { headers: [string, string][] }, name: string): string | undefined {
  return answer.headers.find(([one]) => one === name)?.[1];
}
