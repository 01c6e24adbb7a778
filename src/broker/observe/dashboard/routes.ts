// The page of the state and its files.
import type { Route } from "../../../modules/route.ts";
import { DASHBOARD_FILES, dashboardFile } from "./assets.ts";

export function dashboardRoutes(): Route[] {
  return DASHBOARD_FILES.map(({ path, summary }) => ({
    method: "GET",
    path,
    tag: "state",
    auth: "none",
    errors: "openai",
    operation: {
      summary,
      responses: { 200: { description: "The file." }, 304: { description: "The browser has it already." } },
    },
    answer: ({ request }) => dashboardFile(request),
  }));
}
