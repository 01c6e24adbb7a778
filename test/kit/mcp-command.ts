import { join } from "node:path";
import type { McpProvider } from "./processes.ts";
import type { Roll } from "./roll.ts";

/** The provider that starts mcp-tools.ts. */
export function toolsCommand(roll: Roll, ...args: "lingers"[]): McpProvider {
  return { stdio: [process.execPath, join(import.meta.dir, "mcp-tools.ts"), String(roll.port), ...args] };
}
