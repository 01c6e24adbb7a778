import { expect, test } from "bun:test";
import { nfrx, nfrxLlm, nfrxMcp } from "../../../cmd/programs.ts";
import { errorOf, mistakesOf } from "./host.ts";

test("every mistake of every source comes in one message", () => {
  const error = errorOf(nfrx, {
    file: "prot: 1\nport: x\nlog_level: loud",
    env: { REQUEST_TIMEOUT: "soon", TLS_CERT_FILE: "/c.pem" },
    argv: ["--llm-queue-size=-1", "--verbose"],
  });
  expect(error.message.split("\n")).toEqual([
    "cannot start: 7 errors in the configuration:",
    '  - file /etc/nfrx/server.yaml, line 1: unknown key "prot"; did you mean port?',
    "  - unknown flag --verbose",
    '  - PORT: "x" is not a port from 0 to 65535 (file /etc/nfrx/server.yaml, line 2, key port)',
    '  - LOG_LEVEL: "loud" is not one of all, debug, info, warn, error, fatal, none (file /etc/nfrx/server.yaml, line 3, key log_level)',
    '  - REQUEST_TIMEOUT: "soon" is not a duration from 1s to 24h such as 30s or 1m30s, or a number of seconds (environment variable REQUEST_TIMEOUT)',
    '  - LLM_QUEUE_SIZE: "-1" is not a whole number from 0 to 100000 (flag --llm-queue-size)',
    "  - TLS_CERT_FILE (environment variable TLS_CERT_FILE), TLS_KEY_FILE (unset): set both for TLS, or neither",
    "All options: nfrx --help all",
  ]);
});

test("a value that a later source replaces must parse all the same", () => {
  expect(mistakesOf(nfrx, { file: "port: x", env: { PORT: "1" } })).toHaveLength(1);
});

test("an unknown flag does not show what follows it, and takes it for its value", () => {
  expect(mistakesOf(nfrx, { argv: ["--api-kee", "hunter2", "--port", "1"] })).toEqual([
    "unknown flag --api-kee; did you mean --api-key?",
  ]);
  expect(errorOf(nfrx, { argv: ["--api-kee=hunter2"] }).message).not.toContain("hunter2");
  expect(mistakesOf(nfrx, { argv: ["--request_timeout=1"] })[0]).toEndWith("did you mean --request-timeout?");
});

test("a flag without its value is a mistake, also before another flag", () => {
  expect(mistakesOf(nfrx, { argv: ["--port"] })).toEqual(["flag --port needs a value"]);
  expect(mistakesOf(nfrx, { argv: ["--api-key", "--port", "1"] })).toEqual(["flag --api-key needs a value"]);
  expect(mistakesOf(nfrx, { argv: ["--api-key="] })).toEqual(["flag --api-key needs a value"]);
  expect(mistakesOf(nfrx, { argv: ["--config"] })).toEqual(["flag --config needs a value"]);
});

test("only a boolean can be denied", () => {
  expect(mistakesOf(nfrx, { argv: ["--no-port"] })[0]).toStartWith("unknown flag --no-port");
  expect(mistakesOf(nfrxLlm, { argv: ["--no-reconnect=true"] })).toEqual([
    "flag --no-reconnect takes no value; use --reconnect=false",
  ]);
});

test("arguments that are neither flags nor a command are mistakes", () => {
  expect(mistakesOf(nfrx, { argv: ["deme"] })).toEqual(['unknown command "deme"; did you mean demo?']);
  expect(mistakesOf(nfrxLlm, { argv: ["demo"] })).toEqual(['unknown command "demo"']);
  expect(mistakesOf(nfrxLlm, { argv: ["--reconnect", "false"] })).toEqual([
    "unexpected argument 2 after --reconnect; use = to give a value",
  ]);
  expect(errorOf(nfrx, { argv: ["--api-key=", "hunter2"] }).message).not.toContain("hunter2");
});

