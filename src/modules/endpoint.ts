// What a module says of one endpoint: how a request finds its worker, and what the broker does with it on the way.
import type { ErrorCode } from "../lib/errors.ts";

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

/** As much of an endpoint as its agent needs. */
export type AgentEndpoint = Pick<Endpoint, "method" | "backendPath" | "keeps" | "task" | "gather" | "exemptFromSlots">;

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
