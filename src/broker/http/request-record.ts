import type { NfrxError } from "../../lib/errors.ts";
import type { Span } from "../../lib/trace.ts";
import type { Usage } from "../../modules/module.ts";
import type { Access } from "../../modules/route.ts";

/** The facts about a request, collected on its way, and its single end. */
export abstract class RequestRecord implements Access {
  abstract readonly id: string;
  abstract readonly arrivedAt: number;
  abstract readonly span: Span | undefined;
  status: number | undefined;
  jobType: string | undefined;
  model: string | undefined;
  servedModel: string | undefined;
  relay: string | undefined;
  call: string | undefined;
  workerId: string | undefined;
  queueMs: number | undefined;
  firstByteMs: number | undefined;
  bytesIn = 0;
  bytesOut = 0;
  usage: Usage | undefined;
  estimated = false;
  items = 0;
  slotMs = 0;
  retries: number | undefined;
  /** True when the handler ends it. */
  streaming = false;
  /** Counts it out of the drain. */
  leave: (() => void) | undefined;
  #ended = false;
  #onCut: ((error: NfrxError) => void) | undefined;
  #cutBy: NfrxError | undefined;

  streams(): (error?: NfrxError) => void {
    this.streaming = true;
    return error => this.end(error);
  }

  answered(response: Response): void {
    this.status = response.status;
    this.bytesOut = Number(response.headers.get("content-length") ?? 0);
  }

  set onCut(onCut: (error: NfrxError) => void) {
    this.#onCut = onCut;
    if (this.#cutBy !== undefined) onCut(this.#cutBy);
  }

  /** Ends what is open of it. A handler that is not ready for that yet hears of it when it is. */
  protected endsBy(error: NfrxError): void {
    this.#cutBy = error;
    this.#onCut?.(error);
  }

  /** Ends it; later calls do nothing. */
  end(error?: NfrxError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.leave?.();
    this.finish(error);
  }

  get isEnded(): boolean {
    return this.#ended;
  }

  /** Says what became of it. Runs once. */
  protected abstract finish(error: NfrxError | undefined): void;
}
