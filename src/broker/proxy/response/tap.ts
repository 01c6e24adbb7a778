import type { ContentHeaders } from "../../../lib/http.ts";
import type { Usage } from "../../../modules/module.ts";
import type { Exchange } from "../exchange.ts";
import { keepsOf } from "../routing/kept.ts";
import { idTap } from "./id-tap.ts";
import { OllamaTap, UsageTap } from "./usage.ts";

/** Looks at an answer that passes by. */
export interface Tap {
  /** Takes the next bytes, before the client has them; `last` says that none follow. */
  feed(bytes: Uint8Array, last?: boolean): void;
  readonly usage?: Usage | undefined;
}

/** Reads what an answer can tell: the id of what its worker keeps, and the tokens it took. Undefined when it tells nothing. */
export function tapFor(status: number, content: ContentHeaders, exchange: Exchange): Tap | undefined {
  if (status >= 300 || content.encoding !== undefined) return undefined;
  const { label, tokens } = exchange.request.endpoint;
  const member = keepsOf(exchange.request.endpoint)?.answer;
  const events = content.type === "text/event-stream";
  const ids = member === undefined ? undefined : idTap(member, events, id => exchange.keeps(id));
  if (tokens === "ollama") return new OllamaTap();
  if (label === "none") return ids;
  if (!events && content.type !== "application/json") return ids;
  return ids === undefined ? new UsageTap() : new IdsAndUsage(ids);
}

class IdsAndUsage implements Tap {
  readonly #tokens = new UsageTap();

  constructor(private readonly ids: Tap) {}

  get usage(): Usage | undefined {
    return this.#tokens.usage;
  }

  feed(bytes: Uint8Array, last?: boolean): void {
    this.ids.feed(bytes);
    this.#tokens.feed(bytes, last);
  }
}
