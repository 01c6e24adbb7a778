import type { Registry } from "prom-client";
import { CellCounter, CellHistogram, DURATIONS, remember } from "../../lib/series.ts";
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
  readonly #duration: CellHistogram<"worker_id" | "model">;

  constructor(registry: Registry) {
    this.#ofModel = this.model(registry);
    this.#ofWorker = this.worker(registry);
    this.#duration = new CellHistogram({
      name: "nfrx_llm_request_duration_seconds",
      help: "Time of a request by worker and model.",
      labelNames: ["worker_id", "model"],
      buckets: DURATIONS,
      registers: [registry],
    });
  }

  end({ model, workerId, ok, seconds, usage, embeddings }: LlmReport): void {
    const ofModel = this.#ofModel(model);
    for (const counter of ok ? ofModel.success : ofModel.error) counter.value++;
    if (usage !== undefined) {
      for (const counter of ofModel.tokensIn) counter.value += usage.in;
      for (const counter of ofModel.tokensOut) counter.value += usage.out;
    }
    ofModel.embeddings.value += embeddings;
    if (workerId !== undefined) this.byWorker(model, workerId, seconds, usage, embeddings);
  }

  /** What one worker did: a request, or a part of one that was split. */
  byWorker(model: string, workerId: string, seconds: number, usage: Usage | undefined, embeddings: number): void {
    const ofWorker = this.#ofWorker(workerId);
    this.#duration.cell({ worker_id: workerId, model }).observe(seconds);
    ofWorker.seconds.value += seconds;
    if (usage !== undefined) {
      ofWorker.tokensIn.value += usage.in;
      ofWorker.tokensOut.value += usage.out;
    }
    if (embeddings === 0) return;
    ofWorker.embeddings.value += embeddings;
    ofWorker.embeddingSeconds.value += seconds;
  }

  private model(registry: Registry) {
    const counters = <L extends string>(names: string[], help: string, labelNames: L[]) =>
      names.map(name => new CellCounter({ name, help, labelNames, registers: [registry] }));
    const requests = counters(
      ["nfrx_model_requests_total", "nfrx_llm_model_requests_total"],
      "Requests by model and outcome.",
      ["model", "outcome"],
    );
    const tokens = counters(["nfrx_model_tokens_total", "nfrx_llm_model_tokens_total"], "Tokens by model.", [
      "model",
      "kind",
    ]);
    const [embeddings] = counters(["nfrx_llm_model_embeddings_total"], "Embeddings by model.", ["model"]);
    return remember(model => ({
      success: requests.map(counter => counter.cell({ model, outcome: "success" })),
      error: requests.map(counter => counter.cell({ model, outcome: "error" })),
      tokensIn: tokens.map(counter => counter.cell({ model, kind: "in" })),
      tokensOut: tokens.map(counter => counter.cell({ model, kind: "out" })),
      embeddings: embeddings!.cell({ model }),
    }));
  }

  private worker(registry: Registry) {
    const counter = <L extends string>(name: string, help: string, labelNames: L[]) =>
      new CellCounter({ name, help, labelNames, registers: [registry] });
    const tokens = counter("nfrx_llm_worker_tokens_total", "Tokens by worker.", ["worker_id", "kind"]);
    const seconds = counter("nfrx_llm_worker_processing_seconds_total", "Time workers spent on requests.", [
      "worker_id",
    ]);
    const embeddings = counter("nfrx_llm_worker_embeddings_total", "Embeddings by worker.", ["worker_id"]);
    const embeddingSeconds = counter(
      "nfrx_llm_worker_embedding_processing_seconds_total",
      "Time workers spent on embeddings.",
      ["worker_id"],
    );
    return remember(worker_id => ({
      tokensIn: tokens.cell({ worker_id, kind: "in" }),
      tokensOut: tokens.cell({ worker_id, kind: "out" }),
      seconds: seconds.cell({ worker_id }),
      embeddings: embeddings.cell({ worker_id }),
      embeddingSeconds: embeddingSeconds.cell({ worker_id }),
    }));
  }
}
