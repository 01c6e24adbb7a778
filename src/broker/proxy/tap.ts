import { hasContentType, headerOf } from "../../lib/http.ts";
import { TopLevelScan } from "../../lib/json-scan.ts";
import type { Usage } from "../../modules/module.ts";
import type { ResponseHead } from "../../protocol/frames.ts";
import type { Exchange } from "./exchange.ts";
import { OllamaTap, UsageTap } from "./usage.ts";

/** Looks at an answer that passes by. */
export interface Tap {
  /** Takes the next bytes, before the client has them; `last` says that none follow. */
  feed(bytes: Uint8Array, last?: boolean): void;
  readonly usage?: Usage | undefined;
}

/** Reads what an answer can tell: the task that has begun, or the tokens it took. Undefined when it tells nothing. */
export function tapFor(head: ResponseHead, exchange: Exchange): Tap | undefined {
  if (head.status >= 300 || headerOf(head.headers, "content-encoding") !== undefined) return undefined;
  const { task, label, tokens } = exchange.request.endpoint;
  if (task === "starts") return new TaskTap(id => exchange.began(id));
  if (tokens === "ollama") return new OllamaTap();
  if (label === "none") return undefined;
  const text = hasContentType(head.headers, "application/json") || hasContentType(head.headers, "text/event-stream");
  return text ? new UsageTap() : undefined;
}

/** Finds the id of the task that an answer says has begun. */
class TaskTap implements Tap {
  readonly #scan = new TopLevelScan(TASK_ID);
  #found = false;

  constructor(private readonly onFound: (id: string) => void) {}

  feed(bytes: Uint8Array): void {
    if (this.#found) return;
    this.#scan.feed(bytes);
    const id = this.#scan.values.get("task_id");
    if (typeof id !== "string") return;
    this.#found = true;
    this.onFound(id);
  }
}

const TASK_ID = new Set(["task_id"]);
