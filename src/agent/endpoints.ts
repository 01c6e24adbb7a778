import type { Endpoint } from "../modules/module.ts";
import type { RequestHead } from "../protocol/frames.ts";

export type DeclaredEndpoint = Pick<Endpoint, "method" | "backendPath">;

/** Answers whether a request is for one of a module's endpoints: an agent serves nothing else, whatever its broker sends. */
export function declares(
  endpoints: readonly DeclaredEndpoint[],
): (head: Pick<RequestHead, "method" | "path">) => boolean {
  const byMethod = new Map<string, RegExp[]>();
  for (const { method, backendPath } of endpoints) {
    const patterns = byMethod.get(method) ?? [];
    patterns.push(patternOf(backendPath));
    byMethod.set(method, patterns);
  }
  return ({ method, path }) => {
    const plain = path.split("?", 1)[0] ?? "";
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
