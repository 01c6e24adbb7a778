import { DURATIONS, Memo, type Meters, type Numbers } from "../../lib/series.ts";
import type { Usage } from "../../modules/module.ts";

export interface LlmReport {
  model: string;
  workerId: string | undefined;
  ok: boolean;
  seconds: number;
  usage: Usage | undefined;
  embeddings: number;
}

/** The series by model and by worker that dashboards of the 0.9 series know, under their older and newer names. */
export class LlmMetrics {
  readonly #ofModel: ReturnType<LlmMetrics["model"]>;
  readonly #ofWorker: ReturnType<LlmMetrics["worker"]>;

  constructor(meters: Meters) {
    this.#ofModel = this.model(meters);
    this.#ofWorker = this.worker(meters);
  }

  end({ model, workerId, ok, seconds, usage, embeddings }: LlmReport): void {
    const ofModel = this.#ofModel.of(model);
    for (const counter of ok ? ofModel.success : ofModel.error) counter.value++;
    if (usage !== undefined) {
      for (const counter of ofModel.tokensIn) counter.value += usage.in;
      for (const counter of ofModel.tokensOut) counter.value += usage.out;
    }
    ofModel.embeddings.value += embeddings;
    if (workerId !== undefined) this.byWorker(model, workerId, seconds, usage, embeddings);
  }

  /** A request of one worker, or a part of a split request. */
  byWorker(model: string, workerId: string, seconds: number, usage: Usage | undefined, embeddings: number): void {
    const ofWorker = this.#ofWorker.of(workerId);
    ofWorker.duration.of(model).observe(seconds);
    ofWorker.seconds.value += seconds;
    if (usage !== undefined) {
      ofWorker.tokensIn.value += usage.in;
      ofWorker.tokensOut.value += usage.out;
    }
    if (embeddings === 0) return;
    ofWorker.embeddings.value += embeddings;
    ofWorker.embeddingSeconds.value += seconds;
  }

  /** Has the series looked up anew, after some have ended. */
  forget(): void {
    this.#ofModel.clear();
    this.#ofWorker.clear();
  }

  private model(meters: Meters) {
    const both = <L extends string>(names: string[], help: string, labelNames: L[]): Numbers<L>[] =>
      names.map(name => meters.counter(name, help, labelNames));
    const requests = both(
      ["nfrx_model_requests_total", "nfrx_llm_model_requests_total"],
      "Requests by model and outcome: success, error.",
      ["model", "outcome"],
    );
    const tokens = both(
      ["nfrx_model_tokens_total", "nfrx_llm_model_tokens_total"],
      "Tokens by model and kind: in, out.",
      ["model", "kind"],
    );
    const embeddings = meters.counter("nfrx_llm_model_embeddings_total", "Embeddings by model.", ["model"]);
    return new Memo(model => ({
      success: requests.map(counter => counter.cell({ model, outcome: "success" })),
      error: requests.map(counter => counter.cell({ model, outcome: "error" })),
      tokensIn: tokens.map(counter => counter.cell({ model, kind: "in" })),
      tokensOut: tokens.map(counter => counter.cell({ model, kind: "out" })),
      embeddings: embeddings.cell({ model }),
    }));
  }

  private worker(meters: Meters) {
    const tokens = meters.counter("nfrx_llm_worker_tokens_total", "Tokens by worker and kind: in, out.", [
      "worker_id",
      "kind",
    ]);
    const counter = (name: string, help: string): Numbers<"worker_id"> => meters.counter(name, help, ["worker_id"]);
    const seconds = counter("nfrx_llm_worker_processing_seconds_total", "Time that workers spent on requests.");
    const embeddings = counter("nfrx_llm_worker_embeddings_total", "Embeddings by worker.");
    const embeddingSeconds = counter(
      "nfrx_llm_worker_embedding_processing_seconds_total",
      "Time that workers spent on embeddings.",
    );
    const duration = meters.histogram(
      "nfrx_llm_request_duration_seconds",
      "Duration of a request, or of a part of a split request, by worker and model.",
      DURATIONS,
      ["worker_id", "model"],
    );
    return new Memo(worker_id => ({
      duration: new Memo(model => duration.cell({ worker_id, model })),
      tokensIn: tokens.cell({ worker_id, kind: "in" }),
      tokensOut: tokens.cell({ worker_id, kind: "out" }),
      seconds: seconds.cell({ worker_id }),
      embeddings: embeddings.cell({ worker_id }),
      embeddingSeconds: embeddingSeconds.cell({ worker_id }),
    }));
  }
}
