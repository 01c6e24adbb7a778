import type { Operation } from "./route.ts";

/** A WebSocket that follows an endpoint's response. The broker polls it and sends changes. */
export interface Watch {
  /** Below `/api/<module>`, with the same named segments as the endpoint. */
  readonly path: string;
  /**
   * Headers, in lower case, that the query may carry, by their names there: a browser's WebSocket cannot send headers. A
   * header of the request comes first.
   */
  readonly queryHeaders: Readonly<Record<string, string>>;
  /** The messages for the first response. Throws if it does not match the API. */
  opening(answer: unknown): readonly string[];
  /** The message for a changed response. Throws if it does not match the API. */
  update(answer: unknown): string;
  /** The final message for a failure; `status` is that of the response. */
  failure(message: string, status: number): string;
  /** True for a final response. */
  isOver(answer: unknown): boolean;
  readonly operation: Operation;
}
