// The jobs API as its clients and workers use it.
import { Events, type StreamEvent } from "../http/events.ts";
import { API_KEY, CLIENT_KEY } from "../world.ts";

/** An answer: its status, and its body as JSON. */
export interface Answer<T> {
  status: number;
  body: T;
  headers: Headers;
}

export interface JobView {
  id: string;
  type: string;
  status: string;
  priority?: number;
  metadata?: Record<string, unknown>;
  worker_id?: string;
  worker_group?: string;
  claimed_worker_id?: string;
  claimed_worker_group?: string;
  progress?: Record<string, unknown>;
  error?: { code: string; message: string };
  payloads?: Record<string, TransferView>;
  results?: Record<string, TransferView>;
  queue_position?: number;
  created_at: string;
  updated_at: string;
}

interface TransferView {
  key: string;
  channel_id: string;
  method: string;
  url: string;
  expires_at: string;
  properties?: Record<string, unknown>;
}

export interface ClaimView {
  job_id: string;
  type: string;
  metadata: Record<string, unknown> | null;
  worker_id: string;
  worker_group: string;
  claimed_worker_id: string;
  claimed_worker_group: string;
  claim_id: string;
  lease_seconds: number;
  attempt: number;
}

interface ErrorView {
  error: string;
  message: string;
}

/** What a worker is told of a channel. */
interface ChannelView {
  key: string;
  channel_id: string;
  reader_url?: string;
  writer_url?: string;
  expires_at: string;
  properties?: Record<string, unknown>;
}

/** One event of a job with its number. */
export interface JobEventView extends StreamEvent {
  id: string;
}

type Fields = Record<string, unknown>;

export class JobsApi {
  constructor(
    readonly origin: string,
    /** Connections that are used again cost less; those that are not can be cut. */
    private readonly keepalive = true,
  ) {}

  /** A request below /api/jobs with a key of one's choice. */
  async send<T>(key: string, method: string, path: string, body?: unknown, init: RequestInit = {}): Promise<Answer<T>> {
    const response = await this.fetch(key, method, path, body, init);
    const text = await response.text();
    return { status: response.status, body: text === "" ? undefined : JSON.parse(text), headers: response.headers };
  }

  fetch(key: string, method: string, path: string, body?: unknown, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.origin}/api/jobs${path}`, {
      method,
      keepalive: this.keepalive,
      ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
      ...init,
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json", ...init.headers },
    });
  }

  create(fields: Fields, init?: RequestInit) {
    return this.send<{ job_id: string; status: string } & ErrorView>(API_KEY, "POST", "", fields, init);
  }

  /** The id of a new job. */
  async created(fields: Fields = {}): Promise<string> {
    const { status, body } = await this.create({ type: "test", ...fields });
    if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
    return body.job_id;
  }

  get(id: string) {
    return this.send<JobView>(API_KEY, "GET", `/${id}`);
  }

  list(query = "") {
    return this.send<{ jobs: JobView[] } & ErrorView>(API_KEY, "GET", query);
  }

  cancel(id: string) {
    return this.send<{ status: string } & ErrorView>(API_KEY, "POST", `/${id}/cancel`);
  }

  claim(fields: Fields = {}, init?: RequestInit) {
    return this.send<ClaimView & ErrorView>(CLIENT_KEY, "POST", "/claim", fields, init);
  }

  /** A claim that must be there. */
  async claimed(fields: Fields = {}): Promise<ClaimView> {
    const { status, body } = await this.claim(fields);
    if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
    return body;
  }

  payload(id: string, fields?: Fields) {
    return this.send<ChannelView & ErrorView>(CLIENT_KEY, "POST", `/${id}/payload`, fields);
  }

  result(id: string, fields?: Fields) {
    return this.send<ChannelView & ErrorView>(CLIENT_KEY, "POST", `/${id}/result`, fields);
  }

  status(id: string, state: string, more: Fields = {}) {
    return this.send<{ status: string } & ErrorView>(CLIENT_KEY, "POST", `/${id}/status`, { state, ...more });
  }

  heartbeat(id: string, fields?: Fields) {
    return this.send<{ status: string; lease_seconds: number } & ErrorView>(
      CLIENT_KEY,
      "POST",
      `/${id}/heartbeat`,
      fields,
    );
  }

  async events(id: string, lastEventId?: string): Promise<JobEvents> {
    const headers = lastEventId === undefined ? {} : { "last-event-id": lastEventId };
    return new JobEvents(await this.fetch(API_KEY, "GET", `/${id}/events`, undefined, { headers }));
  }

  async stream(query = ""): Promise<JobEvents> {
    return new JobEvents(await this.fetch(CLIENT_KEY, "GET", `/stream${query}`));
  }
}

/** A stream of events of the jobs API. */
export class JobEvents {
  readonly status: number;
  readonly headers: Headers;
  readonly #events: Events | undefined;

  constructor(response: Response) {
    this.status = response.status;
    this.headers = response.headers;
    this.#events = response.body === null ? undefined : new Events(response);
  }

  /** The next event, comments aside; undefined at the end. */
  async next(): Promise<JobEventView | undefined> {
    for (;;) {
      const event = await this.#events?.next();
      if (event === undefined) return undefined;
      if (event.event !== "") return { ...event, id: /^id: (.*)$/m.exec(event.raw)?.[1] ?? "" };
    }
  }

  /** The job view of the next event, which must be a status. */
  async view(): Promise<JobView> {
    const event = await this.next();
    if (event?.event !== "status") throw new Error(`no status, but ${event?.raw}`);
    return JSON.parse(event.data);
  }

  /** The next event of a worker's stream. */
  async job(): Promise<ClaimView> {
    const event = await this.next();
    if (event?.event !== "job") throw new Error(`no job, but ${event?.raw}`);
    return JSON.parse(event.data);
  }

  /** Every event up to the end. */
  async all(): Promise<JobEventView[]> {
    const events: JobEventView[] = [];
    for (let event = await this.next(); event !== undefined; event = await this.next()) events.push(event);
    return events;
  }

  /** The next comment. */
  async comment(): Promise<string> {
    const event = await this.#events?.next();
    return event?.comments.join() ?? "";
  }

  async cancel(): Promise<void> {
    await this.#events?.cancel();
  }
}

/** Words for the statuses of events, in their order. */
export function statusesOf(events: readonly JobEventView[]): string[] {
  return events.map(({ event, data }) => (event === "status" ? String(JSON.parse(data).status) : event));
}
