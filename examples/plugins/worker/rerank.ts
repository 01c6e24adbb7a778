// Reranking as a module of its own: `POST /api/rerank/v1/rerank` goes to the least busy machine that has the model.
import { baseUrl, defineModule, matchOptions, option, options, poolSettings, queueOptions, z } from "nfrx/plugin";

const models = z.object({ data: z.array(z.object({ id: z.string() })) });

export default defineModule({
  id: "rerank",
  summary: "Orders documents by how well they answer a query.",

  // The broker's side: RERANK_QUEUE_SIZE, --rerank-queue-size, plugin_options.rerank.queue_size, and so on.
  options: options("Module rerank", { ...queueOptions("rerank"), ...matchOptions("rerank") }),
  serve: ({ values }) => ({
    worker: {
      id: "rerank",
      summary: "Orders documents by how well they answer a query.",
      listsModels: true,
      errors: "openai",
      endpoints: [
        {
          method: "POST",
          path: "/v1/rerank",
          backendPath: "/rerank",
          jobType: "rerank.rerank",
          label: "json-model",
          events: false,
          operation: { summary: "Order documents", responses: { 200: { description: "The order." } } },
        },
      ],
    },
    pool: poolSettings(values),
  }),

  // The agent's side, beside the private service: nfrx worker --plugin rerank.ts
  agent: {
    options: options("Backend", {
      baseUrl: option.url({
        env: "RERANK_BASE_URL",
        default: "http://127.0.0.1:8001/v1",
        rewrite: baseUrl,
        help: "The reranking service, with its /v1.",
      }),
      apiKey: option.secret({ env: "RERANK_API_KEY", default: undefined, help: "Key of the service." }),
    }),
    backend: values => ({
      baseUrl: values.baseUrl,
      apiKey: values.apiKey,
      pollMs: 30_000,
      facts: { backend_family: "rerank" },
      probe: async ask => {
        const list = models.parse(JSON.parse(await ask(`${values.baseUrl}/models`)));
        return { models: list.data.map(({ id }) => id), facts: {} };
      },
    }),
  },
});
