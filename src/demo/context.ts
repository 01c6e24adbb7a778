/** What a request handler of the demo backend gets besides the request. */
export interface DemoContext {
  /** Milliseconds between two streamed words. */
  readonly wordMs: number;
  /** The last segment of the path, for routes that name one thing. */
  readonly name: string;
  /** Tells the server that this answer is a stream: no idle limit. */
  readonly streams: () => void;
}
