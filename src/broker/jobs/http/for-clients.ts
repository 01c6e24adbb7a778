// The jobs queue for clients.
import type { Clock } from "../../../lib/time.ts";
import type { Principal, RouteCall } from "../../../modules/route.ts";
import { NO_CREDENTIAL } from "../../http/access/principal.ts";
import { Shares } from "../../http/access/shares.ts";
import type { BodyLimits } from "../../http/body/body.ts";
import { isTerminal, type Job } from "../job.ts";
import { JOB_LISTENERS_MAX } from "../limits.ts";
import type { Channels } from "../queue/channels.ts";
import { eventText, type JobEvent, transferEvents } from "../queue/events.ts";
import type { JobService } from "../queue/service.ts";
import { viewText } from "../queue/view.ts";
import { idOf, type JobsHttp, json, requireGet } from "./jobs-http.ts";
import * as requests from "./request-schemas.ts";
import type { JobEventStream } from "./sse-response.ts";

export interface ClientRoutesOptions {
  readonly service: JobService;
  readonly channels: Channels;
  readonly bodies: BodyLimits;
  readonly clock: Clock;
  /** How long a stream of events stays open behind the job's last status. */
  readonly closeDelayMs: number;
}

/** The routes for creating, reading and following jobs. */
export class ClientRoutes {
  readonly #streams = new Shares(JOB_LISTENERS_MAX, "streams of job events");

  constructor(
    private readonly http: JobsHttp,
    private readonly options: ClientRoutesOptions,
  ) {}

  async create(call: RouteCall): Promise<Response> {
    const { service, bodies } = this.options;
    const { request, principal } = call;
    const wanted = await requests.readCreate(call, bodies);
    const idempotency = requests.idempotencyOf(request.headers, wanted);
    const [owner, { caller }] = [ownerOf(principal), principal];
    const { job, added } = await service.create({ ...wanted, owner, caller, idempotency });
    const headers = added ? {} : { "idempotent-replayed": "true" };
    return Response.json({ job_id: job.id, status: job.status }, { headers });
  }

  async list({ request, principal }: RouteCall): Promise<Response> {
    const query = requests.listOf(new URL(request.url).searchParams);
    const jobs = await this.options.service.list({ ...query, owner: ownerOf(principal) });
    return json(`{"jobs":[${jobs.map(job => viewText(job)).join()}]}`);
  }

  async get(call: RouteCall): Promise<Response> {
    const { job, position } = await this.options.service.get(idOf(call));
    return json(viewText(job, position));
  }

  async cancel(call: RouteCall): Promise<Response> {
    const { status } = await this.options.service.cancel(idOf(call));
    return Response.json({ status });
  }

  async events(call: RouteCall): Promise<Response> {
    const { service } = this.options;
    const { request, server, principal } = call;
    const id = idOf(call);
    requireGet(request);
    // An unknown ID is not followed.
    await service.get(id);
    let tell = (event: JobEvent): void => void early.push(event);
    const early: JobEvent[] = [];
    const leave = this.#streams.take(principal.caller);
    let unlisten = (): void => {};
    const end = (): void => {
      leave();
      unlisten();
    };
    try {
      unlisten = service.listen(id, event => tell(event));
      const { job, position } = await service.get(id);
      const first = this.#firstEvents(job, position, requests.lastEventOf(request.headers));
      // Tells a client that reconnects automatically that there are no further events.
      if (first.length === 0 && isTerminal(job.status)) {
        end();
        return new Response(null, { status: 204 });
      }
      server.timeout(request, 0);
      const stream = this.http.open(call);
      if (stream.ended.aborted) end();
      else stream.ended.addEventListener("abort", end, { once: true });
      // The job that was read may be newer than the reported events.
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
  }

  /** The first events for a client: the missed ones if known, else the current job and its pending transfers. */
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
    // A client that is disconnected among them has no event ID and gets all of them again.
    const idAt = (at: number): string | number => (at === events.length - 1 ? job.rev : `${job.rev - 1}.${at + 1}`);
    return events.map((event, at) => eventText(event, idAt(at), position));
  }

  #tell(stream: JobEventStream, event: JobEvent): void {
    stream.send(eventText(event, event.id));
    if (event.kind === "status" && isTerminal(event.job.status)) this.#closeSoon(stream);
  }

  #closeSoon(stream: JobEventStream): void {
    const { clock, closeDelayMs } = this.options;
    if (closeDelayMs === 0) return stream.close();
    const timer = clock.after(closeDelayMs, () => stream.close(), true);
    stream.ended.addEventListener("abort", () => timer.cancel(), { once: true });
  }
}

/** The owner of a caller's jobs: its key; with a role, or if no key is required, all callers without a key. */
function ownerOf({ kind, credential }: Principal): string {
  return kind === "api" ? credential : NO_CREDENTIAL;
}
