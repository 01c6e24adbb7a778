// The one interface through which the broker and the agent know a module. A module is data: what it serves, how a
// request finds its worker, how its agent finds its backend. The code that runs it is the same for all.
import type { OptionGroup } from "../config/group.ts";
import type { ErrorCode } from "../lib/errors.ts";
import type { Html } from "../lib/html.ts";
import type { Logger } from "../lib/log.ts";
import type { ModelDetails } from "../lib/model-details.ts";
import type { Clock } from "../lib/time.ts";
import type { Operation, Route } from "./route.ts";
import type { ModuleState } from "./state.ts";
import type { Watch } from "./watch.ts";

/**
 * Version of this interface. A module says which it was written for; the broker refuses another. It goes up when a module
 * that was right becomes wrong.
 */
export const MODULE_API = 1;

export type { Watch } from "./watch.ts";

/** A capability, as a plugin file exports it and as the built-in ones are: made by `defineModule`. */
export interface Module {
  readonly api: number;
  /** Its name in paths, options, metrics and the state: lower-case letters, digits and dashes. */
  readonly id: string;
  /** What it is for, in one sentence. */
  readonly summary: string;
  /** What the broker can be told about it; each option has its environment variable, its flag and its key in the file. */
  readonly options: OptionGroup;
  /** The other end, for a module whose requests go to workers. */
  readonly agent: ModuleAgent | undefined;
  /** The module with the values of its options. */
  configure(values: OptionValues): ConfiguredModule;
}

/** What the agent of a module needs to know. */
export interface ModuleAgent {
  /** What the agent can be told about its backend. */
  readonly options: OptionGroup;
  /** All that the agent serves of its backend; every path below its address when left out. */
  readonly endpoints?: readonly Pick<Endpoint, "method" | "backendPath">[] | undefined;
  backend(values: OptionValues): Backend;
}

/** Values of options by their names in code. */
export type OptionValues = Readonly<Record<string, unknown>>;

/** A module as a broker starts it. */
export interface ConfiguredModule extends Pick<Module, "id" | "summary"> {
  /** The file it comes from, which errors name; built-in modules have none. */
  readonly file?: string;
  /** Called once, before the broker listens. */
  serve(host: ModuleHost): Served;
}

/** What a broker offers to a module. */
export interface ModuleHost {
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: ModuleMetrics;
}

/** Metrics of a module. Their names begin with `nfrx_` and the module's id; of a label at most 500 values live, the rest is `other`. */
export interface ModuleMetrics {
  /** A counter; its name ends in `_total`. */
  counter(spec: MetricSpec): { add(labels?: Labels, by?: number): void };
  /** A histogram of seconds. */
  histogram(spec: MetricSpec & { readonly buckets?: readonly number[] }): {
    observe(value: number, labels?: Labels): void;
  };
  /** A gauge that is read when somebody looks. */
  gauge(spec: MetricSpec, read: () => number): void;
}

export interface MetricSpec {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
}

export type Labels = Readonly<Record<string, string>>;

/** What a module makes of a broker. Every part may be left out. */
export interface Served {
  /** Requests that go to workers, and the pool of those. Both or none. */
  readonly worker?: WorkerModule;
  readonly pool?: PoolSettings;
  /** Relays of MCP; one module of a broker may have them. */
  readonly relays?: RelaySettings;
  /** Further routes. Who may ask is judged before they answer. */
  readonly routes?: readonly Omit<Route, "ownCheck">[];
  /** What the state shows of it under `own`, as JSON. */
  state?(): unknown;
  /**
   * What the module has to say that the dashboard does not say of every module, as a piece of HTML. It is shown as it is, so
   * it holds no script and no style of its own: pages refuse both.
   */
  view?(shown: Shown): Html;
  /** Ends what the module holds. Called once, when the broker stops and answers no more requests; waited for 5 seconds. */
  close?(): Promise<void>;
}

/** What a view is made of: the state of the module's pool, where it has one, and its own. */
export interface Shown {
  readonly pool: ModuleState | undefined;
  readonly own: unknown;
}

/** How the label that routes a request is found in it. */
export type LabelSource =
  /** The string at the top level of a JSON body under `model`; `stream` beside it says whether events are wanted. */
  | "json-model"
  /** The part of a multipart form that is called `model`, wherever it stands; the part `stream` says whether events are wanted. */
  | "form-model"
  /** Any worker of the module will do. */
  | "none";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS";

/** The shape of error bodies; `word` is the code alone. */
export type ErrorShape = "openai" | "anthropic" | "ollama" | "plain" | "word" | "json-rpc";

