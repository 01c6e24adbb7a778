/**
 * The proxy through which `url` is to be reached, by the variables that curl knows; Bun's WebSocket client does not look
 * at them itself. Undefined for a direct connection.
 */
export function proxyFor(url: string, env: Record<string, string | undefined>): string | undefined {
  const { protocol, hostname } = new URL(url);
  const names =
    protocol === "wss:" || protocol === "https:" ? ["https_proxy", "HTTPS_PROXY"] : ["http_proxy", "HTTP_PROXY"];
  const proxy = [...names, "all_proxy", "ALL_PROXY"].map(name => env[name]).find(value => value);
  return proxy === undefined || isExempt(hostname, env["no_proxy"] ?? env["NO_PROXY"] ?? "") ? undefined : proxy;
}

function isExempt(hostname: string, list: string): boolean {
  if (hostname === "localhost" || hostname === "127.0.0.1" || hostname === "[::1]") return true;
  return list
    .split(",")
    .map(entry => entry.trim().replace(/^\*?\./, ""))
    .some(entry => entry === "*" || (entry !== "" && (hostname === entry || hostname.endsWith(`.${entry}`))));
}
