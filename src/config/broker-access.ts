import { randomKey } from "../lib/keys.ts";
import { option } from "./option.ts";
import { baseUrl, forwardedHeader, network, origin, text } from "./values.ts";

/** Default networks of trusted proxies: this machine and private networks. */
const PRIVATE_NETWORKS = ["127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/** Which requests are let in, and which of their headers pass. */
export const accessOptions = {
  apiKey: option.secret({
    env: "API_KEY",
    default: undefined,
    seed: randomKey,
    help: "API key that callers send.",
  }),
  clientKey: option.secret({
    env: "CLIENT_KEY",
    default: undefined,
    seed: randomKey,
    help: "The agents' key: agents and job workers send it, callers do not. The name CLIENT_KEY is inherited from 0.9.",
  }),
  adminKey: option.secret({
    env: "ADMIN_KEY",
    default: undefined,
    seed: randomKey,
    help: "Operators' key, for draining and disconnecting workers. Without it these actions are off.",
  }),
  apiHttpRoles: option.list({
    env: "API_HTTP_ROLES",
    of: text(),
    default: [],
    help: "Roles in X-User-Roles, set by a trusted proxy, that give access to the API without a key.",
  }),
  clientHttpRoles: option.list({
    env: "CLIENT_HTTP_ROLES",
    of: text(),
    default: [],
    help: "Roles in X-User-Roles, set by a trusted proxy, that let agents connect without a key.",
  }),
  allowOpen: option.bool({
    env: "ALLOW_OPEN",
    default: false,
    help: "Listens on HOST even if API_KEY or CLIENT_KEY (or the roles that replace it) is not set. Otherwise such a broker listens on 127.0.0.1 only.",
  }),
  metricsOpen: option.bool({
    env: "METRICS_OPEN",
    default: false,
    help: "Serves /metrics on the public port without a key. Otherwise API_KEY or ADMIN_KEY is required there. METRICS_PORT never requires a key.",
  }),
  trustedProxies: option.list({
    env: "TRUSTED_PROXIES",
    of: network,
    expects: "a list of networks such as 10.0.0.0/8, or none",
    emptyWord: "none",
    default: PRIVATE_NETWORKS,
    help: "Networks of the proxies whose X-User-Roles is trusted; none trusts no proxy.",
  }),
  allowedOrigins: option.list({
    env: "ALLOWED_ORIGINS",
    of: origin,
    expects: "a list of origins such as https://app.example, or *",
    default: [],
    defaultNote: "unset, which denies all",
    help: "Origins whose pages may call the API (CORS), such as https://app.example. null and file:// stand for local files, * allows all.",
  }),
  allowedHosts: option.list({
    env: "ALLOWED_HOSTS",
    of: text(),
    default: [],
    defaultNote: "any; if HOST is a loopback address, this machine's own names",
    help: "Host names under which callers reach this broker, including its public name behind a proxy. Requests under another name are refused at MCP relays, and everywhere on a broker without keys.",
  }),
  publicUrl: option.url({
    env: "PUBLIC_URL",
    default: undefined,
    rewrite: baseUrl,
    help: "URL under which callers reach this broker, such as https://ai.example. Adds its host name to ALLOWED_HOSTS and its origin to ALLOWED_ORIGINS.",
  }),
  forwardHeaders: option.list({
    env: "FORWARD_HEADERS",
    of: forwardedHeader,
    expects:
      "a list of header names such as x-session-id or openai-*; credentials, cookies and addresses are not allowed",
    default: [],
    help: "Additional request headers to forward to backends. A trailing * matches any ending. Credentials, cookies and addresses are never forwarded.",
  }),
};
