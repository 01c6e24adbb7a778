import { join } from "node:path";
import type { McpProvider } from "../processes.ts";
import type { Roll } from "./roll.ts";

/** The provider that starts tools.ts. */
export function toolsCommand(roll: Roll, ...args: "lingers"[]): McpProvider {
  return { stdio: [process.execPath, join(import.meta.dir, "tools.ts"), String(roll.port), ...args] };
}
