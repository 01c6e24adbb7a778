// The page of the state and its files.
import { z } from "zod";
import type { Route } from "../../../modules/route.ts";
import { DASHBOARD_FILES, dashboardFile } from "./assets.ts";

export function dashboardRoutes(): Route[] {
  return DASHBOARD_FILES.map(({ path, summary, description, type }) => ({
    method: "GET",
    path,
    tag: "state",
    scopes: ["public"],
    errors: "openai",
    operation: {
      summary,
      ...(description !== undefined && { description }),
      responses: {
        200: { description: "The file.", content: [{ type: type.split(";", 1)[0] ?? type, schema: z.string() }] },
        304: { description: "Not modified." },
      },
    },
    answer: ({ request }) => dashboardFile(request),
  }));
}
