import { agentDeclarations, relayDeclarations } from "../src/agent/metric-declarations.ts";
import { brokerDeclarations } from "../src/broker/metric-declarations.ts";
import { cell, code, NOTICE, table } from "../src/config/render.ts";
import type { Declaration } from "../src/lib/series.ts";

/** doc/metrics.md */
export function metricsPage(): string {
  const broker = brokerDeclarations();
  const agent = agentDeclarations();
  // What any program tells of its process.
  const shared = new Set(agent.map(({ name }) => name).filter(name => broker.some(one => one.name === name)));
  const own = (all: readonly Declaration[]): readonly Declaration[] => all.filter(({ name }) => !shared.has(name));
  const chapters: [string, readonly Declaration[]][] = [
    ["The broker", own(broker)],
    ["Every agent", own(agent)],
    ["nfrx-mcp besides", relayDeclarations()],
    ["Every program", agent.filter(({ name }) => shared.has(name))],
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

const INTRODUCTION = `In Prometheus' text format at \`/metrics\`: of the broker on its public port, or on the address that \`METRICS_PORT\`
names and then there alone; of an agent where its \`METRICS_PORT\` says, else nowhere. On the public port, bring \`API_KEY\` or
\`ADMIN_KEY\`, or set \`METRICS_OPEN=true\`; the other addresses ask for no key. How to scrape and watch them is in
[monitoring.md](monitoring.md).

- \`ext\` is the module (\`llm\`, \`asr\`, \`docling\`, \`mcp\`), \`job_type\` what was asked of it (\`llm.completion\`, \`llm.embedding\`,
  \`mcp.call\`, …), \`label\` the model, the method of MCP, or the module where there is neither. \`plugin_type\` is \`tunnel\` for MCP,
  else \`worker\`.
- A model counts under the name by which somebody serves it; one that nobody serves is \`unknown\`. At most 500 models and 500
  workers have series of their own, what comes beyond is \`other\`. The series of a model or worker that has left end a day
  later, or sooner when a newcomer needs the room. The connection of a worker may end and come back: its counters go on.
- \`error_code\` is empty where \`success\` is \`true\`, else the word that the client was told, or \`canceled\` when it went away.
- Tokens are what backends report in \`usage\`, taken from the answer as it passes. Of an answer that is given up before its
  end, the tokens count that had been reported by then: none when the backend reports at the end only, the last of several
  reports when it sends one with each event. Embeddings count when they have come: all of an answer, and of a request that
  is split over several workers those of the parts that were answered, even when another part fails. The state counts the
  same.
- Metrics by worker count a request once, for the worker that answered it or had it last; a part of a split request for the
  worker that had the part.`;
