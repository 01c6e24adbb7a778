// Private HTTP services, each at an address of its own: `/api/tool/id/{id}/…` is what its agent finds at TOOL_URL.
import { defineModule, html, option, options, poolSettings, queueOptions } from "nfrx/plugin";

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"] as const;

export default defineModule({
  id: "tool",
  summary: "Private HTTP services, each at an address of its own.",
  options: options("Module tool", {
    ...queueOptions("tool"),
    greeting: option.text({
      env: "TOOL_GREETING",
      yaml: "plugin_options.tool.greeting",
      default: "hello",
      help: "What GET /api/tool/greeting says.",
    }),
  }),

  serve: ({ values, log, metrics }) => {
    const greetings = metrics.counter({ name: "nfrx_tool_greetings_total", help: "Greetings said." });
    let said = 0;
    return {
      // The relay: every method and path below a tool's id passes to its agent, as it came.
      worker: {
        id: "tool",
        summary: "Private HTTP services, each at an address of its own.",
        listsModels: false,
        errors: "plain",
        reach: "id",
        endpoints: METHODS.map(method => ({
          method,
          path: "/*",
          backendPath: "/*",
          jobType: "tool.call",
          label: "none",
          events: false,
          headers: "all",
          operation: {
            summary: `${method} what the tool has`,
            responses: { 200: { description: "The tool's answer." } },
          },
        })),
      },
      pool: poolSettings(values),

      // A route of its own, behind the API key.
      routes: [
        {
          method: "GET",
          path: "/api/tool/greeting",
          tag: "tool",
          auth: "api",
          errors: "plain",
          operation: { summary: "Say hello", responses: { 200: { description: "The greeting." } } },
          answer: () => {
            greetings.add();
            said++;
            log.debug({ said }, "a greeting was said");
            return Response.json({ greeting: values.greeting });
          },
        },
      ],

      // What the state and the dashboard show of it.
      state: () => ({ greetings_said: said }),
      view: ({ pool }) => html`<p>${pool?.workers.length ?? 0} tools, ${said} greetings said.</p>`,
    };
  },

  // nfrx worker --plugin tool.ts
  agent: {
    options: options("Backend", {
      url: option.url({ env: "TOOL_URL", default: "http://127.0.0.1:9000", help: "The private service." }),
    }),
    backend: ({ url }) => ({
      baseUrl: url.replace(/\/$/, ""),
      headers: "all",
      apiKey: undefined,
      pollMs: 30_000,
      facts: {},
      probe: async ask => {
        await ask(url);
        return { models: [], facts: {} };
      },
    }),
  },
});