/** A whole answer of a backend that was asked for a stream. */
export interface WholeAnswer {
  /** Lower case, without parameters; empty when the backend names none. */
  readonly contentType: string;
  readonly text: string;
}

/** What the broker must know of an API's event streams to write into one. */
export interface EventStreamApi {
  /** Clients of this API fail on events that it does not define: the place in the queue goes to them as a comment. */
  readonly closed?: boolean;
  /** The form of its error event, when that is not its error body: `response` is that of OpenAI's Responses API. */
  readonly errorEvent?: "response";
  /**
   * The events that the API would have sent instead of a whole answer of status 200, for a stream that is already open.
   * Undefined when the answer is not one of this API.
   */
  toEvents?(answer: WholeAnswer): string | undefined;
}

export interface Endpoint {
  /** The query of a GET travels with it. */
  method: Method;
  /** Below `/api/<module>`; a segment `:name` stands for any one segment, a last `/*` for all that follows, the query included. */
  path: string;
  /** What the agent appends to its backend's base URL, with the segments of `path` filled in. */
  backendPath: string;
  jobType: string;
  label: LabelSource;
  /** The answer may be an event stream, so queue events and keep-alive comments may open it. */
  events: boolean;
  /** The API that its event streams belong to; left out, the broker knows nothing about them. */
  stream?: EventStreamApi;
  /**
   * A request only computes: nothing remains of it but its answer. It is sent to another worker when the machine that had it
   * is lost, or when its backend is too busy.
   */
  repeatable?: boolean;
  /** Splits one request over several workers and merges their answers, when the request allows it. */
  fanout?: Fanout;
  /** Asks every worker, beside their seats, and makes one answer of theirs; pinned to a worker it asks that one. */
  gather?: Gather;
  /** It takes no slot: it only asks how a backend is. */
  exemptFromSlots?: boolean;
  /**
   * Which headers of a request pass: those of the fixed list, the same with others that are named here in lower case (a star
   * at the end stands for any ending), or all that are not of one hop, credentials or addresses.
   */
  headers?: "all" | readonly string[];
  /** A request may leave the model out: it is for the usual one, or for the only one that is connected. */
  modelOptional?: boolean;
  /** Another quantization of the model will not do: answers of two models must not be mixed. */
  exact?: boolean;
  /** Which backends have it, as far as their family and version tell; a backend that may have it is asked. */
  needs?: RouteNeeds;
  /** The shape of its errors' bodies, when it is not its module's. */
  errors?: ErrorShape;
  /** How an answer tells its tokens, when it is not OpenAI's or Anthropic's way. */
  tokens?: "ollama";
  /**
   * Work that outlives its request. `starts`: the answer's `task_id` names a task that its worker goes on with.
   * `follows`: asks for the task that the segment `:task` names, at the worker that has it, without taking a seat.
   */
  task?: "starts" | "follows";
  /** The same for anything that a worker keeps under an id, wherever that stands. */
  keeps?: Keeps;
}

/** Where ids of what a worker keeps stand: a request that names one goes to the worker that has it. */
export interface Keeps {
  /** The member of a JSON answer with the id of what its worker keeps now; of an event, the member of its `response`. */
  answer?: string;
  /** Fields of a JSON body that name such an id: a text, or an object with the member `id`. */
  fields?: readonly KeptName[];
  /** The segment of the path that is such an id. Its request is let in beside the seats. */
  segment?: KeptName;
}

/** One place where a request names what a worker keeps. */
export interface KeptName {
  /** The name of the field or of the segment. */
  readonly name: string;
  /** What is kept, in messages. */
  readonly what: string;
  /**
   * What to GET of a backend that may have it, below its base URL, with `:id` for the id: it answers 200 and an object
   * with this `id`. Without it each worker gets the request itself in turn, until one answers with another status than 404.
   */
  readonly lookup?: string;
  /** The code of the API's error for an id that nobody has. */
  readonly missing?: ErrorCode;
}

/** What is known of the backends that have a route. */
export interface RouteNeeds {
  /** Only backends of these families have it. */
  readonly families?: readonly string[];
  /** The version from which on a family has it. */
  readonly since?: Readonly<Record<string, string>>;
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
  /** The request's parts, or undefined when it is to go through whole; `text` is the body as it came. */
  split(body: unknown, text: () => string): SplitRequest | undefined;
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
  /** Undefined when the backend says none. */
  usage: Usage | undefined;
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
  /** Numbers that the backend's list gives for its models, for the broker's list. */
  details?: Readonly<Record<string, ModelDetails>> | undefined;
  /** Facts for the broker: `backend_version`, `backend_family`. */
  facts: Record<string, string>;
  /** What was wrong and did no harm: it is logged once. */
  warning?: string | undefined;
}

