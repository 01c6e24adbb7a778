// The one interface through which the broker and the agent know a module. A module is data: what it serves, how a
// request finds its worker, how its agent finds its backend. The code that runs it is the same for all.
import type { Html } from "../lib/html.ts";
import type { Operation } from "./route.ts";
import type { ModuleState } from "./state.ts";

/** How the label that routes a request is found in it. */
export type LabelSource =
  /** The string at the top level of a JSON body under `model`; `stream` beside it says whether events are wanted. */
  | "json-model"
  /** The part of a multipart form that is called `model`, wherever it stands; the part `stream` says whether events are wanted. */
  | "form-model"
  /** Any worker of the module will do. */
  | "none";

export type Method = "GET" | "POST" | "DELETE" | "OPTIONS";

/** The shape of error bodies. */
export type ErrorShape = "openai" | "anthropic" | "ollama" | "plain" | "json-rpc";

export interface Endpoint {
  /** The query of a GET travels with it. */
  method: Method;
  /** Below `/api/<module>`; a segment `:name` stands for any one segment. */
  path: string;
  /** What the agent appends to its backend's base URL, with the segments of `path` filled in. */
  backendPath: string;
  jobType: string;
  label: LabelSource;
  /** The answer may be an event stream, so queue events and keep-alive comments may open it. */
  events: boolean;
  /** Splits one request over several workers and merges their answers, when the request allows it. */
  fanout?: Fanout;
  /** Asks every worker, beside their seats, and makes one answer of theirs; pinned to a worker it asks that one. */
  gather?: Gather;
  /** The shape of its errors' bodies, when it is not its module's. */
  errors?: ErrorShape;
  /** How an answer tells its tokens, when it is not OpenAI's or Anthropic's way. */
  tokens?: "ollama";
  /**
   * Work that outlives its request. `starts`: the answer's `task_id` names a task that its worker goes on with.
   * `follows`: asks for the task that the segment `:task` names, at the worker that has it, without taking a seat.
   */
  task?: "starts" | "follows";
}

/** The pure half of asking everybody. */
export interface Gather {
  /** What one worker's answer, of status 200, holds, by its name. Throws when it is something else. */
  parse(answer: Uint8Array): ReadonlyMap<string, unknown>;
  /** The answer to the client out of what all of them hold. */
  merge(items: ReadonlyMap<string, unknown>): Uint8Array;
}

/** One request as many: the pure half; the broker's fan-out drives it. */
export interface Fanout {
  /** The request's parts, or undefined when it is to go through whole. */
  split(body: unknown): SplitRequest | undefined;
  /** How many items the answer to a body holds that goes through whole; 1 for one that was too large to be parsed. */
  items(body: unknown): number;
}

export interface SplitRequest {
  /** How many items there are to share out. */
  items: number;
  /** The body for the items from `start` up to, not including, `end`. */
  part(start: number, end: number): Uint8Array;
  /** Reads one part's answer. Throws when it is not what the request asked for. */
  parse(answer: Uint8Array, count: number): PartAnswer;
  /** The one answer to the client out of all parts, in the order of their items. */
  merge(parts: readonly PartAnswer[]): Uint8Array;
}

export interface PartAnswer {
  /** How many items the answer holds. */
  items: number;
  usage: Usage;
  content: unknown;
}

/** Tokens as OpenAI-compatible backends report them. */
export interface Usage {
  in: number;
  out: number;
  total: number;
}

/** What a backend says when it is asked how it is. */
export interface ProbeResult {
  models: string[];
  /** Facts for the broker: `backend_version`, `backend_family`. */
  facts: Record<string, string>;
}

/** The private service behind an agent. */
export interface Backend {
  /** No slash at the end; request paths are appended to it. */
  baseUrl: string;
  /** Requests for paths below `prefix` go to another address of it, without the prefix. */
  mounts?: readonly { readonly prefix: string; readonly baseUrl: string }[];
  /** Sent as a bearer token. */
  apiKey: string | undefined;
  /** A header that carries the key too, for servers that look there. */
  keyHeader?: string;
  /** Milliseconds between looks at the backend. */
  pollMs: number;
  /** Facts the agent states of itself from its options. */
  facts: Record<string, string>;
  /** Asks the backend for its models and version. Rejects with the reason when it is not there or not well. */
  probe(ask: Ask): Promise<ProbeResult>;
}

/** GETs `url` with the backend's key; the body's text. Rejects on a status other than 2xx and after a bounded time. */
export type Ask = (url: string) => Promise<string>;

/** Milliseconds between looks at a backend whose agent has no option for it. */
export const LOOK_MS = 30_000;

/** An endpoint as clients see it. */
export interface PublicEndpoint extends Endpoint {
  operation: Operation;
}

export interface WorkerModule {
  id: string;
  /** What it is for, in one sentence. */
  summary: string;
  endpoints: PublicEndpoint[];
  /** Lists its models at GET /v1/models. */
  listsModels: boolean;
  errors: ErrorShape;
  /**
   * What the module has to say that the dashboard does not say of every module, as a piece of HTML out of its state.
   * It is shown as it is, so it holds no script and no style of its own: pages refuse both.
   */
  view?(state: ModuleState): Html;
}

/** What the broker may be told about relays of MCP. */
export interface RelaySettings {
  maxReqBytes: number;
  maxRespBytes: number;
  wsHeartbeatMs: number;
  wsDeadAfterMs: number;
  maxConcurrencyPerClient: number;
  requireApiKey: boolean;
}

/** What the queue and the schedule of a worker module's pool may be told. */
export interface PoolSettings {
  queueSize: number;
  queueTimeoutMs: number;
  /** Milliseconds between position events; 0 sends none. */
  queueUpdateMs: number;
  /** How long a request waits for a worker that has just gone. */
  graceMs: number;
  /** The least score that may serve: 1 is the exact model, 0.5 its alias. */
  minScore: number;
  /** Workers one request may be split over. */
  maxParallel: number;
  /** Requests beside the seats that one worker gets at once. */
  maxVisits: number;
  /** Seats that one worker has at most, whatever it says. */
  maxSeats: number;
}
