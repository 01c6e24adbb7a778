// What a route of the broker is. It is declared once: the server, the API's document and its page in doc/ follow from it.
import type { z } from "zod";
import type { ErrorCode, NfrxError } from "../lib/errors.ts";
import type { Span } from "../lib/trace.ts";
import type { ErrorShape, Usage } from "./endpoint.ts";

/** Who may ask. `relay`: whoever the provider behind an MCP relay lets in. */
export type AuthClass = "none" | "api" | "client" | "api-or-client" | "api-or-admin" | "admin" | "relay";

export type HttpMethod = "GET" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS";

export interface Route {
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
  readonly auth: AuthClass;
  /** The handler judges the caller itself, in an order or with errors of its own. Otherwise that is done before it is called. */
  readonly ownCheck?: true;
  /** The shape of its errors' bodies; `text` is a line of plain text. */
  readonly errors: ErrorShape | "text";
  /** What it is for. Only a route that exists to say that there is no such method has none. */
  readonly operation: Operation | undefined;
  /** Answers a request; undefined when the connection has become something else than HTTP. What it throws becomes an error's answer. */
  answer(call: RouteCall): Response | undefined | Promise<Response | undefined>;
}

/** A request to a route. */
export interface RouteCall {
  readonly request: Request;
  readonly params: PathParams;
  readonly server: PeerServer;
  readonly access: Access;
}

/** What is told of a request at its end, in the log and in its trace. Who knows something of it writes it here. */
export interface Access {
  /** The request's id. */
  readonly id: string;
  /** When it came, by the clock. */
  readonly arrivedAt: number;
  /** Its span, when there are traces. */
  readonly span: Span | undefined;
  /** The status of its answer, once that is known. */
  status: number | undefined;
  jobType: string | undefined;
  /** The model that was asked for. */
  model: string | undefined;
  /** The name by which its backend was asked, where that is another one. */
  servedModel: string | undefined;
  relay: string | undefined;
  /** The method of MCP. */
  call: string | undefined;
  workerId: string | undefined;
  /** Milliseconds that it waited for a worker. */
  queueMs: number | undefined;
  /** Milliseconds from its arrival to the head of its worker's answer. */
  firstByteMs: number | undefined;
  bytesIn: number;
  bytesOut: number;
  usage: Usage | undefined;
  retries: number | undefined;
  /** The handler tells of its end itself, by `end`. Otherwise that is when the handler has answered. */
  defer(): void;
  /** Notes an answer that is not a stream. */
  answered(response: Response): void;
  /** Tells of it; later calls do nothing. */
  end(error?: NfrxError): void;
}

/** What the named segments of a path were; null when an escape in one is malformed. */
export interface PathParams {
  readonly worker?: string | null;
  readonly task?: string | null;
  readonly [segment: string]: string | null | undefined;
}

/** As much of Bun's server as a request needs. */
export interface PeerServer {
  /** The other end of the connection. */
  requestIP(request: Request): { address: string } | null;
  /** How long the connection may be quiet; 0 is for ever. */
  timeout(request: Request, seconds: number): void;
}

/** An operation as it is documented. */
export interface Operation {
  /** A few words, without a full stop. */
  readonly summary: string;
  /** More about it, in Markdown. */
  readonly description?: string;
  /** Queries and headers, and what the segments of the path mean. */
  readonly parameters?: readonly Parameter[];
  readonly request?: RequestContent;
  /** The answers by their status, those of `failures` aside. */
  readonly responses: Readonly<Record<number, Reply>>;
  /** Answers with any other status, where there may be some. */
  readonly otherwise?: Reply;
  /** What can go wrong; `unauthorized` and its like follow from the route's `auth`. */
  readonly failures?: readonly ErrorCode[];
}

export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly description: string;
  readonly required?: boolean;
  /** A text unless told. */
  readonly schema?: Schema;
  readonly example?: string | number;
}

/** A schema of zod, by which the handler checks what comes in, or one of JSON Schema (2020-12). */
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
  /** Headers by name, each with what it says. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly content?: readonly Content[];
}
