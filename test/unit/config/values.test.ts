import { expect, test } from "bun:test";
import { nfrx, nfrxLlm, nfrxMcp } from "../../../cmd/programs.ts";
import { formatDuration, parseDuration } from "../../../src/config/duration.ts";
import { mistakesOf, valuesOf } from "./host.ts";

test("durations are read as milliseconds", () => {
  const read = ["5m", "1m30s", "250ms", "0", "1.5s", "2h", "0.1ms"].map(parseDuration);
  expect(read).toEqual([300_000, 90_000, 250, 0, 1_500, 7_200_000, 1]);
  for (const text of ["", "5", "-1", "5x", "m", "5m ", "1m-3s", "Infinity"])
    expect(parseDuration(text)).toBeUndefined();
});

test("durations are written as they are read", () => {
  for (const text of ["5m", "1m30s", "250ms", "0", "24h", "1h1ms"]) {
    expect(formatDuration(parseDuration(text) ?? Number.NaN)).toBe(text);
  }
});

test("options in seconds take plain numbers and durations", () => {
  const timeout = (text: string) => valuesOf(nfrx, { env: { REQUEST_TIMEOUT: text } }).broker.requestTimeoutMs;
  expect([timeout("90"), timeout("1.5"), timeout("2m")]).toEqual([90_000, 1_500, 120_000]);
  expect(mistakesOf(nfrx, { env: { REQUEST_TIMEOUT: "0" } })).toHaveLength(1);
});

test("-1 is for ever where that is allowed, on the command line too", () => {
  expect(valuesOf(nfrx, { argv: ["--drain-timeout", "-1"] }).broker.drainTimeoutMs).toBe(Number.POSITIVE_INFINITY);
  expect(valuesOf(nfrx, { file: "drain_timeout: -1" }).broker.drainTimeoutMs).toBe(Number.POSITIVE_INFINITY);
  // The 0.9 series wants a unit.
  expect(valuesOf(nfrx, { env: { DRAIN_TIMEOUT: "-1s" } }).broker.drainTimeoutMs).toBe(Number.POSITIVE_INFINITY);
  expect(valuesOf(nfrx, { env: { DRAIN_TIMEOUT: "0" } }).broker.drainTimeoutMs).toBe(0);
  expect(mistakesOf(nfrx, { env: { JOBS_CLIENT_TTL: "-1", DRAIN_TIMEOUT: "-2" } })).toHaveLength(2);
});

test("a duration that is no duration of seconds takes no plain number", () => {
  expect(mistakesOf(nfrx, { env: { JOBS_CLIENT_TTL: "30" } })[0]).toStartWith(
    'JOBS_CLIENT_TTL: "30" is not a duration',
  );
});

test("sizes take units", () => {
  const size = (text: string) => valuesOf(nfrx, { env: { MAX_BODY_BYTES: text } }).broker.maxBodyBytes;
  expect(["2048", "2k", "2KiB", "2KB", "1.5m", "1 GiB"].map(size)).toEqual([
    2048,
    2048,
    2048,
    2000,
    1_572_864,
    2 ** 30,
  ]);
  expect(mistakesOf(nfrx, { env: { MAX_BODY_BYTES: "-5" } })).toHaveLength(1);
});

test("an address is a port, a host with a port, or every interface with a port", () => {
  const metrics = (text: string) => valuesOf(nfrxLlm, { env: { METRICS_PORT: text } }).agent.metricsAddress;
  expect(valuesOf(nfrxLlm, {}).agent.metricsAddress).toBeUndefined();
  expect(metrics("9090")).toEqual({ host: "", port: 9090 });
  expect(metrics(":9090")).toEqual({ host: "", port: 9090 });
  expect(metrics("127.0.0.1:9090")).toEqual({ host: "127.0.0.1", port: 9090 });
  expect(metrics("[::1]:9090")).toEqual({ host: "::1", port: 9090 });
  for (const bad of ["70000", "::1:9090", "host:", "http://x:1"]) {
    expect(mistakesOf(nfrxLlm, { env: { METRICS_PORT: bad } })).toHaveLength(1);
  }
});

