// The declaration of a route. Server, OpenAPI document and doc/ are derived from it.
import type { z } from "zod";
import type { ErrorCode, NfrxError } from "../lib/errors.ts";
import type { Span } from "../lib/trace.ts";
import type { ErrorShape, Usage } from "./endpoint.ts";

/**
 * A scope: a module's ID, or a part of the broker's own API (`jobs`, `transfer`, `state`, `mcp`, `client` for
 * agents and job workers, `admin`). `public` needs no credential.
 */
export type Scope = string;

/** Which key opens a module's route. */
export type ModuleAuth = "none" | "api" | "client" | "api-or-client" | "admin";

export type HttpMethod = "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS";

/** As much of a route as a module and the broker declare alike. */
export interface RouteBase {
  readonly method: HttpMethod;
  /**
   * From the root. A segment `:name` stands for any one segment, a last segment `*name` for all that is left, slashes
   * included.
   */
  readonly path: string;
  /** It is served with one slash at its end, too, as some SDKs write it. Every other spelling of a path is 404. */
  readonly orSlash?: true;
  /** The part of the API it belongs to. */
  readonly tag: string;
  /** The shape of its errors' bodies; `text` is a line of plain text. */
  readonly errors: ErrorShape | "text";
  /** Description of the route; undefined only for routes that reject a method. */
  readonly operation: Operation | undefined;
  /** Handles a request; returns undefined if the connection was upgraded. Errors become error responses. */
  answer(call: RouteCall): Response | undefined | Promise<Response | undefined>;
}

/** A route of a module. A caller's key opens it when it has the module's id among its scopes. */
export interface ModuleRoute extends RouteBase {
  readonly auth: ModuleAuth;
}

/** A route of the broker. What it declares here, the mount does before `answer` is called, in the order that http/mount.ts shows. */
export interface Route extends RouteBase {
  /** A caller with any of these may use it. A route without one does not mount. */
  readonly scopes: readonly Scope[];
  /** The required scope, if it depends on the request. Throws if the requested item does not exist. */
  requires?(request: Request, params: PathParams): Requirement;
  /** Notes what the log says of every request, also of one that goes no further. */
  describe?(access: Access, params: PathParams): void;
  /** Queries that stand for headers, in lower case, by their names: a browser's WebSocket cannot send headers. */
  readonly queryHeaders?: Readonly<Record<string, string>>;
  /** Pages of other origins are kept out even where a key is needed. */
  readonly originGuard?: "always";
  /** Its responses come from a worker or a relay, and no browser may run them as a script. */
  readonly foreign?: true;
  /**
   * Behaviour during a drain. `enter`: it is refused; before that, a shutdown waits for its end. `join`: it is served, and a
   * shutdown waits for its end. `refuse`: it is refused, and no shutdown waits. Without it nothing of this is so.
   */
  readonly drain?: "enter" | "join" | "refuse";
  /** A request that is refused may be sending a large body: some of it is read, so that its client gets the response. */
  readonly takesUpload?: true;
  /** The body of its errors, where that is not the one of their shape. */
  errorBody?(error: NfrxError): object;
  /** Counts what the mount refused, where that has a metric of its own. */
  countRefusal?(error: NfrxError): void;
}

/** The scope that a request requires. */
export interface Requirement {
  readonly scopes: readonly Scope[];
  /** SHA-256 digests of tokens, each of which it must bring besides. */
  readonly tokens?: readonly Uint8Array[] | undefined;
  /** A request without any credential is let in: an agent of the 0.9 series brings its key in its first message. */
  readonly keyMayFollow?: boolean;
}

/** A request to a route. */
export interface RouteCall {
  readonly request: Request;
  readonly params: PathParams;
  readonly server: PeerServer;
  readonly principal: Principal;
  readonly access: Access;
}

/**
 * `api`, `client`, `admin`: the key of the configuration. `role`: a role that a trusted proxy names. `relay`: the token of an
 * MCP relay. `anonymous`: no credential counted, and none was needed.
 */
export type PrincipalKind = "api" | "client" | "admin" | "role" | "relay" | "key" | "local" | "anonymous";

/** The principal of a request. The mount resolves it once, whatever the credential; later code reads no credentials. */
export interface Principal {
  readonly kind: PrincipalKind;
  /** The name of the key, or the role. */
  readonly name: string;
  /** True when it may use what has this scope. */
  holds(scope: Scope): boolean;
  /** The person behind it: a key's, or the one that an app key names. Undefined for the keys of the configuration and for roles. */
  readonly person: string | undefined;
  /** The key, when an operator made it for a caller. */
  readonly key: CallerKey | undefined;
  /**
   * Names its owner, and cannot be read back: the person of a key, so that rotation changes nothing, else a digest of the
   * credential; `-` without one. Sessions, tasks and jobs belong to it.
   */
  readonly credential: string;
  /** Notes whom the body of an app key's request names, where no header did. Of other principals it changes nothing. */
  speaksFor(user: string): void;
  /** The address that the request comes from: behind a trusted proxy the client's. */
  readonly address: string;
  /** Names credential and network together. Callers take turns, and have their shares, by this name. */
  readonly caller: string;
}

