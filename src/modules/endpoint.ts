// Declaration of an endpoint: how a request finds its worker, and how the broker processes it.
import type { ErrorCode } from "../lib/errors.ts";

/** How the label that routes a request is found in it. */
export type LabelSource =
  /** The top-level string `model` of a JSON body; `stream` requests events. */
  | "json-model"
  /** The part `model` of a multipart form, at any position; the part `stream` requests events. */
  | "form-model"
  /** Any worker of the module will do. */
  | "none";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS";

/** The format of error bodies; `word` is only the code. */
export type ErrorShape = "openai" | "anthropic" | "ollama" | "plain" | "word" | "json-rpc";

/** A complete response of a backend to a request for a stream. */
export interface WholeAnswer {
  /** Lower case, without parameters; empty when the backend names none. */
  readonly contentType: string;
  readonly text: string;
}

/** Properties of an API's event streams that the broker needs to insert events. */
export interface EventStreamApi {
  /** Clients of this API fail on events that it does not define: the place in the queue goes to them as a comment. */
  readonly closed?: boolean;
  /** The form of its error event, when that is not its error body: `response` is that of OpenAI's Responses API. */
  readonly errorEvent?: "response";
  /**
   * The events that the API would have sent instead of a complete response with status 200, for a stream that is
   * already open. Undefined if the response does not match the API.
   */
  toEvents?(answer: WholeAnswer): string | undefined;
}

export interface Endpoint {
  /** The query of a GET travels with it. */
  method: Method;
  /** Below `/api/<module>`; a segment `:name` stands for any one segment, a last `/*` for all that follows, the query included. */
  path: string;
  /** The path below the backend's base URL, with the segments of `path` filled in. */
  backendPath: string;
  jobType: string;
  label: LabelSource;
  /** The response can be an event stream, so queue events and keep-alive comments may precede it. */
  events: boolean;
  /** The API that its event streams belong to; left out, the broker knows nothing about them. */
  stream?: EventStreamApi;
  /**
   * The request has no side effects. It is retried on another worker if its worker is lost or its backend is too busy.
   */
  repeatable?: boolean;
  /** Splits a request over several workers and merges their responses, if the request allows it. */
  fanout?: Fanout;
  /**
   * Queries every worker without using slots and merges the responses; if pinned to a worker, queries only that one.
   */
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
  /** Requires the same quantization of the model: responses of two models must not be mixed. */
  exact?: boolean;
  /** The backends that support it, judged by family and version; uncertain ones are tried. */
  needs?: RouteNeeds;
  /** The shape of its errors' bodies, when it is not its module's. */
  errors?: ErrorShape;
  /** The format of token counts, if it is neither OpenAI's nor Anthropic's. */
  tokens?: "ollama";
  /**
   * Work that outlives its request. `starts`: the response's `task_id` names a task that continues on its worker.
   * `follows`: queries the task of the segment `:task` at its worker, without using a slot.
   */
  task?: "starts" | "follows";
  /** The same for anything that a worker keeps under an id, wherever that stands. */
  keeps?: Keeps;
}

/** As much of an endpoint as its agent needs. */
export type AgentEndpoint = Pick<Endpoint, "method" | "backendPath" | "keeps" | "task" | "gather" | "exemptFromSlots">;

/** Locations of IDs of stored items: a request that names one is routed to the worker that has it. */
export interface Keeps {
  /** The field of a JSON response with the ID of the stored item; in an event, the field of its `response`. */
  answer?: string;
  /** Fields of a JSON body that name such an id: a text, or an object with the member `id`. */
  fields?: readonly KeptName[];
  /** The path segment with such an ID. The request uses no slot. */
  segment?: KeptName;
}

/** A location in a request that names a stored item. */
export interface KeptName {
  /** The name of the field or of the segment. */
  readonly name: string;
  /** Noun for the item, for messages. */
  readonly what: string;
  /**
   * Path to query at a backend, below its base URL, with `:id` for the ID: status 200 and an object with this `id`
   * means that it has the item. Without this path, each worker gets the request itself in turn until one responds with
   * a status other than 404.
   */
  readonly lookup?: string;
  /** The API's error code for an unknown ID. */
  readonly missing?: ErrorCode;
}

/** Properties of backends that have a route. */
export interface RouteNeeds {
  /** Only backends of these families have it. */
  readonly families?: readonly string[];
  /** The version from which on a family has it. */
  readonly since?: Readonly<Record<string, string>>;
}

/** The pure part of querying all workers. */
export interface Gather {
  /** Parses one worker's response of status 200. Throws if it is invalid. */
  parse(answer: Uint8Array): ReadonlyMap<string, unknown>;
  /** Merges the parsed responses into the client's response. */
  merge(items: ReadonlyMap<string, unknown>): Uint8Array;
  /** The items are models: a caller gets those that its key allows. */
  readonly namesModels?: boolean;
}

/** One request as many: the pure half; the broker's fan-out drives it. */
export interface Fanout {
  /** The request's parts, or undefined when it is to go through whole; `text` is the body as it came. */
  split(body: unknown, text: () => string): SplitRequest | undefined;
  /** Number of items in the response to an unsplit body; 1 for one that was too large to parse. */
  items(body: unknown): number;
}

export interface SplitRequest {
  /** How many items there are to share out. */
  items: number;
  /** The body for the items from `start` up to, not including, `end`. */
  part(start: number, end: number): Uint8Array;
  /** Parses the response of one part. Throws if it does not match the request. */
  parse(answer: Uint8Array, count: number): PartAnswer;
  /** Merges all parts into the client's response, in the order of their items. */
  merge(parts: readonly PartAnswer[]): Uint8Array;
}

export interface PartAnswer {
  /** Number of items in the response. */
  items: number;
  /** Undefined if the backend reports none. */
  usage: Usage | undefined;
  content: unknown;
}

/** Tokens as OpenAI-compatible backends report them. */
export interface Usage {
  in: number;
  out: number;
  total: number;
}
