// The state as it comes: server-sent events read by hand, because EventSource carries no Authorization header.
import { EventReader } from "../../../../lib/sse-reader.ts";
import { Backoff } from "../../../../lib/time.ts";
import type { ApiKey } from "./key.ts";
import type { State } from "./state.ts";

/** Maximum size of one state in the dashboard, in characters. */
const STATE_CHARS_MAX = 67_108_864;
/**
 * Time in milliseconds without a state after which the dashboard considers the stream lost; a state arrives every two
 * seconds.
 */
const SILENT_MS = 8000;

export interface StreamEvents {
  state(state: State): void;
  /** The stream is gone, and why; the next attempt is at `retryAt`. */
  lost(why: string, retryAt: number): void;
}

export class StateFeed {
  readonly #backoff = new Backoff();
  #wake = (): void => {};

  constructor(
    private readonly key: ApiKey,
    private readonly events: StreamEvents,
  ) {}

  /** Goes on for as long as the page is open. */
  async run(): Promise<never> {
    for (;;) {
      const began = Date.now();
      const end = await this.#once();
      this.#backoff.held(Date.now() - began);
      if (end === "unauthorized") {
        await this.key.ask();
        continue;
      }
      const ms = this.#backoff.next();
      this.events.lost(end, Date.now() + ms);
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, ms);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Ends the wait for the next attempt. */
  retryNow(): void {
    this.#wake();
  }

  /** One stream to its end; the reason of it. */
  async #once(): Promise<string> {
    const abort = new AbortController();
    let timer = setTimeout(() => abort.abort(), SILENT_MS);
    try {
      const response = await fetch("api/state/stream", {
        headers: this.key.headers,
        signal: abort.signal,
        cache: "no-store",
      });
      if (response.status === 401) return "unauthorized";
      if (!response.ok || response.body === null) return `The broker responded with status ${response.status}.`;
      this.key.accepted();
      const events = new EventReader(STATE_CHARS_MAX, data => {
        const state: State = JSON.parse(data);
        this.events.state(state);
      });
      const reader = response.body.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return "The broker closed the connection.";
        clearTimeout(timer);
        timer = setTimeout(() => abort.abort(), SILENT_MS);
        events.feed(value);
      }
    } catch (error) {
      if (abort.signal.aborted) return "No data from the broker.";
      if (!(error instanceof TypeError && /fetch|network|load/i.test(error.message))) console.error(error);
      return "Cannot reach the broker.";
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  }
}
