import { agentDeclarations, relayDeclarations } from "../src/agent/metric-declarations.ts";
import { brokerDeclarations } from "../src/broker/metric-declarations.ts";
import { cell, code, NOTICE, table } from "../src/config/render.ts";
import type { Declaration } from "../src/lib/series.ts";

/** doc/metrics.md */
export function metricsPage(): string {
  const broker = brokerDeclarations();
  const agent = agentDeclarations();
  // Metrics of the process, which every program has.
  const shared = new Set(agent.map(({ name }) => name).filter(name => broker.some(one => one.name === name)));
  const own = (all: readonly Declaration[]): readonly Declaration[] => all.filter(({ name }) => !shared.has(name));
  const chapters: [string, readonly Declaration[]][] = [
    ["Broker", own(broker)],
    ["Agents", own(agent)],
    ["Only nfrx-mcp", relayDeclarations()],
    ["All programs", agent.filter(({ name }) => shared.has(name))],
  ];
  const text = chapters.map(([title, metrics]) => `## ${title}\n\n${metricTable(metrics)}\n`);
  return `${NOTICE}\n\n# Metrics\n\n${INTRODUCTION}\n\n${text.join("\n")}`;
}

function metricTable(metrics: readonly Declaration[]): string {
  const rows = metrics.map(({ name, type, labelNames, help }) => [
    code(name),
    type,
    labelNames.map(code).join(" "),
    cell(help),
  ]);
  return table(["Name", "Type", "Labels", "Meaning"], rows);
}

const INTRODUCTION = `Metrics are served in Prometheus' text format at \`/metrics\`: by the broker on its public port, or only on
\`METRICS_PORT\` if that is set; by an agent only on its \`METRICS_PORT\`. On the public port, send \`API_KEY\` or \`ADMIN_KEY\`, or
set \`METRICS_OPEN=true\`; the other addresses require no key. To scrape and watch them, see [monitoring.md](monitoring.md).

- \`ext\` is the module (\`llm\`, \`asr\`, \`docling\`, \`mcp\`). \`job_type\` is the request type (\`llm.completion\`, \`llm.embedding\`,
  \`mcp.call\`, …). \`label\` is the model or the MCP method, or the module if there is neither. \`plugin_type\` is \`tunnel\` for MCP,
  else \`worker\`.
- A model counts under the name by which a worker serves it; a model without a worker counts as \`unknown\`. Up to 500 models and
  500 workers have their own series; the others share the label \`other\`. The series of a model or worker that has left end
  after a day, or earlier if a new one needs the space. When a worker reconnects, its counters continue.
- \`error_code\` is empty if \`success\` is \`true\`. Otherwise it is the error code that the client got, or \`canceled\` if the client
  disconnected.
- Tokens are the numbers that backends report in \`usage\`. If a response is canceled, the tokens reported until then count: none
  if the backend reports only at the end, the last report if it reports with each event. Embeddings count when they arrive. For
  a split request, the parts with a response count even if another part fails. The state uses the same numbers.
- Metrics by worker count a request once, for the worker that responded or was tried last. Each part of a split request counts
  for the worker of that part.`;
