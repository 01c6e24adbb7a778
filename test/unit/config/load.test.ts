import { expect, test } from "bun:test";
import { nfrx, nfrxLlm, nfrxMcp } from "../../../cmd/programs.ts";
import { load } from "../../../src/config/load.ts";
import { forbidden, host, mistakesOf, valuesOf } from "./host.ts";

test("the later source wins: default, file, environment, command line", () => {
  const file = "port: 1";
  const env = { PORT: "2" };
  expect(valuesOf(nfrx, {}).broker.port).toBe(8080);
  expect(valuesOf(nfrx, { file }).broker.port).toBe(1);
  expect(valuesOf(nfrx, { file, env }).broker.port).toBe(2);
  expect(valuesOf(nfrx, { file, env, argv: ["--port", "3"] }).broker.port).toBe(3);
  expect(valuesOf(nfrx, { file, env, argv: ["--port", "3", "--port=4"] }).broker.port).toBe(4);
});

test("it says where each value came from", () => {
  const machine = { file: "\nport: 1", env: { OLLAMA_API_KEY: "k" }, argv: ["-r"] };
  const broker = load(nfrx, host({ file: "\nport: 1" }));
  if (broker.kind !== "run") throw new Error("it must run");
  expect(broker.sources.get("PORT")).toEqual({ from: "file", path: "/etc/nfrx/server.yaml", key: "port", line: 2 });
  expect(broker.sources.get("HOST")).toEqual({ from: "default" });
  const agent = load(nfrxLlm, host({ ...machine, file: "" }));
  if (agent.kind !== "run") throw new Error("it must run");
  expect(agent.sources.get("COMPLETION_API_KEY")).toEqual({ from: "environment", name: "OLLAMA_API_KEY" });
  expect(agent.sources.get("RECONNECT")).toEqual({ from: "flag", flag: "-r" });
});

test("an empty environment variable is unset", () => {
  expect(valuesOf(nfrx, { file: "port: 1", env: { PORT: "", API_KEY: " " } }).broker).toMatchObject({ port: 1 });
  expect(valuesOf(nfrx, { env: { API_KEY: " " } }).broker.apiKey).toBeUndefined();
});

test("another name of a variable is read when the first is unset", () => {
  expect(valuesOf(nfrxLlm, { env: { OLLAMA_API_KEY: "a" } }).backend.completionApiKey).toBe("a");
  const both = { OLLAMA_API_KEY: "a", COMPLETION_API_KEY: "b" };
  expect(valuesOf(nfrxLlm, { env: both }).backend.completionApiKey).toBe("b");
});

test("booleans have flags of four forms", () => {
  const reconnect = (...argv: string[]) => valuesOf(nfrxLlm, { argv, env: { RECONNECT: "true" } }).agent.reconnect;
  expect(reconnect("--no-reconnect")).toBeFalse();
  expect(reconnect("--reconnect=false")).toBeFalse();
  expect(valuesOf(nfrxLlm, { argv: ["--reconnect"] }).agent.reconnect).toBeTrue();
  expect(valuesOf(nfrxLlm, { argv: ["-r"] }).agent.reconnect).toBeTrue();
  expect(valuesOf(nfrxLlm, {}).agent.reconnect).toBeFalse();
});

test("a declared command may stand first, before its options", () => {
  const loaded = load(nfrx, host({ argv: ["demo", "--port", "0"] }));
  expect(loaded).toMatchObject({ kind: "run", command: "demo", values: { broker: { port: 0 } } });
  expect(load(nfrx, host({}))).toMatchObject({ kind: "run", command: undefined });
});

test("--config and CONFIG_FILE name the file, the flag first", () => {
  const files = { "/a.yaml": "port: 1", "/b.yaml": "port: 2" };
  expect(valuesOf(nfrx, { files, env: { CONFIG_FILE: "/a.yaml" } }).broker.port).toBe(1);
  expect(valuesOf(nfrx, { files, env: { CONFIG_FILE: "/a.yaml" }, argv: ["--config", "/b.yaml"] }).broker.port).toBe(2);
});