test("an unknown key is named with its path and its line", () => {
  const file = "plugin_options:\n  llm:\n    queue_sice: 3\n  lm:\n    x: 1";
  expect(mistakesOf(nfrx, { file })).toEqual([
    'file /etc/nfrx/server.yaml, line 3: unknown key "plugin_options.llm.queue_sice"; did you mean plugin_options.llm.queue_size?',
    'file /etc/nfrx/server.yaml, line 4: unknown key "plugin_options.lm"',
  ]);
  expect(mistakesOf(nfrx, { file: "llm_queue_size: 3" })[0]).toEndWith("did you mean plugin_options.llm.queue_size?");
  expect(mistakesOf(nfrx, { file: "metrics_port: 3" })[0]).toEndWith("did you mean metrics_addr?");
  expect(mistakesOf(nfrx, { file: "require_api_key: yes" })[0]).toEndWith("mean plugin_options.mcp.require_api_key?");
  expect(mistakesOf(nfrx, { file: "worker_grace: 3s" })[0]).toEndWith('unknown key "worker_grace"');
});

test("a key that is there twice is a mistake, also in two spellings", () => {
  expect(mistakesOf(nfrx, { file: "port: 1\nport: 2" })).toEqual([
    "file /etc/nfrx/server.yaml, line 2: this key appears twice",
  ]);
  expect(mistakesOf(nfrxMcp, { file: "stdio:\n  allowRelative: true\n  allow_relative: true" })).toEqual([
    "file /etc/nfrx/mcp.yaml, line 3: key stdio.allow_relative sets the same option as key stdio.allowRelative; remove one of them",
  ]);
});

test("broken YAML is named with its line, and never quoted", () => {
  for (const [broken, line] of [
    ["a: b\napi_key: 'hunter2", 2],
    ["port: 1\n\tapi_key: hunter2", 2],
    ["api_key: |hunter2\n", 1],
    ["api_key: !hunter2", 1],
    ["port: 1\napi_key: @hunter2", 2],
    ["api_key: [hunter2", 1],
    ["port: 1\n---\napi_key: hunter2", 2],
    ["%hunter2\n---\nport: 1", 1],
    ['api_key: "\\hunter2"', 1],
  ] as const) {
    const { message } = errorOf(nfrx, { file: broken });
    expect(message).toContain("file /etc/nfrx/server.yaml, line");
    expect(message).not.toContain("unter2");
    expect(message).toContain(`line ${line}`);
  }
});

test("a value of the wrong form is a mistake", () => {
  expect(mistakesOf(nfrx, { file: "port: [1, 2]" })[0]).toStartWith("PORT: expected a single value (file");
  expect(mistakesOf(nfrx, { file: "port:\n  x: 1" })[0]).toStartWith("PORT: expected a single value (file");
  expect(mistakesOf(nfrx, { file: "plugin_options: 3" })[0]).toEndWith("takes nested keys, not a value");
  expect(mistakesOf(nfrx, { file: "- port" })[0]).toContain("line 1: expected");
  expect(mistakesOf(nfrx, { file: "api_key: *hunter2" })[0]).toContain("must be quoted");
  expect(mistakesOf(nfrx, { file: "api_key: *hunter2" })[0]).not.toContain("hunter2");
});

test("secrets are never shown", () => {
  const bad = "hunter2\u0001";
  const machine = { file: `client_key: "hunter2\\u0001"`, env: { API_KEY: bad, REDIS_ADDR: `hunter2 ${bad}` } };
  const error = errorOf(nfrx, { ...machine, argv: [`--admin-key=${bad}`] });
  expect(error.mistakes).toHaveLength(4);
  expect(JSON.stringify([error.message, error.mistakes])).not.toContain("hunter2");
  expect(error.message).toContain("API_KEY: (hidden) is not printable ASCII");
});

test("credentials in a URL are never shown", () => {
  const { message } = errorOf(nfrxLlm, {
    env: { SERVER_URL: "ftp://me:hunter2@host/x", COMPLETION_BASE_URL: "hunter2@host" },
  });
  expect(message).toContain('"ftp://***@host/x"');
  expect(message).not.toContain("hunter2");
});

test("options that belong together are checked together", () => {
  expect(mistakesOf(nfrx, { env: { MAX_BODY_BYTES: "2GiB" } })[0]).toContain("MAX_BUFFERED_BYTES (unset)");
  expect(mistakesOf(nfrx, { env: { BROKER_WS_DEAD_AFTER_MS: "100" } })).toHaveLength(1);
  expect(mistakesOf(nfrxMcp, { env: { MCP_STDIO_COMMAND: "npx" } })[0]).toContain("absolute path");
  expect(mistakesOf(nfrxMcp, { env: { MCP_OAUTH_ENABLED: "true" } })[0]).toContain("client ID");
});
