import { type Panel, type Query, ROWS } from "./rows.ts";

/** Grafana's version of the form that this is, the newest one; older programs take it too. */
const SCHEMA_VERSION = 42;
/** Columns of Grafana's grid. */
const COLUMNS = 24;
const STAT = { width: 3, height: 4 };
const GRAPH = { width: 8, height: 8 };

const DATASOURCE = { type: "prometheus", uid: "$datasource" };

/** packaging/grafana/nfrx.json */
export function dashboard(): string {
  return `${JSON.stringify(
    {
      uid: "nfrx",
      title: "nfrx",
      description: "Brokers and agents of nfrx. Made from scripts/grafana by `npm run docs`; change it there.",
      tags: ["nfrx"],
      schemaVersion: SCHEMA_VERSION,
      version: 1,
      editable: true,
      graphTooltip: 1,
      refresh: "30s",
      time: { from: "now-3h", to: "now" },
      timezone: "browser",
      templating: { list: variables() },
      panels: panels(),
    },
    undefined,
    2,
  )}\n`;
}

function variables(): object[] {
  const choice = (name: string, label: string, query: string): object => ({
    name,
    label,
    type: "query",
    datasource: DATASOURCE,
    query: { query, refId: name },
    refresh: 2,
    sort: 1,
    multi: true,
    includeAll: true,
    allValue: ".*",
    current: { text: ["All"], value: ["$__all"] },
  });
  return [
    { name: "datasource", label: "Prometheus", type: "datasource", query: "prometheus", current: {} },
    choice("instance", "Broker", "label_values(nfrx_build_info, instance)"),
    choice("ext", "Module", 'label_values(nfrx_workers_connected{instance=~"$instance"}, ext)'),
    choice("agent", "Agent", "label_values(nfrx_worker_build_info, instance)"),
  ];
}

/** Rows from top to bottom, panels from left to right. */
function panels(): object[] {
  const all: object[] = [];
  let y = 0;
  const place = (title: object, width: number, height: number, x: number): void => {
    all.push({ id: all.length + 1, ...title, gridPos: { x, y, w: width, h: height } });
  };
  for (const row of ROWS) {
    place({ type: "row", title: row.title, collapsed: false, panels: [] }, COLUMNS, 1, 0);
    y += 1;
    let x = 0;
    let height = 0;
    for (const panel of row.panels) {
      const size = panel.stat ? STAT : GRAPH;
      if (x + size.width > COLUMNS) {
        x = 0;
        y += height;
      }
      place(shown(panel), size.width, size.height, x);
      x += size.width;
      height = size.height;
    }
    y += height;
  }
  return all;
}

function shown({ title, unit, queries, stat, stacked, description }: Panel): object {
  return {
    type: stat ? "stat" : "timeseries",
    title,
    ...(description !== undefined && { description }),
    datasource: DATASOURCE,
    targets: queries.map(target),
    fieldConfig: {
      defaults: {
        unit,
        min: 0,
        ...(!stat && {
          custom: {
            drawStyle: "line",
            fillOpacity: stacked ? 30 : 5,
            lineWidth: 1,
            showPoints: "never",
            spanNulls: false,
            stacking: { mode: stacked ? "normal" : "none", group: "A" },
          },
        }),
      },
      overrides: [],
    },
    options: stat
      ? { reduceOptions: { calcs: ["lastNotNull"] }, colorMode: "none", graphMode: "area", textMode: "value" }
      : { legend: { displayMode: "list", placement: "bottom" }, tooltip: { mode: "multi", sort: "desc" } },
  };
}

function target({ expr, legend }: Query, at: number): object {
  return {
    refId: String.fromCharCode("A".charCodeAt(0) + at),
    datasource: DATASOURCE,
    editorMode: "code",
    expr,
    legendFormat: legend === "" ? "__auto" : legend,
    range: true,
  };
}