/** A key that an operator made for a caller, as requests need it. */
export interface CallerKey {
  readonly id: string;
  readonly name: string;
  /** Its part of the slots while requests wait. */
  readonly weight: number;
  /** The person that it stands for when it names `user`: one of its own, if it is an app key, else the key's. */
  personFor(user: string | undefined): string;
  /** True when it may use a model of this name. */
  allowsModel(name: string): boolean;
  /**
   * Lets a request in and reserves `tokens`, an estimate of what it will use. Throws `rate_limit_exceeded` or
   * `insufficient_quota` when a limit is used up.
   */
  admit(tokens: number): Reservation;
  /** Its limits per minute as they stand now; empty without any. */
  rateLimits(): readonly RateLimit[];
  /** Cuts what it is given as soon as the key no longer allows it; the function returned ends that. */
  hold(grant: KeyGrant): () => void;
}

/** A limit per minute as it stands. */
export interface RateLimit {
  readonly unit: "requests" | "tokens";
  readonly max: number;
  readonly remaining: number;
  /** Whole seconds until nothing of it is used, when nothing is added. */
  readonly resetSeconds: number;
}

/** The permissions that an open request, stream or connection needs of its key. */
export interface KeyGrant {
  readonly scopes: readonly Scope[];
  /** The names of the model that it uses: as asked for, and as resolved. */
  readonly models: readonly string[];
  /** Called once when the key no longer allows it. */
  readonly cut: () => void;
}

/** The cost of a request, known at its end. */
export interface RequestCost {
  /** Tokens of prompt and answer; 0 for an answer with an error status. */
  readonly tokens: number;
  /** Milliseconds for which it held slots. */
  readonly slotMs: number;
}

/** A request that was let in. It must be settled or released, once; later calls do nothing. */
export interface Reservation {
  /** True when the key is beyond a soft limit: the request waits behind those of callers within theirs. */
  readonly behind: boolean;
  /**
   * Throws like `admit` when requests that ended meanwhile have used up a hard limit. Called when a slot is free, so that a
   * hard limit is passed by at most one request per slot, however many were let in at once. The request is released then.
   */
  recheck(): void;
  /** Counts what the request has cost and gives the rest of the reservation back. */
  settle(cost: RequestCost): void;
  /** Takes the request back as if it had never come. */
  release(): void;
}

/** The record of a request for the log and its trace. Code that knows a value sets it here. */
export interface Access {
  /** The request's id. */
  readonly id: string;
  /** When it came, by the clock. */
  readonly arrivedAt: number;
  /** Its span, when there are traces. */
  readonly span: Span | undefined;
  /** Status of the response, once known. */
  status: number | undefined;
  jobType: string | undefined;
  /** The requested model. */
  model: string | undefined;
  /** The model name sent to the backend, if it differs. */
  servedModel: string | undefined;
  relay: string | undefined;
  /** The method of MCP. */
  call: string | undefined;
  workerId: string | undefined;
  /** Milliseconds that it waited for a worker. */
  queueMs: number | undefined;
  /** Milliseconds from arrival to the head of the worker's response. */
  firstByteMs: number | undefined;
  bytesIn: number;
  bytesOut: number;
  /** The tokens it took, as its backend counted them or, with `estimated`, as the broker did. */
  usage: Usage | undefined;
  estimated: boolean;
  /** Items of a batch that it got answers to. */
  items: number;
  /** Milliseconds for which it held slots of workers. */
  slotMs: number;
  retries: number | undefined;
  /** Called at most once, with `unauthorized`, when the key no longer allows the request: ends what is open of it. */
  set onCut(onCut: (error: NfrxError) => void);
  /** Notes a response that is not a stream. */
  answered(response: Response): void;
  /**
   * For a handler whose response goes on after it was returned: the request ends when the function is called, with the error
   * if there was one. Later calls do nothing. Without this the request ends when the handler has returned.
   */
  streams(): (error?: NfrxError) => void;
}

/** The values of the path's named segments; null if an escape in one is malformed. */
export interface PathParams {
  readonly worker?: string | null;
  readonly task?: string | null;
  readonly [segment: string]: string | null | undefined;
}

/** As much of Bun's server as a request needs. */
export interface PeerServer {
  /** The other end of the connection. */
  requestIP(request: Request): { address: string } | null;
  /** Idle timeout of the connection; 0 disables it. */
  timeout(request: Request, seconds: number): void;
}

/** An operation as it is documented. */
export interface Operation {
  /** A few words, without a full stop. */
  readonly summary: string;
  /** More about it, in Markdown. */
  readonly description?: string;
  /** Query and header parameters, and the path segments. */
  readonly parameters?: readonly Parameter[];
  readonly request?: RequestContent;
  /** The responses by status, without those of `failures`. */
  readonly responses: Readonly<Record<number, Reply>>;
  /** Responses with other statuses, if possible. */
  readonly otherwise?: Reply;
  /** Possible errors; those of authentication are derived from `auth`. */
  readonly failures?: readonly ErrorCode[];
}

export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly description: string;
  readonly required?: boolean;
  /** String by default. */
  readonly schema?: Schema;
  readonly example?: string | number;
}

/** A zod schema, which the handler uses for validation, or a JSON Schema (2020-12). */
export type Schema = z.ZodType | JsonSchema;
export type JsonSchema = Readonly<Record<string, unknown>>;

export interface RequestContent {
  /** It may be left out. */
  readonly optional?: boolean;
  readonly content: readonly Content[];
}

export interface Content {
  /** Its media type. */
  readonly type: string;
  readonly schema?: Schema;
  readonly example?: unknown;
}

export interface Reply {
  readonly description: string;
  /** Headers by name, with descriptions. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly content?: readonly Content[];
}