/** The private service behind an agent. */
export interface Backend {
  /** No slash at the end; request paths are appended to it. */
  baseUrl: string;
  /** Requests for paths below `prefix` go to another address of it, without the prefix. */
  mounts?: readonly { readonly prefix: string; readonly baseUrl: string }[];
  /** Which headers of a request it gets: those of the fixed list, or all that the broker passes on. */
  headers?: "all";
  /** Sent as a bearer token. */
  apiKey: string | undefined;
  /** A header that carries the key too, for servers that look there. */
  keyHeader?: string;
  /** Further headers of every request, the looks included; they replace the caller's own. */
  ownHeaders?: Readonly<Record<string, string>>;
  /** Certificates of an authority to trust, in PEM. */
  ca?: string | undefined;
  /** Milliseconds between looks at the backend. */
  pollMs: number;
  /** Facts the agent states of itself from its options. */
  facts: Record<string, string>;
  /** Asks the backend for its models and version. Rejects with the reason when it is not there or not well. */
  probe(ask: Ask): Promise<ProbeResult>;
}

/**
 * GETs `url` with the backend's key; the body's text. Redirections on the same host are followed. Rejects with a StatusError
 * on a status other than 2xx, and after a bounded time.
 */
export type Ask = (url: string) => Promise<string>;

/** Milliseconds that a request may be silent, of a module that says nothing about it. */
export const REQUEST_TIMEOUT_MS = 600_000;
/** Milliseconds that a request may be silent, of a module whose backends work for long without a word. */
export const SLOW_REQUEST_TIMEOUT_MS = 3_600_000;

/** Milliseconds between looks at a backend whose agent has no option for it. */
export const LOOK_MS = 30_000;

/** An endpoint as clients see it. */
export interface PublicEndpoint extends Endpoint {
  operation: Operation;
  /** The same as a WebSocket, for a GET whose answer changes with time. */
  watch?: Watch;
}

export interface WorkerModule {
  id: string;
  /** What it is for, in one sentence. */
  summary: string;
  endpoints: PublicEndpoint[];
  /** Lists its models at GET /v1/models. */
  listsModels: boolean;
  /** Further paths below which the same list is: `/ollama` has it at /ollama/v1/models, too. */
  modelsBelow?: readonly string[];
  errors: ErrorShape;
  /** Milliseconds that its requests may be silent unless an option says otherwise; REQUEST_TIMEOUT_MS when left out. */
  requestTimeoutMs?: number;
  /**
   * How a worker is reached. `any`: the least busy one that fits, or one by its id. `id`: each stands before a service of its
   * own and is reached by its id alone, at /api/<module>/id/{id}.
   */
  reach?: "any" | "id";
}

/** What the broker may be told about relays of MCP. */
export interface RelaySettings {
  maxReqBytes: number;
  maxRespBytes: number;
  wsHeartbeatMs: number;
  wsDeadAfterMs: number;
  maxConcurrencyPerClient: number;
  /** Milliseconds that a call waits for its relay; none when there is no such time. */
  queueTimeoutMs?: number;
  requireApiKey: boolean;
  /** Relays that ask for it may be called without credentials; not when left out. */
  allowOpen?: boolean;
}

/**
 * How a waiting stream learns its position in the queue: as an event, as a comment, not at all, or as its client can read
 * it.
 */
export type QueueEvents = "auto" | "event" | "comment" | "off";

/** What the queue and the schedule of a worker module's pool may be told. */
export interface PoolSettings {
  queueSize: number;
  queueTimeoutMs: number;
  /** Milliseconds between position events; 0 sends none. */
  queueUpdateMs: number;
  /** How a stream learns its position; `auto` unless given. */
  queueEvents?: QueueEvents | undefined;
  /** How long a request waits for a worker that has just gone. */
  graceMs: number;
  /** The least score that may serve: 1 is the exact model, 0.5 its alias. */
  minScore: number;
  /** The model of a request that names none, where it need not. */
  defaultModel?: string | undefined;
  /** Workers one request may be split over. */
  maxParallel: number;
  /** Requests beside the seats that one worker gets at once. */
  maxSlotExempt: number;
  /** Seats that one worker has at most, whatever it says. */
  maxSlots: number;
  /** Milliseconds that a request may be silent; REQUEST_TIMEOUT unless given. */
  requestTimeoutMs?: number | undefined;
}
