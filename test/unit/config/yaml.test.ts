import { expect, test } from "bun:test";
import { nfrx, nfrxMcp } from "../../../cmd/programs.ts";
import { ConfigError } from "../../../src/config/error.ts";
import { valuesOf } from "./host.ts";

test("a dotted key is a key below a key, and may be written in one", () => {
  const nested = "plugin_options:\n  llm:\n    queue_size: 3\n  mcp: {max_req_bytes: 1MiB}";
  expect(valuesOf(nfrx, { file: nested })).toMatchObject({ llm: { queueSize: 3 }, mcp: { maxReqBytes: 1_048_576 } });
  expect(valuesOf(nfrx, { file: "plugin_options.llm.queue_size: 4" })).toMatchObject({ llm: { queueSize: 4 } });
});

test("a relay knows the keys of its transports", () => {
  const file =
    "order: [stdio]\ninitTimeout: 2s\nstdio:\n  command: /bin/x\n  allow_relative: yes\nhttp: {url: 'http://h/'}";
  expect(valuesOf(nfrxMcp, { file }).provider).toMatchObject({
    transportOrder: ["stdio"],
    initTimeoutMs: 2_000,
    stdioCommand: "/bin/x",
    stdioAllowRelative: true,
    httpUrl: "http://h/",
  });
});

test("case and underscores of a key do not count, as the 0.9 series writes clientkey and inittimeout", () => {
  const { broker } = valuesOf(nfrx, { file: "apikey: a\nClientKey: b\nrequesttimeout: 7s\njobsclientttl: 9s" });
  expect(broker).toMatchObject({ apiKey: "a", clientKey: "b", requestTimeoutMs: 7_000, jobsClientTtlMs: 9_000 });
  const file =
    "inittimeout: 2s\nmaxinflight: 3\noauth: {tokenurl: 'https://t/', clientid: i}\nhttp: {enablepush: true}";
  expect(valuesOf(nfrxMcp, { file }).provider).toMatchObject({
    initTimeoutMs: 2_000,
    maxInflight: 3,
    oauthTokenUrl: "https://t/",
    oauthClientId: "i",
    httpEnablePush: true,
  });
});

test("a key without a value is unset", () => {
  const file = "api_key:\nclient_key: ''\nadmin_key: ~\nport: null\nplugin_options:\n  llm:\nplugins:";
  const { broker } = valuesOf(nfrx, { file });
  expect(broker).toMatchObject({ port: 8080, plugins: ["*"] });
  expect([broker.apiKey, broker.clientKey, broker.adminKey]).toEqual([undefined, undefined, undefined]);
});

test("a text stays as it is written", () => {
  const { broker } = valuesOf(nfrx, { file: "api_key: 0012345678901234567890\nclient_key: yes\nadmin_key: 'null'" });
  expect([broker.apiKey, broker.clientKey, broker.adminKey]).toEqual(["0012345678901234567890", "yes", "null"]);
});

test("an alias stands for its anchor", () => {
  const { broker } = valuesOf(nfrx, { file: "api_key: &key k\nclient_key: *key" });
  expect(broker.clientKey).toBe("k");
});

test("an empty file, one of comments alone and a byte-order mark are fine", () => {
  for (const file of ["", "# nothing\n", "---\n", "\uFEFFport: 8080\r\nhost: ''\r\n"]) {
    expect(valuesOf(nfrx, { file }).broker.port).toBe(8080);
  }
});

test("a mistake of YAML is named once, with its line and a reason", () => {
  const mistakes = (file: string): string[] => {
    try {
      valuesOf(nfrx, { file });
    } catch (error) {
      if (error instanceof ConfigError) return error.mistakes.map(({ text }) => text.replace(/^file [^,]*, /, ""));
    }
    return [];
  };
  expect(mistakes("a: b: c\n")).toEqual(['line 1: a value that contains ": " must be quoted']);
  expect(mistakes("port: 1\nport: 2\n")).toEqual(["line 2: this key appears twice"]);
  for (const file of [
    "port: [1\nhost: x\n",
    'host: "x\n',
    "a: b\n  c: d\n e: f\n",
    "- a\nb: c\n",
    "x: {a\n",
    "host: @x",
  ]) {
    const lines = mistakes(file).map(text => text.split(":")[0]);
    expect(lines).not.toBeEmpty();
    expect(new Set(lines).size).toBe(lines.length);
    expect(mistakes(file).join()).not.toContain("this is not valid YAML");
  }
});
