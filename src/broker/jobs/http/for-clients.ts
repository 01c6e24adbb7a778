// The jobs queue for those who want work done.
import type { Drain } from "../../../lib/drain.ts";
import type { Clock } from "../../../lib/time.ts";
import type { Authenticator } from "../../auth.ts";
import type { BodyLimits } from "../../http/body/body.ts";
import { withTicket } from "../../http/checks.ts";
import type { Tickets } from "../../http/tickets.ts";
import { Shares } from "../../shares.ts";
import { isTerminal, type Job } from "../job.ts";
import { JOB_LISTENERS_MAX } from "../limits.ts";
import type { Channels } from "../queue/channels.ts";
import { eventText, type JobEvent, transferEvents } from "../queue/events.ts";
import type { JobService } from "../queue/service.ts";
import { viewText } from "../queue/view.ts";
import { type JobCall, type JobsHttp, json, requireGet } from "./jobs-http.ts";
import * as requests from "./request-schemas.ts";
import type { EventStream } from "./sse-response.ts";

export interface ClientRoutesOptions {
  readonly service: JobService;
  readonly channels: Channels;
  readonly api: Authenticator;
  readonly tickets: Tickets;
  readonly bodies: BodyLimits;
  readonly drain: Drain;
  readonly clock: Clock;
  /** How long a stream of events stays open behind the job's last status. */
  readonly closeDelayMs: number;
}

/** The answers to those who create jobs, look at them and follow them. */
export class ClientRoutes {
  readonly #streams = new Shares(JOB_LISTENERS_MAX, "streams of job events");

  constructor(
    private readonly http: JobsHttp,
    private readonly options: ClientRoutesOptions,
  ) {}

  create(call: JobCall): Promise<Response> {
    const { service, api, bodies, drain } = this.options;
    const { request } = call;
    return this.http.counted(api, call, async () => {
      drain.enter()();
      const wanted = await requests.readCreate(request, bodies);
      const idempotency = requests.idempotencyOf(request.headers, wanted);
      const [owner, caller] = [this.#owner(request), this.http.callerOf(call)];
      const { job, added } = await service.create({ ...wanted, owner, caller, idempotency });
      const headers = added ? {} : { "idempotent-replayed": "true" };
      return Response.json({ job_id: job.id, status: job.status }, { headers });
    });
  }

  list(call: JobCall): Promise<Response> {
    const { service, api } = this.options;
    const { request } = call;
    return this.http.answer(api, call, async () => {
      const query = requests.listOf(new URL(request.url).searchParams);
      const jobs = await service.list({ ...query, owner: this.#owner(request) });
      return json(`{"jobs":[${jobs.map(job => viewText(job)).join()}]}`);
    });
  }

  get(call: JobCall): Promise<Response> {
    const { service, api } = this.options;
    const { id } = call;
    return this.http.answer(api, call, async () => {
      const { job, position } = await service.get(id);
      return json(viewText(job, position));
    });
  }

  cancel(call: JobCall): Promise<Response> {
    const { service, api } = this.options;
    const { id } = call;
    return this.http.counted(api, call, async () => {
      const { status } = await service.cancel(id);
      return Response.json({ status });
    });
  }

  events(call: JobCall): Promise<Response> {
    const { service, api, tickets } = this.options;
    const { request, id, disableIdleTimeout } = call;
    return this.http.answer(withTicket(tickets, request, api), call, async () => {
      requireGet(request);
      // An id that is nobody's is not listened to.
      await service.get(id);
      let tell = (event: JobEvent): void => void early.push(event);
      const early: JobEvent[] = [];
      const leave = this.#streams.take(this.http.callerOf(call));
      let unlisten = (): void => {};
      const end = (): void => {
        leave();
        unlisten();
      };
      try {
        unlisten = service.listen(id, event => tell(event));
        const { job, position } = await service.get(id);
        const first = this.#firstEvents(job, position, requests.lastEventOf(request.headers));
        // Tells a client that comes back by itself that there is nothing more.
        if (first.length === 0 && isTerminal(job.status)) {
          end();
          return new Response(null, { status: 204 });
        }
        disableIdleTimeout();
        const stream = this.http.open(call);
        if (stream.ended.aborted) end();
        else stream.ended.addEventListener("abort", end, { once: true });
        // The job that was read may be newer than what is reported of it.
        tell = event => {
          if (event.id > job.rev) this.#tell(stream, event);
        };
        stream.send(first.join("") || ": nothing new\n\n");
        if (isTerminal(job.status)) this.#closeSoon(stream);
        for (const event of early) tell(event);
        return stream.response;
      } catch (error) {
        end();
        throw error;
      }
    });
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
    return api.open || api.carriersOf(headers).length === 0 ? "-" : api.callerOf(headers);
  }
}
