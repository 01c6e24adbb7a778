import type { AgentEndpoint } from "../modules/module.ts";
import type { RequestHead } from "../protocol/frames.ts";

/** True if a request is for one of a module's endpoints: an agent serves nothing else, whatever its broker sends. */
export function declares(endpoints: readonly AgentEndpoint[]): (head: Pick<RequestHead, "method" | "path">) => boolean {
  const exact = new Map<string, Set<string>>();
  const byMethod = new Map<string, RegExp[]>();
  for (const { method, backendPath } of endpoints) {
    if (!/[:*]/.test(backendPath)) {
      const paths = exact.get(method) ?? new Set();
      exact.set(method, paths.add(backendPath));
      continue;
    }
    const patterns = byMethod.get(method) ?? [];
    patterns.push(patternOf(backendPath));
    byMethod.set(method, patterns);
  }
  return ({ method, path }) => {
    const query = path.indexOf("?");
    const plain = query === -1 ? path : path.slice(0, query);
    if (exact.get(method)?.has(plain)) return true;
    return byMethod.get(method)?.some(pattern => pattern.test(plain)) ?? false;
  };
}

/** `:name` stands for one segment, a last `/*` for all that follows. */
function patternOf(backendPath: string): RegExp {
  const source = backendPath
    .replace(/\/\*$/, "")
    .replace(/[.+?^${}()|[\]\\]/g, "\\$&")
    .replace(/:\w+/g, "[^/]+");
  return new RegExp(`^${source}${backendPath.endsWith("/*") ? "/.*" : ""}$`);
}