test("a status port alone is for this machine only", () => {
  const status = (text: string) => valuesOf(nfrxLlm, { env: { STATUS_ADDR: text } }).worker.statusAddress;
  expect(status("9091")).toEqual({ host: "127.0.0.1", port: 9091 });
  expect(status(":9091")).toEqual({ host: "", port: 9091 });
});

test("lists come with commas, as JSON or as YAML", () => {
  const args = { env: { MCP_STDIO_ARGS: "-y, @scope/server," } };
  expect(valuesOf(nfrxMcp, args).provider.stdioArgs).toEqual(["-y", "@scope/server"]);
  expect(valuesOf(nfrxMcp, { env: { MCP_STDIO_ARGS: '["a,b", "c"]' } }).provider.stdioArgs).toEqual(["a,b", "c"]);
  expect(valuesOf(nfrxMcp, { file: "stdio:\n  args: [a, 'b, c', 007]" }).provider.stdioArgs).toEqual([
    "a",
    "b, c",
    "007",
  ]);
  expect(valuesOf(nfrxMcp, { file: "order: http, stdio" }).provider.transportOrder).toEqual(["http", "stdio"]);
  expect(mistakesOf(nfrxMcp, { file: "order: [http, pigeon]" })).toHaveLength(1);
});

test("pairs come with commas, as a JSON object or as a YAML map", () => {
  const fromEnv = valuesOf(nfrxMcp, { env: { MCP_STDIO_ENV: "A=1,B=x=y" } });
  expect(fromEnv.provider.stdioEnv).toEqual({ A: "1", B: "x=y" });
  const fromFile = valuesOf(nfrxMcp, { file: "stdio:\n  env:\n    A: 1\n    B: 'x, y'" });
  expect(fromFile.provider.stdioEnv).toEqual({ A: "1", B: "x, y" });
  const fromJson = valuesOf(nfrxMcp, { env: { MCP_STDIO_ENV: '{"A": "x, y", "B": 1, "C": true}' } });
  expect(fromJson.provider.stdioEnv).toEqual({ A: "x, y", B: "1", C: "true" });
  for (const wrong of ['{"A": {}}', '{"A=": "1"}', "{"])
    expect(mistakesOf(nfrxMcp, { env: { MCP_STDIO_ENV: wrong } })).toHaveLength(1);
  expect(mistakesOf(nfrxMcp, { env: { MCP_STDIO_ENV: "hunter2" } })[0]).not.toContain("hunter2");
});

test("trusted proxies are networks, single addresses, or none", () => {
  const proxies = (text: string) => valuesOf(nfrx, { env: { TRUSTED_PROXIES: text } }).broker.trustedProxies;
  expect(proxies("10.1.0.0/16,192.0.2.7,2001:db8::1")).toEqual(["10.1.0.0/16", "192.0.2.7/32", "2001:db8::1/128"]);
  expect(proxies("none")).toEqual([]);
  expect(valuesOf(nfrx, { file: "trusted_proxies: []" }).broker.trustedProxies).toEqual([]);
  expect(mistakesOf(nfrx, { env: { TRUSTED_PROXIES: "10.0.0.0/40" } })).toHaveLength(1);
});

test("origins are origins", () => {
  const origins = (text: string) => valuesOf(nfrx, { env: { ALLOWED_ORIGINS: text } }).broker.allowedOrigins;
  expect(origins("https://App.example/,*")).toEqual(["https://app.example", "*"]);
  expect(origins("null,file://")).toEqual(["null", "file://"]);
  expect(mistakesOf(nfrx, { env: { ALLOWED_ORIGINS: "app.example" } })).toHaveLength(1);
});

test("every spelling of a Redis address is taken", () => {
  for (const address of [
    "localhost:6379",
    "a:1,b:2",
    "redis://user:pw@host:6379/0",
    "rediss://host",
    "redis-sentinel://h1,h2/master?db=1",
    "rediss-sentinel://h1:26379/m",
  ]) {
    expect(valuesOf(nfrx, { env: { REDIS_ADDR: address } }).broker.redisAddr).toBe(address);
  }
  expect(mistakesOf(nfrx, { env: { REDIS_ADDR: "http://host" } })).toHaveLength(1);
});

test("words of a choice are taken in any case", () => {
  expect(valuesOf(nfrx, { env: { LOG_LEVEL: "DEBUG" } }).common.logLevel).toBe("debug");
});
