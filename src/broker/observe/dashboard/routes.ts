// The page of the state.
import type { Route } from "../../../modules/route.ts";
import dashboard from "./index.html" with { type: "text" };

export function dashboardRoutes(): Route[] {
  return [
    {
      method: "GET",
      path: "/state",
      tag: "state",
      auth: "none",
      errors: "openai",
      operation: { summary: "See the state in a browser", responses: { 200: { description: "The page." } } },
      answer: () => new Response(DASHBOARD, { headers: DASHBOARD_HEADERS }),
    },
  ];
}

// Bun's types know .html only as a bundle; imported as text it is a string.
const DASHBOARD = String(dashboard);

const DASHBOARD_HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy":
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};
