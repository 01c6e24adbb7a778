import { expect, test } from "bun:test";
import { nfrx, nfrxMcp } from "../../../cmd/programs.ts";
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
