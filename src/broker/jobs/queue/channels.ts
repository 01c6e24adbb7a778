// The interface of transfer channels for the jobs queue.

/** A channel as a worker asks for it: one end is the worker's, the other is the client's. */
export interface ChannelOptions {
  /** The client's end. */
  readonly client: "reader" | "writer";
  /** The caller to whom it is attributed. */
  readonly caller: string;
  /** It may be one of those that are kept for jobs. */
  readonly forJob: true;
  /** Called while bytes pass; as often as the channel likes. */
  readonly onProgress: () => void;
}

export interface Channels {
  /** Opens a channel. Throws `overloaded` when there are too many, `limit_exceeded` when the caller has its share. */
  create(options: ChannelOptions): { readonly id: string; readonly expiresAt: number };
  /** Ends a channel and its transfer. */
  close(id: string): void;
  /** True while the client's end can still be taken. */
  awaitsClient(id: string): boolean;
}
