import { options } from "../config/group.ts";
import { option } from "../config/option.ts";
import { defineModule } from "./define.ts";

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const GIB = 1024 ** 3;

/** The broker's options of this module. */
export const mcpBrokerOptions = options(
  "Module mcp",
  {
    maxReqBytes: option.bytes({
      env: "BROKER_MAX_REQ_BYTES",
      yaml: "plugin_options.mcp.max_req_bytes",
      flag: "mcp-max-req-bytes",
      default: 10_485_760,
      min: 1024,
      max: GIB,
      help: "Maximum size of an MCP request. Larger requests get 413.",
    }),
    maxRespBytes: option.bytes({
      env: "BROKER_MAX_RESP_BYTES",
      yaml: "plugin_options.mcp.max_resp_bytes",
      flag: "mcp-max-resp-bytes",
      default: 10_485_760,
      min: 1024,
      max: GIB,
      help: "Maximum size of an MCP response.",
    }),
    wsHeartbeatMs: option.int({
      env: "BROKER_WS_HEARTBEAT_MS",
      yaml: "plugin_options.mcp.ws_heartbeat_ms",
      flag: "mcp-ws-heartbeat-ms",
      default: 15_000,
      min: 10,
      max: 10 * MINUTE,
      help: "Interval between pings to a relay, in milliseconds.",
    }),
    wsDeadAfterMs: option.int({
      env: "BROKER_WS_DEAD_AFTER_MS",
      yaml: "plugin_options.mcp.ws_dead_after_ms",
      flag: "mcp-ws-dead-after-ms",
      default: 45_000,
      min: 10,
      max: 60 * MINUTE,
      help: "Idle timeout of a relay connection, in milliseconds.",
    }),
    maxConcurrencyPerClient: option.int({
      env: "BROKER_MAX_CONCURRENCY_PER_CLIENT",
      yaml: "plugin_options.mcp.max_concurrency_per_client",
      flag: "mcp-max-concurrency-per-client",
      default: 16,
      min: 1,
      max: 100_000,
      help: "Maximum number of concurrent calls per relay. Further calls wait up to MCP_QUEUE_TIMEOUT.",
    }),
    queueTimeoutMs: option.duration({
      env: "MCP_QUEUE_TIMEOUT",
      yaml: "plugin_options.mcp.queue_timeout",
      flag: "mcp-queue-timeout",
      default: "30s",
      max: DAY,
      help: "Time that a call waits for a busy relay before it gets 429. 0 rejects it immediately.",
    }),
    requireApiKey: option.bool({
      env: "MCP_REQUIRE_API_KEY",
      yaml: "plugin_options.mcp.require_api_key",
      default: false,
      help: "Requires the broker's API_KEY from callers of every relay, in addition to the relay's AUTH_TOKEN if it has one.",
    }),
    allowOpen: option.bool({
      env: "MCP_ALLOW_OPEN",
      yaml: "plugin_options.mcp.allow_open",
      default: false,
      help: "Allows relays with MCP_OPEN to serve callers without credentials.",
    }),
  },
  ({ wsHeartbeatMs, wsDeadAfterMs }) =>
    wsDeadAfterMs > wsHeartbeatMs
      ? []
      : [
          {
            keys: ["wsHeartbeatMs", "wsDeadAfterMs"],
            problem: "the relay timeout must be longer than one ping interval",
          },
        ],
);

/** Relays of MCP servers. Their agent is a program of its own. */
export const mcpModule = defineModule({
  id: "mcp",
  summary: "MCP servers, each at its own address.",
  options: mcpBrokerOptions,
  serve: ({ values }) => ({ relays: values }),
});
