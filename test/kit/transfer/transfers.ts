// The transfer channels alone, behind a server of their own, and clients that come to them.
import { AccessLog } from "../../../src/broker/http/access-log.ts";
import { mount } from "../../../src/broker/http/mount.ts";
import { BrokerMetrics } from "../../../src/broker/observe/metrics.ts";
import type { TransferLimits } from "../../../src/broker/transfer/limits.ts";
import { TransferMetrics } from "../../../src/broker/transfer/metrics.ts";
import { transferRoutes } from "../../../src/broker/transfer/routes.ts";
import { type End, Transfers } from "../../../src/broker/transfer/transfers.ts";
import { brokerOptions } from "../../../src/config/broker.ts";
import { defaultsOf } from "../../../src/config/group.ts";
import { Drain } from "../../../src/lib/drain.ts";
import type { Logger } from "../../../src/lib/log.ts";
import { authenticator } from "../broker/principal.ts";
import { Call, type CallInit } from "../http/call.ts";
import { TestClock } from "../time/clock.ts";
import { eventually } from "../time/until.ts";
import { API_KEY, CLIENT_KEY, type LogLine } from "../world.ts";

const { transferTtlMs, transferIdleMs, transferMaxChannels } = defaultsOf(brokerOptions);
/** What holds where no operator says otherwise. */
export const LIMITS: TransferLimits = { ttlMs: transferTtlMs, idleMs: transferIdleMs, channels: transferMaxChannels };

export const KEY = { Authorization: `Bearer ${API_KEY}` };

export class TransferWorld {
  readonly clock = new TestClock();
  readonly drain = new Drain();
  readonly logs: LogLine[] = [];
  readonly metrics = new BrokerMetrics();
  readonly transfers: Transfers;
  /** Bytes that were taken from writers. */
  bytes = 0;
  readonly #server: Bun.Server<undefined>;

  constructor(limits: Partial<TransferLimits> = {}) {
    const { clock, drain } = this;
    const metrics = new TransferMetrics(this.metrics);
    const count = metrics.bytes.bind(metrics);
    metrics.bytes = bytes => {
      this.bytes += bytes;
      count(bytes);
    };
    const log = this.#log();
    this.transfers = new Transfers({
      clock,
      drain,
      log,
      metrics,
      limits: { ...LIMITS, ...limits },
    });
    const app = mount(transferRoutes(this.transfers), {
      authenticator: authenticator({ api: API_KEY, client: CLIENT_KEY }),
      guard: { check: () => {} },
      drain,
      clock,
      server: () => this.#server,
      access: new AccessLog({ log, clock, enabled: true }),
      metrics: this.metrics,
    });
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      idleTimeout: 255,
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      fetch: request => app.fetch(request),
    });
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  url(id: string): string {
    return `${this.origin}/api/transfer/${id}`;
  }

  /** A reader on its way. */
  reader(id: string, init: CallInit = {}): Call {
    return new Call(this.url(id), { headers: KEY, ...init });
  }

  /** A writer on its way, whose body the test sends piece by piece unless it is given here. */
  writer(id: string, init: CallInit = {}): Call {
    return new Call(this.url(id), { headers: KEY, body: "chunked", ...init });
  }

  /** A channel with both ends on their way. */
  pair(init: CallInit = {}): { id: string; reader: Call; writer: Call } {
    const { id } = this.transfers.create();
    return { id, reader: this.reader(id), writer: this.writer(id, init) };
  }

  /** Resolves when this end of a channel is there, and waits for the other. */
  async waits(id: string, end: End): Promise<void> {
    await eventually(() => !this.transfers.awaits(id, end), `the ${end} to be there`);
  }

  /** Resolves when nobody uses a channel any more. */
  async quiet(): Promise<void> {
    await eventually(
      () => this.transfers.running + this.drain.inflight === 0,
      () => `nobody uses a channel (running ${this.transfers.running}, counted in ${this.drain.inflight})`,
    );
  }

  /** How the channels ended that have ended, in order. */
  get outcomes(): unknown[] {
    return this.logs
      .filter(({ message }) => message === "transfer ended" || message === "transfer failed")
      .map(({ fields }) => fields["outcome"]);
  }

  /** What a series of /metrics counts; NaN when there is none. */
  async metric(series: string): Promise<number> {
    const text = await (await this.metrics.response()).text();
    const line = text.split("\n").find(one => one.startsWith(`${series} `));
    return Number(line?.slice(series.length + 1) ?? Number.NaN);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.transfers.stop();
    await this.#server.stop(true);
  }

  #log(): Logger {
    const line =
      (level: string) =>
      (fields: object, message: string): void => {
        this.logs.push({ level, message, fields: { ...fields } });
      };
    return { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error"), fatal: line("fatal") };
  }
}

/** A short answer: its status and its body as JSON. */
export async function answerOf(client: Call): Promise<[number, unknown]> {
  const { status, body } = await client.answer();
  return [status, JSON.parse(body.toString())];
}

/** The value of one header of an answer. */
export function header({ headers }: { headers: [string, string][] }, name: string): string | undefined {
  return headers.find(([one]) => one === name)?.[1];
}
