// The jobs queue for job workers.
import type { Drain } from "../../../lib/drain.ts";
import { KEEP_ALIVE, sseEvent } from "../../../lib/sse.ts";
import type { Clock } from "../../../lib/time.ts";
import type { RouteCall } from "../../../modules/route.ts";
import { Shares } from "../../http/access/shares.ts";
import type { BodyLimits } from "../../http/body/body.ts";
import type { Claimer, Job, JobTransfer } from "../job.ts";
import { CLAIM_WAITERS_MAX } from "../limits.ts";
import type { WorkerActivity } from "../queue/activity.ts";
import type { JobService } from "../queue/service.ts";
import { StreamClaims } from "../queue/stream-claims.ts";
import { claimText, transferAnswer } from "../queue/view.ts";
import { yieldToEventLoop } from "../queue/yield-to-event-loop.ts";
import { idOf, type JobsHttp, json, requireGet } from "./jobs-http.ts";
import * as requests from "./request-schemas.ts";
import type { JobEventStream } from "./sse-response.ts";

export interface WorkerRoutesOptions {
  readonly service: JobService;
  readonly activity: WorkerActivity;
  readonly bodies: BodyLimits;
  readonly drain: Drain;
  readonly clock: Clock;
}

/** The routes for claiming jobs, transferring data and reporting. */
export class WorkerRoutes {
  readonly #claimWaiters = new Shares(CLAIM_WAITERS_MAX, "waiting claims and job streams");

  constructor(
    private readonly http: JobsHttp,
    private readonly options: WorkerRoutesOptions,
  ) {}

  async claim(call: RouteCall): Promise<Response> {
    const { service, bodies, clock, activity, drain } = this.options;
    const { request, server, principal } = call;
    const { claimer, waitMs } = await requests.readClaim(call, bodies);
    // It may have begun while the body came.
    drain.enter()();
    activity.saw(claimer, "poll");
    const release = this.#claimWaiters.take(principal.caller);
    server.timeout(request, 0);
    const claimUntil = async (signal: AbortSignal) => service.claim(claimer, signal);
    const waited = new AbortController();
    const timer = clock.after(waitMs, () => waited.abort(), true);
    if (waitMs === 0) waited.abort();
    const job = await claimUntil(AbortSignal.any([request.signal, waited.signal])).finally(() => {
      timer.cancel();
      release();
    });
    if (job === undefined) return new Response(null, { status: 204 });
    if (!(await this.#reaches(job, request.signal))) return new Response(null, { status: 204 });
    activity.saw(claimer, "poll", job);
    return json(claimText(job));
  }

  /** A worker's stream: it claims a job whenever the worker has taken the one before and holds fewer than `max`. */
  stream(call: RouteCall): Response {
    const { service, activity } = this.options;
    const { request, server, principal } = call;
    requireGet(request);
    const { claimer, max } = requests.streamOf(new URL(request.url).searchParams);
    const release = this.#claimWaiters.take(principal.caller);
    server.timeout(request, 0);
    const stream = this.http.open(call);
    // So that the worker sees that it is open.
    stream.send(KEEP_ALIVE);
    const closed = activity.streams(claimer);
    const claims = new StreamClaims(service.streamed, max, stream.ended);
    void this.#feed(stream, claimer, claims).finally(() => {
      release();
      closed();
      stream.close();
      // A broker that stops takes nothing away from workers that go on.
      for (const job of claims.close()) if (!this.http.closing) void this.#giveBack(job, true);
    });
    return stream.response;
  }

  payload(call: RouteCall): Promise<Response> {
    return this.#transfer(call, "payload");
  }

  result(call: RouteCall): Promise<Response> {
    return this.#transfer(call, "result");
  }

  async status(call: RouteCall): Promise<Response> {
    const { service, bodies } = this.options;
    const { by, news } = await requests.readReport(call, bodies);
    const { status } = await service.report(idOf(call), by, news);
    return Response.json({ status });
  }

  async heartbeat(call: RouteCall): Promise<Response> {
    const { service, bodies } = this.options;
    const { status, claim } = await service.heartbeat(idOf(call), await requests.readHeartbeat(call, bodies));
    return Response.json({ status, lease_seconds: (claim?.leaseMs ?? 0) / 1000 });
  }

  async #transfer(call: RouteCall, role: JobTransfer["role"]): Promise<Response> {
    const { service, bodies } = this.options;
    const { by, wanted } = await requests.readTransfer(call, bodies, role);
    const { caller } = call.principal;
    return json(transferAnswer(await service.transfer(idOf(call), by, { ...wanted, caller })));
  }

  async #feed(stream: JobEventStream, claimer: Claimer, claims: StreamClaims): Promise<void> {
    const { service, activity } = this.options;
    const claim = async () => service.claim(claimer, stream.ended);
    for (;;) {
      await claims.room();
      if (stream.ended.aborted) return;
      // One that may not wait, because too many do or the broker drains, is sent away.
      const job = await claim().catch(() => undefined);
      if (job === undefined) return;
      claims.add(job);
      if (!(await this.#reaches(job, stream.ended))) return;
      stream.send(sseEvent(claimText(job), { event: "job" }));
      activity.saw(claimer, "stream", job);
      await stream.drained();
      // The worker has not read it, and may not read what follows.
      if (stream.unread > 0) return this.#giveBack(job);
    }
  }

  /** False when the worker's connection has ended before the claim could be written to it; the job then goes back. */
  async #reaches(job: Job, gone: AbortSignal): Promise<boolean> {
    await yieldToEventLoop();
    if (!gone.aborted) return true;
    await this.#giveBack(job);
    return false;
  }

  /** If this fails, the lease expires instead. */
  async #giveBack(job: Job, untouched = false): Promise<void> {
    await this.options.service.giveBack(job, untouched).catch(() => {});
  }
}
