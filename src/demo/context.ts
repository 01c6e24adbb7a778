/** Arguments of a request handler of the demo backend, in addition to the request. */
export interface DemoContext {
  /** Milliseconds between two streamed words. */
  readonly wordMs: number;
  /** The last segment of the path, for routes that name one thing. */
  readonly name: string;
  /** Marks the response as a stream: no idle timeout. */
  readonly streams: () => void;
}
