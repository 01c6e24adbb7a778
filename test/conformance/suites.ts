// The official conformance suites as data: which release, what it is asked to run.
export const suites = {
  "0.1-all": { package: "mcp-conformance-0.1", arguments: ["--suite", "all"] },
  "0.2-2025-11-25": { package: "mcp-conformance-0.2", arguments: ["--requirements", "2025-11-25"] },
  "0.2-2026-07-28": { package: "mcp-conformance-0.2", arguments: ["--requirements", "2026-07-28"] },
} as const;

export type Suite = keyof typeof suites;
export const suiteNames = ["0.1-all", "0.2-2025-11-25", "0.2-2026-07-28"] as const satisfies readonly Suite[];

/** How the private server speaks. */
export type Provider = "http" | "stdio";
export const providerNames = ["http", "stdio"] as const satisfies readonly Provider[];
