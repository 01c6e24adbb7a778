// The dashboard and the alerts speak of metrics and labels that there are, and promtool takes them.
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { alertsOf } from "../../scripts/alerts.ts";
import { ROWS } from "../../scripts/grafana/rows.ts";
import { agentDeclarations, relayDeclarations } from "../../src/agent/metric-declarations.ts";
import { brokerDeclarations } from "../../src/broker/metric-declarations.ts";
import { isErrorCode } from "../../src/lib/errors.ts";

const packaging = join(import.meta.dir, "..", "..", "packaging");
const rules = await Bun.file(join(packaging, "prometheus", "nfrx.rules.yml")).text();
const alerts = alertsOf(rules);

/** Metric → its labels. */
const declared = new Map(
  [...brokerDeclarations(), ...agentDeclarations(), ...relayDeclarations()].map(({ name, type, labelNames }) => [
    name,
    { type, labels: new Set(labelNames) },
  ]),
);

/** What Prometheus adds to every series. */
const TARGET = ["job", "instance"];

interface Named {
  /** What is wrong with the names in it. */
  problems: string[];
  /** The labels that its result may have. */
  labels: Set<string>;
}

/** Looks up every metric and label that an expression names. */
function namesIn(expression: string): Named {
  const problems: string[] = [];
  const used = new Set(TARGET);
  const plain = expression.replace(/"(?:[^"\\]|\\.)*"/g, '""');
  const metrics = [...plain.matchAll(/\b((?:nfrx|process)_\w+|up)\b(?:\{([^}]*)\})?/g)];
  if (metrics.length === 0) problems.push("names no metric of ours");
  for (const [, name = "", matchers = ""] of metrics) {
    const base = declared.has(name) || name === "up" ? name : name.replace(/_(?:bucket|sum|count)$/, "");
    const metric = base === "up" ? { type: "gauge", labels: new Set<string>() } : declared.get(base);
    if (metric === undefined || (base !== name && metric.type !== "histogram")) {
      problems.push(`no metric ${name}`);
      continue;
    }
    const own = new Set([...metric.labels, ...TARGET, ...(name.endsWith("_bucket") ? ["le"] : [])]);
    for (const label of own) used.add(label);
    for (const [, label = ""] of matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)/g))
      if (!own.has(label)) problems.push(`${name} has no label ${label}`);
  }
  const grouped = [...plain.matchAll(/\b(by|on)\s*\(([^)]*)\)/g)].map(([, word, list = ""]) => ({
    word,
    labels: list.split(",").map(label => label.trim()),
  }));
  for (const label of grouped.flatMap(({ labels }) => labels))
    if (!used.has(label)) problems.push(`no metric here has the label ${label}`);
  const by = grouped.filter(({ word }) => word === "by").flatMap(({ labels }) => labels);
  return { problems, labels: by.length > 0 ? new Set(by) : used };
}

test("the check itself sees a wrong metric, a wrong matcher and a wrong grouping", () => {
  expect(namesIn("rate(nfrx_request_totals[5m])").problems).toEqual(["no metric nfrx_request_totals"]);
  expect(namesIn("nfrx_queue_length_bucket").problems).toEqual(["no metric nfrx_queue_length_bucket"]);
  expect(namesIn('nfrx_queue_length{module="llm"}').problems).toEqual(["nfrx_queue_length has no label module"]);
  expect(namesIn("sum by (model) (nfrx_queue_length)").problems).toEqual(["no metric here has the label model"]);
  expect(namesIn('sum by (ext, le) (rate(nfrx_request_duration_seconds_bucket{label="by (x)"}[5m]))').problems).toEqual(
    [],
  );
});

describe("the dashboard", () => {
  test.each(ROWS.flatMap(({ title, panels }) => panels.map(panel => [`${title}: ${panel.title}`, panel] as const)))(
    "%s",
    (_, { queries }) => {
      for (const { expr, legend } of queries) {
        const { problems, labels } = namesIn(expr);
        expect(problems).toEqual([]);
        const shown = [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = ""]) => label);
        expect(shown.filter(label => !labels.has(label))).toEqual([]);
      }
    },
  );

  test("its file is one that Grafana takes: ids that differ, nothing that overlaps, queries with letters of their own", async () => {
    const { panels, schemaVersion, templating } = await Bun.file(join(packaging, "grafana", "nfrx.json")).json();
    expect(schemaVersion).toBeGreaterThanOrEqual(42);
    expect(templating.list.map(({ name }: { name: string }) => name)).toEqual([
      "datasource",
      "instance",
      "ext",
      "agent",
    ]);
    const ids = panels.map(({ id }: { id: number }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const cells = new Set<string>();
    for (const { gridPos, targets = [] } of panels) {
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(cells.has(`${x} ${y}`)).toBeFalse();
          cells.add(`${x} ${y}`);
          expect(x).toBeLessThan(24);
        }
      const letters = targets.map(({ refId }: { refId: string }) => refId);
      expect(new Set(letters).size).toBe(letters.length);
    }
    for (const { query } of templating.list.slice(1)) expect(namesIn(query.query).problems).toEqual([]);
  });
});

describe("the alerts", () => {
  test.each(alerts.map(alert => [alert.alert, alert] as const))("%s", (_, { expr, annotations }) => {
    const { problems, labels } = namesIn(expr);
    expect(problems).toEqual([]);
    const shown = Object.values(annotations).flatMap(text => [...text.matchAll(/\$labels\.(\w+)/g)]);
    expect(shown.map(([, label = ""]) => label).filter(label => !labels.has(label))).toEqual([]);
    const codes = [...expr.matchAll(/error_code=~?"([^"]+)"/g)].flatMap(([, list = ""]) => list.split("|"));
    // A job's own words are no codes of requests.
    expect(codes.filter(code => !isErrorCode(code) && code !== "worker_lost")).toEqual([]);
  });

  test("no two have one name", () => {
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
  });
});

const promtool = Bun.which("promtool");

describe.skipIf(promtool === null)("promtool", () => {
  const run = (...args: string[]): { exitCode: number; said: string } => {
    const { exitCode, stdout, stderr } = Bun.spawnSync([promtool ?? "", ...args], {
      cwd: join(packaging, "prometheus"),
    });
    return { exitCode, said: `${stdout}${stderr}` };
  };

  test.each([
    ["check", "rules", "nfrx.rules.yml"],
    ["test", "rules", "nfrx.rules.test.yml"],
    ["check", "config", "prometheus.yml"],
  ])("%s %s %s", (does, what, file) => {
    const { exitCode, said } = run(does, what, file);
    expect(said).toContain("SUCCESS");
    expect(said).not.toMatch(/FAILED|WARN/i);
    expect(exitCode).toBe(0);
  });

  test("takes every query of the dashboard", () => {
    const folder = mkdtempSync(join(tmpdir(), "nfrx-"));
    try {
      const exprs = ROWS.flatMap(({ panels }) => panels.flatMap(({ queries }) => queries.map(({ expr }) => expr)));
      const records = exprs.map((expr, at) => ({
        record: `query_${at}`,
        expr: expr.replaceAll("$__rate_interval", "5m").replaceAll(/\$\w+/g, ".*"),
      }));
      writeFileSync(join(folder, "queries.yml"), stringify({ groups: [{ name: "dashboard", rules: records }] }));
      const { exitCode, said } = run("check", "rules", join(folder, "queries.yml"));
      expect(said).toContain(`SUCCESS: ${exprs.length} rules found`);
      expect(exitCode).toBe(0);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