test("a missing default file is fine; a missing named one and an unreadable one are mistakes", () => {
  expect(load(nfrx, host({}))).toMatchObject({ configFile: { path: "/etc/nfrx/server.yaml", found: false } });
  expect(mistakesOf(nfrx, { argv: ["--config=/no.yaml"] })).toEqual([
    "the configuration file /no.yaml does not exist (named by flag --config)",
  ]);
  expect(mistakesOf(nfrx, { env: { CONFIG_FILE: "/no.yaml" } })).toEqual([
    "the configuration file /no.yaml does not exist (named by environment variable CONFIG_FILE)",
  ]);
  expect(mistakesOf(nfrx, { files: { "/etc/nfrx/server.yaml": forbidden } })[0]).toContain("cannot be read: EACCES");
});

test("the default file is where the platform keeps such files", () => {
  const path = (platform: NodeJS.Platform, env: Record<string, string>) => {
    const loaded = load(nfrxMcp, host({ platform, env }));
    return loaded.kind === "run" ? loaded.configFile.path : "";
  };
  expect(path("linux", {})).toBe("/etc/nfrx/mcp.yaml");
  expect(path("darwin", { HOME: "/Users/a" })).toBe("/Users/a/Library/Application Support/nfrx/mcp.yaml");
  expect(path("win32", { ProgramData: "D:\\Data" })).toBe("D:\\Data\\nfrx\\mcp.yaml");
});

test("the log directory of an agent depends on the platform", () => {
  const logDir = (platform: NodeJS.Platform) =>
    valuesOf(nfrxLlm, { platform, env: { HOME: "/Users/a", ProgramData: "C:\\ProgramData" } }).backend.logDir;
  expect(logDir("linux")).toBeUndefined();
  expect(logDir("darwin")).toBe("/Users/a/Library/Logs/nfrx");
  expect(logDir("win32")).toBe("C:\\ProgramData\\nfrx\\Logs");
});

test("SERVER_URL becomes the address to dial", () => {
  const dialled = (url: string) => valuesOf(nfrxLlm, { env: { SERVER_URL: url } }).agent.serverUrl;
  expect(valuesOf(nfrxLlm, {}).agent.serverUrl).toBe("ws://localhost:8080/api/llm/connect");
  expect(valuesOf(nfrxMcp, {}).agent.serverUrl).toBe("ws://localhost:8080/api/mcp/connect");
  expect(dialled("https://broker.example")).toBe("wss://broker.example/api/llm/connect");
  expect(dialled("http://broker.example:8080/")).toBe("ws://broker.example:8080/api/llm/connect");
  expect(dialled("wss://broker.example/nfrx/?x=1")).toBe("wss://broker.example/nfrx/api/llm/connect?x=1");
  expect(dialled("wss://broker.example/nfrx/api/llm")).toBe("wss://broker.example/nfrx/api/llm/connect");
  for (const whole of ["/own/connect?x=1", "/nfrx/api/llm/connect", "/api/asr/connect", "/api/lmm"])
    expect(dialled(`wss://broker.example${whole}`)).toBe(`wss://broker.example${whole}`);
});

test("AGENT_HEADERS are headers, none of the handshake's own", () => {
  const env = { AGENT_HEADERS: "CF-Access-Client-Id=a, X-Api-Key=b" };
  const headers = { "CF-Access-Client-Id": "a", "X-Api-Key": "b" };
  expect(valuesOf(nfrxLlm, { env }).agent.agentHeaders).toEqual(headers);
  expect(valuesOf(nfrxMcp, { env }).agent.agentHeaders).toEqual(headers);
  for (const name of ["Upgrade", "Host", "Sec-WebSocket-Protocol", "a b"])
    expect(() => valuesOf(nfrxLlm, { env: { AGENT_HEADERS: `${name}=x` } })).toThrow("AGENT_HEADERS");
  const basic = { AGENT_HEADERS: "Authorization=Basic x" };
  expect(valuesOf(nfrxLlm, { env: basic }).agent.agentHeaders).toEqual({ Authorization: "Basic x" });
  expect(() => valuesOf(nfrxLlm, { env: { ...basic, CLIENT_KEY: "k" } })).toThrow("CLIENT_KEY");
});

test("a base URL is used without slashes at its end", () => {
  const env = { COMPLETION_BASE_URL: "http://gpu:1/v1/" };
  expect(valuesOf(nfrxLlm, { env }).backend.completionBaseUrl).toBe("http://gpu:1/v1");
});
