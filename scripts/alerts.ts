import { parse } from "yaml";
import { z } from "zod";
import { cell, code, table } from "../src/config/render.ts";

const file = z.object({
  groups: z.array(
    z.object({
      name: z.string(),
      rules: z.array(
        z.object({
          alert: z.string(),
          expr: z.string(),
          for: z.string().optional(),
          labels: z.object({ severity: z.enum(["page", "ticket"]) }),
          annotations: z.object({ summary: z.string(), description: z.string() }),
        }),
      ),
    }),
  ),
});

export type Alert = z.infer<typeof file>["groups"][number]["rules"][number];

/** The alerts of a file of Prometheus' rules. Throws when it holds anything else. */
export function alertsOf(rules: string): Alert[] {
  return file.parse(parse(rules)).groups.flatMap(group => group.rules);
}

/** The alerts as a table. */
export function alertTable(rules: string): string {
  const rows = alertsOf(rules).map(({ alert, labels, annotations, ...rest }) => [
    code(alert),
    labels.severity,
    rest.for ?? "at once",
    plain(cell(annotations.summary)),
    plain(cell(annotations.description)),
  ]);
  return table(["Alert", "Severity", "After", "What", "Why it matters"], rows);
}

/** A text of the file for people: its placeholders as words. */
function plain(text: string): string {
  return text.replace(/\{\{ \$labels\.(\w+) \}\}/g, "*$1*").replace(/\{\{ \$value[^}]*\}\}/g, "*N*");
}
