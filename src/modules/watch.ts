import type { Operation } from "./route.ts";

/** A WebSocket that follows what an endpoint answers. The broker asks again and again, and sends what has changed. */
export interface Watch {
  /** Below `/api/<module>`, with the same named segments as the endpoint. */
  readonly path: string;
  /**
   * Headers, in lower case, that the query may carry, by their names there: a browser's WebSocket cannot send headers. A
   * header of the request comes first.
   */
  readonly queryHeaders: Readonly<Record<string, string>>;
  /** The messages for the first answer. Throws when it is not one of this API. */
  opening(answer: unknown): readonly string[];
  /** The message for an answer that differs from the one before. Throws when it is not one of this API. */
  update(answer: unknown): string;
  /** The message for a failure, which is the last one; `status` is that of the answer. */
  failure(message: string, status: number): string;
  /** True for an answer after which nothing changes. */
  isOver(answer: unknown): boolean;
  readonly operation: Operation;
}
