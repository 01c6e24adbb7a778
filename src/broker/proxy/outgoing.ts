import type { RequestBody } from "../http/body/body.ts";
import type { Worker } from "../pool/worker.ts";
import type { ModelName } from "./routing/model-name.ts";
import type { RoutingFields } from "./routing/routing-fields.ts";

/** A request's body as one worker gets it: as it came, or with the worker's own name for the model. */
export class OutgoingBody {
  /** The worker's own name, where that is not the one in the body. */
  readonly model: string | undefined;
  readonly #name: ModelName | undefined;

  constructor(
    private readonly body: RequestBody,
    { model, name, unnamed }: RoutingFields,
    worker: Worker,
  ) {
    if (model === undefined || name === undefined) return;
    const own = worker.nameOf(model);
    if (own === model && !unnamed) return;
    this.model = own;
    this.#name = name;
  }

  /** How many bytes it has, where that is known. */
  get length(): number | undefined {
    const { length } = this.body;
    return length === undefined || this.model === undefined ? length : length + (this.#name?.growth(this.model) ?? 0);
  }

  /** All of it, where the body is whole. */
  get bytes(): Uint8Array {
    const { bytes } = this.body;
    return this.model === undefined ? bytes : (this.#name?.whole(bytes, this.model) ?? bytes);
  }

  /** All of it, where the body passes through. */
  chunks(): AsyncIterator<Uint8Array> {
    const chunks = this.body.chunks();
    const sent = this.model === undefined ? chunks : (this.#name?.stream(chunks, this.model) ?? chunks);
    return sent[Symbol.asyncIterator]();
  }
}
