import type { ModelDetails } from "../lib/model-details.ts";

/** The result of a backend check. */
export interface ProbeResult {
  models: string[];
  /** Numbers that the backend's list gives for its models, for the broker's list. */
  details?: Readonly<Record<string, ModelDetails>> | undefined;
  /** Facts for the broker: `backend_version`, `backend_family`. */
  facts: Record<string, string>;
  /** A harmless problem, which is logged once. */
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

/** Interval between checks of a backend, in milliseconds, if its agent has no option for it. */
export const LOOK_MS = 30_000;
