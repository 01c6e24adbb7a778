// The jobs queue over HTTP.
import type { Drain } from "../../lib/drain.ts";
import { NfrxError, toNfrxError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";
import type { Clock } from "../../lib/time.ts";
import type { Access } from "../../modules/route.ts";
import { type Door, fingerprint } from "../auth.ts";
import type { BrokerMetrics } from "../observe/metrics.ts";
import { countRefusal } from "../observe/refusals.ts";
import type { BodyLimits } from "../proxy/body.ts";
import { errorResponse } from "../proxy/errors.ts";
import { refuseUpload } from "../proxy/refuse.ts";
import type { WorkerActivity } from "./activity.ts";
import type { Channels } from "./channels.ts";
import { eventText, type JobEvent, transferEvents } from "./events.ts";
import { type Claimer, isTerminal, type Job, type JobTransfer } from "./job.ts";
import * as requests from "./requests.ts";
import type { JobService } from "./service.ts";
import { EventStream } from "./sse.ts";
import { turn } from "./turn.ts";
import { claimText, transferAnswer, viewText } from "./view.ts";

export interface JobRoutesOptions {
  readonly service: JobService;
  readonly channels: Channels;
  readonly activity: WorkerActivity;
  /** Who creates jobs, and who does them. */
  readonly api: Door;
  readonly client: Door;
  readonly bodies: BodyLimits;
  readonly drain: Drain;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: BrokerMetrics;
  /** How long a stream of events stays open behind the job's last status. */
  readonly closeDelayMs: number;
}

/** A request to a route, and where it comes from. */
export interface Call {
  readonly request: Request;
  readonly access: Access;
  readonly peer: () => string;
  /** Lets the connection be quiet for as long as it likes. */
  readonly patience: () => void;
  /** The job's id in the path. */
  readonly id: string;
}

export class JobRoutes {
  readonly #streams = new Set<EventStream>();

  constructor(private readonly options: JobRoutesOptions) {}

  create(call: Call): Promise<Response> {
    const { service, api, bodies, drain } = this.options;
    const { request } = call;
    return this.#counted(api, call, async () => {
      drain.enter()();
      const wanted = await requests.readCreate(request, bodies);
      const idempotency = requests.idempotencyOf(request.headers, wanted);
      const { job, added } = await service.create({ ...wanted, owner: this.#owner(request), idempotency });
      const headers = added ? {} : { "idempotent-replayed": "true" };
      return Response.json({ job_id: job.id, status: job.status }, { headers });
    });
  }

  list(call: Call): Promise<Response> {
    const { service, api } = this.options;
    const { request } = call;
    return this.#answer(api, call, async () => {
      const query = requests.listOf(new URL(request.url).searchParams);
      const jobs = await service.list({ ...query, owner: this.#owner(request) });
      return json(`{"jobs":[${jobs.map(job => viewText(job)).join()}]}`);
    });
  }

  get(call: Call): Promise<Response> {
    const { service, api } = this.options;
    const { id } = call;
    return this.#answer(api, call, async () => {
      const { job, position } = await service.get(id);
      return json(viewText(job, position));
    });
  }

  cancel(call: Call): Promise<Response> {
    const { service, api } = this.options;
    const { id } = call;
    return this.#counted(api, call, async () => {
      const { status } = await service.cancel(id);
      return Response.json({ status });
    });
  }

  events(call: Call): Promise<Response> {
    const { service, api } = this.options;
    const { request, access, id, patience } = call;
    return this.#answer(api, call, async () => {
      requireGet(request);
      // An id that is nobody's is not listened to.
      await service.get(id);
      let tell = (event: JobEvent): void => void early.push(event);
      const early: JobEvent[] = [];
      const end = service.listen(id, event => tell(event));
      try {
        const { job, position } = await service.get(id);
        const first = this.#firstEvents(job, position, requests.lastEventOf(request.headers));
        // Tells a client that comes back by itself that there is nothing more.
        if (first.length === 0 && isTerminal(job.status)) {
          end();
          return new Response(null, { status: 204 });
        }
        patience();
        const stream = this.#open(request, access);
        if (stream.ended.aborted) end();
        else stream.ended.addEventListener("abort", end, { once: true });
        tell = event => this.#tell(stream, event);
        stream.send(first.join("") || ": nothing new\n\n");
        if (isTerminal(job.status)) this.#closeSoon(stream);
        for (const event of early) if (event.id > job.rev) this.#tell(stream, event);
        return stream.response;
      } catch (error) {
        end();
        throw error;
      }
    });
  }

  claim(call: Call): Promise<Response> {
    const { service, client, bodies, clock, activity, drain } = this.options;
    const { request, patience } = call;
    return this.#answer(client, call, async () => {
      const { claimer, waitMs } = await requests.readClaim(request, bodies);
      drain.enter()();
      activity.saw(claimer, "poll");
      patience();
      let leave = (): void => {};
      const waiting = service.claim(claimer, so => {
        leave = so;
      });
      if (waitMs === 0 || request.signal.aborted) leave();
      const timer = clock.after(waitMs, leave, true);
      request.signal.addEventListener("abort", leave, { once: true });
      const job = await waiting.finally(() => {
        timer.cancel();
        request.signal.removeEventListener("abort", leave);
      });
      if (job === undefined) return new Response(null, { status: 204 });
      if (!(await this.#reaches(job, request.signal))) return new Response(null, { status: 204 });
      activity.saw(claimer, "poll", job);
      return json(claimText(job));
    });
  }

  /** A worker's stream: it claims a job whenever the worker has taken the one before. */
  stream(call: Call): Promise<Response> {
    const { client, activity, drain } = this.options;
    const { request, access, patience } = call;
    return this.#answer(client, call, async () => {
      requireGet(request);
      const claimer = requests.claimerOf(new URL(request.url).searchParams);
      drain.enter()();
      patience();
      const stream = this.#open(request, access);
      // So that the worker sees that it is open.
      stream.send(": keep-alive\n\n");
      const closed = activity.streams(claimer);
      void this.#feed(stream, claimer).finally(() => {
        closed();
        stream.close();
      });
      return stream.response;
    });
  }

  payload(call: Call): Promise<Response> {
    return this.#transfer(call, "payload");
  }

  result(call: Call): Promise<Response> {
    return this.#transfer(call, "result");
  }

  status(call: Call): Promise<Response> {
    const { service, client, bodies } = this.options;
    const { request, id } = call;
    return this.#counted(client, call, async () => {
      const { by, news } = await requests.readReport(request, bodies);
      const { status } = await service.report(id, by, news);
      return Response.json({ status });
    });
  }

  heartbeat(call: Call): Promise<Response> {
    const { service, client, bodies } = this.options;
    const { request, id } = call;
    return this.#counted(client, call, async () => {
      const { status, claim } = await service.heartbeat(id, await requests.readHeartbeat(request, bodies));
      return Response.json({ status, lease_seconds: (claim?.leaseMs ?? 0) / 1000 });
    });
  }

  /** Ends every stream behind what has been written to it, and lets that leave. */
  async close(): Promise<void> {
    for (const stream of [...this.#streams]) stream.close();
    await turn();
  }

  #open({ signal }: Request, access: Access): EventStream {
    const stream = new EventStream(this.options.clock, signal, access);
    if (stream.ended.aborted) return stream;
    this.#streams.add(stream);
    stream.ended.addEventListener("abort", () => this.#streams.delete(stream), { once: true });
    return stream;
  }

  #transfer(call: Call, role: JobTransfer["role"]): Promise<Response> {
    const { service, client, bodies } = this.options;
    const { request, id } = call;
    return this.#counted(client, call, async () => {
      const { by, wanted } = await requests.readTransfer(request, bodies, role);
      return Response.json(transferAnswer(await service.transfer(id, by, wanted)));
    });
  }

  async #feed(stream: EventStream, claimer: Claimer): Promise<void> {
    const { service, activity } = this.options;
    let leave = (): void => {};
    stream.ended.addEventListener("abort", () => leave(), { once: true });
    while (!stream.ended.aborted) {
      const waiting = service.claim(claimer, so => {
        leave = so;
      });
      const job = await waiting.catch(() => undefined);
      if (job === undefined || !(await this.#reaches(job, stream.ended))) return;
      stream.send(`event: job\ndata: ${claimText(job)}\n\n`);
      activity.saw(claimer, "stream", job);
      await stream.drained();
      // The worker has not taken it; what comes behind it, it may leave unread.
      if (stream.unread > 0) return this.#giveBack(job);
    }
  }

  /** False when the worker's connection has ended before the claim could be written to it; the job then goes back. */
  async #reaches(job: Job, gone: AbortSignal): Promise<boolean> {
    await turn();
    if (!gone.aborted) return true;
    await this.#giveBack(job);
    return false;
  }

  /** What fails here, the lease makes good. */
  async #giveBack(job: Job): Promise<void> {
    await this.options.service.giveBack(job).catch(() => {});
  }

  /** What a client hears first: what it has missed when that is known, else how the job is and what waits for it. */
  #firstEvents(job: Job, position: number | undefined, last: number | undefined): string[] {
    const { service, channels } = this.options;
    if (last !== undefined && last <= job.rev) {
      const missed = last === job.rev ? [] : service.events.since(job.id, last);
      if (missed !== undefined)
        return missed.filter(({ id }) => id <= job.rev).map(event => eventText(event, event.id, position));
    }
    const open = transferEvents(job, last ?? 0).filter(({ transfer }) =>
      channels.awaitsClient(transfer?.channelId ?? ""),
    );
    const events: JobEvent[] = [{ id: job.rev, kind: "status", job }, ...open];
    // A client that is cut off among them has an id that is no event's, and hears all of them again.
    const idAt = (at: number): string | number => (at === events.length - 1 ? job.rev : `${job.rev - 1}.${at + 1}`);
    return events.map((event, at) => eventText(event, idAt(at), position));
  }

  #tell(stream: EventStream, event: JobEvent): void {
    stream.send(eventText(event, event.id));
    if (event.kind === "status" && isTerminal(event.job.status)) this.#closeSoon(stream);
  }

  #closeSoon(stream: EventStream): void {
    const { clock, closeDelayMs } = this.options;
    if (closeDelayMs === 0) return stream.close();
    const timer = clock.after(closeDelayMs, () => stream.close(), true);
    stream.ended.addEventListener("abort", () => timer.cancel(), { once: true });
  }

  /** Whose jobs the caller creates and lists: those of its key; with a role, or where none is needed, those of all without one. */
  #owner({ headers }: Request): string {
    const { api } = this.options;
    return api.open || api.carrierOf(headers) === undefined ? "-" : fingerprint(headers);
  }

  /** An answer that a shutdown waits for. */
  #counted(door: Door, call: Call, work: () => Promise<Response>): Promise<Response> {
    return this.#answer(door, call, async () => {
      const leave = this.options.drain.join();
      try {
        return await work();
      } finally {
        leave();
      }
    });
  }

  async #answer(door: Door, { request, peer, access }: Call, work: () => Promise<Response>): Promise<Response> {
    try {
      door.check(request.headers, peer);
      return await work();
    } catch (thrown) {
      const error = toNfrxError(thrown);
      countRefusal(this.options.metrics, error);
      // The API has one word for a state that is not there and for one that cannot be.
      const word = error.code === "unknown_state" ? "invalid_state" : error.code;
      const answer = errorResponse(error, "plain", access.id, { error: word, message: error.message });
      access.answered(answer);
      access.end(error);
      return refuseUpload(answer, request, this.options.clock);
    }
  }
}

/** Elysia asks for HEAD, too; to look must neither claim a job nor keep one alive. */
function requireGet({ method }: Request): void {
  if (method !== "GET") throw new NfrxError("method_not_allowed", `${method} is not for streams`);
}

function json(text: string): Response {
  return new Response(text, { headers: { "content-type": "application/json" } });
}
