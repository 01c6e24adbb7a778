// The page of the state.
import { z } from "zod";
import type { Operation, Route } from "../../../modules/route.ts";
import dashboard from "./index.html" with { type: "text" };

export function dashboardRoutes(): Route[] {
  return [
    {
      method: "GET",
      path: "/state",
      tag: "state",
      auth: "none",
      errors: "openai",
      operation: PAGE,
      answer: () => new Response(DASHBOARD, { headers: DASHBOARD_HEADERS }),
    },
  ];
}

const PAGE: Operation = {
  summary: "See the state in a browser",
  description: "The page asks for the key of the API where one is needed.",
  responses: { 200: { description: "The page.", content: [{ type: "text/html", schema: z.string() }] } },
};

// Bun's types know .html only as a bundle; imported as text it is a string.
const DASHBOARD = String(dashboard);

const DASHBOARD_HEADERS = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy":
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
};
