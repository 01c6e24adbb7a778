// A plugin as somebody wrote it who had nothing but doc/plugins.md: a folder of files, most parts of the interface in it.
import { baseUrl, defineModule, eventOptions, html, option, options, poolSettings, queueOptions, z } from "nfrx/plugin";
import { look, size } from "./glossary.ts";

const models = z.object({ data: z.array(z.object({ id: z.string() })) });

export default defineModule({
  id: "translate",
  summary: "Translates text with private translation services.",
  options: options("Module translate", {
    maxGlossary: option.int({
      env: "TRANSLATE_MAX_GLOSSARY",
      yaml: "plugin_options.translate.max_glossary",
      default: 3,
      min: 1,
      help: "Words that the glossary holds at most.",
    }),
    ...queueOptions("translate"),
    ...eventOptions("translate"),
  }),
  serve: ({ values, log, metrics }) => {
    const lookups = metrics.counter({
      name: "nfrx_translate_lookups_total",
      help: "Words looked up in the glossary.",
      labels: ["result"],
    });
    let asked = 0;
    log.info({ max_glossary: values.maxGlossary }, "translate serves");
    return {
      worker: {
        id: "translate",
        summary: "Translations, routed by model.",
        listsModels: true,
        errors: "openai",
        endpoints: [
          {
            method: "POST",
            path: "/v1/translate",
            backendPath: "/translate",
            jobType: "translate.translate",
            label: "json-model",
            events: true,
            operation: { summary: "Translate a text", responses: { 200: { description: "The translation." } } },
          },
          {
            method: "GET",
            path: "/v1/languages",
            backendPath: "/languages",
            jobType: "translate.languages",
            label: "none",
            events: false,
            operation: { summary: "List languages", responses: { 200: { description: "Those of one backend." } } },
          },
        ],
      },
      pool: poolSettings(values),
      routes: [
        {
          method: "GET",
          path: "/api/translate/glossary/:word",
          tag: "translate",
          auth: "none",
          errors: "openai",
          operation: {
            summary: "Look a word up",
            responses: { 200: { description: "The word." } },
            failures: ["not_found"],
          },
          answer: ({ params }) => {
            asked++;
            const word = params["word"] ?? "";
            try {
              const translation = look(word);
              lookups.add({ result: "hit" });
              return Response.json({ word, translation });
            } catch (error) {
              lookups.add({ result: "miss" });
              throw error;
            }
          },
        },
      ],
      state: () => ({ words: size(), max: values.maxGlossary, asked }),
      view: () => html`<p>Glossary of ${size()} words, asked ${asked} times. <b>${"<script>"}</b></p>`,
    };
  },
  agent: {
    options: options("Backend", {
      baseUrl: option.url({
        env: "TRANSLATE_BASE_URL",
        default: "http://127.0.0.1:8001/v1",
        rewrite: baseUrl,
        help: "Address of the translation service.",
      }),
      apiKey: option.secret({ env: "TRANSLATE_API_KEY", default: undefined, help: "Key of the service." }),
    }),
    backend: values => ({
      baseUrl: values.baseUrl,
      apiKey: values.apiKey,
      probe: async ask => {
        const list = models.parse(JSON.parse(await ask(`${values.baseUrl}/models`)));
        return { models: list.data.map(({ id }) => id) };
      },
    }),
  },
});
