// The variables that name proxies, and who is blamed when a tunnel does not come about.
import { afterAll, expect, test } from "bun:test";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { reach } from "../../../src/agent/broker-reachability.ts";
import { dial } from "../../../src/agent/dial.ts";
import { adoptProxies, proxyFor } from "../../../src/agent/proxy.ts";
import type { Finding } from "../../../src/lib/findings.ts";
import { systemClock } from "../../../src/lib/time.ts";
import { wireOf } from "../../../src/protocol/wire-of.ts";

const servers: { close(): unknown }[] = [];
afterAll(() => {
  for (const server of servers) server.close();
});

/** A proxy that answers everything with one status. */
async function refusing(status: number): Promise<string> {
  const server = createServer((_, response) => response.writeHead(status).end());
  server.on("connect", (_, socket) => socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`));
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", () => resolve()));
  servers.push(server);
  const { port } = server.address() as AddressInfo;
  return `127.0.0.1:${port}`;
}

const URLS = { secure: "wss://broker.example/x", plain: "ws://broker.example:8080/x" };

test.each([
  ["a scheme of its own", { HTTPS_PROXY: "http://p:1" }, URLS.secure, "http://p:1/"],
  ["no scheme", { HTTPS_PROXY: "p:3128" }, URLS.secure, "http://p:3128/"],
  [
    "no scheme, and a password",
    { https_proxy: "me:secret@p.local:3128" },
    URLS.secure,
    "http://me:secret@p.local:3128/",
  ],
  ["a proxy that speaks TLS", { HTTPS_PROXY: "https://p:1" }, URLS.secure, "https://p:1/"],
  ["lower case first", { https_proxy: "p:1", HTTPS_PROXY: "p:2" }, URLS.secure, "http://p:1/"],
  ["an empty one counts as unset", { https_proxy: "", HTTPS_PROXY: "p:2" }, URLS.secure, "http://p:2/"],
  ["one for all", { ALL_PROXY: "p:1" }, URLS.plain, "http://p:1/"],
  ["one for the other scheme", { HTTPS_PROXY: "p:1" }, URLS.plain, undefined],
  ["none", {}, URLS.plain, undefined],
  ["exempt", { HTTPS_PROXY: "p:1", NO_PROXY: "example" }, URLS.secure, undefined],
  ["exempt beside an empty one", { HTTPS_PROXY: "p:1", NO_PROXY: "", no_proxy: ".example" }, URLS.secure, undefined],
  [
    "the same the other way round",
    { HTTPS_PROXY: "p:1", no_proxy: "", NO_PROXY: "x, *.example" },
    URLS.secure,
    undefined,
  ],
  ["exempt at a port", { HTTP_PROXY: "p:1", NO_PROXY: "broker.example:8080" }, URLS.plain, undefined],
  ["exempt at another port", { HTTP_PROXY: "p:1", NO_PROXY: "broker.example:80" }, URLS.plain, "http://p:1/"],
  ["another host exempt", { HTTP_PROXY: "p:1", NO_PROXY: "roker.example,ample" }, URLS.plain, "http://p:1/"],
  ["an address of IPv6 exempt", { HTTP_PROXY: "p:1", NO_PROXY: "fd00::1" }, "ws://[fd00::1]/", undefined],
  ["this machine", { ALL_PROXY: "p:1" }, "ws://localhost:8080/", undefined],
] as const)("through a proxy: %s", (_, env, url, proxy) => {
  expect(proxyFor(url, env)?.url).toBe(proxy);
});

test.each(["socks5://p:1", "SOCKS5H://p:1", "ftp://p", "http://", "::"])("no proxy that can be used: %s", value => {
  const proxy = proxyFor(URLS.secure, { ALL_PROXY: value });
  expect([proxy?.url, proxy?.problem]).toEqual([undefined, expect.stringContaining("ALL_PROXY")]);
  expect(proxy?.problem?.includes("SOCKS proxies are not supported")).toBe(/^socks/i.test(value));
});

test("what fetch reads is put right", () => {
  const env: Record<string, string> = {
    HTTP_PROXY: "p:1",
    https_proxy: "",
    HTTPS_PROXY: "s:1",
    NO_PROXY: "",
    no_proxy: "a.example",
    ALL_PROXY: "socks5://s:1",
  };
  adoptProxies(env);
  expect(env).toEqual({
    HTTP_PROXY: "http://p:1/",
    HTTPS_PROXY: "http://s:1/",
    ALL_PROXY: "socks5://s:1",
    NO_PROXY: "a.example,localhost,127.0.0.1,::1",
    no_proxy: "a.example,localhost,127.0.0.1,::1",
  });
});

const broker = (env: Record<string, string>, url: string = URLS.secure) => ({
  module: "llm",
  url,
  clientKey: undefined,
  headers: {},
  ca: undefined,
  proxy: proxyFor(url, env),
  wire: wireOf,
});

const cases: [string, () => Promise<string>, RegExp, boolean][] = [
  ["a password is missing", () => refusing(407), /the proxy 127\.0\.0\.1:\d+ \((ALL_PROXY)\).*407/, true],
  ["the connection is not allowed", () => refusing(403), /the proxy .* does not allow the connection \(403\)/, true],
  ["the proxy cannot reach the broker", () => refusing(502), /the proxy .* cannot reach the target \(502\)/, false],
  ["nobody is there", async () => "127.0.0.1:1", /the proxy 127\.0\.0\.1:1 \(ALL_PROXY\) does not respond/, false],
  ["SOCKS", async () => "socks5://127.0.0.1:1", /SOCKS proxies are not supported/, true],
];

test.each(cases)("the proxy is blamed: %s", async (_, address, message, permanent) => {
  const options = broker({ ALL_PROXY: await address() });
  const events = { onStream: () => {}, onClosed: () => {} };
  const error = await dial({ ...options, clock: systemClock, events }).catch((thrown: unknown) => thrown);
  expect(String(error)).toMatch(message);
  expect(error).toHaveProperty("permanent", permanent);
  const findings: Finding[] = [];
  for await (const finding of reach(options)) findings.push(finding);
  expect(findings.at(-1)).toMatchObject({ verdict: "fail", subject: "proxy", text: expect.stringMatching(message) });
});

test("a gateway in front of the broker gets the headers that it wants, and the key stays the agent's", async () => {
  const seen: (string | null)[][] = [];
  const gateway = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: ({ headers, url }) => {
      const { pathname } = new URL(url);
      seen.push([pathname, headers.get("upgrade"), headers.get("cf-access-client-id"), headers.get("authorization")]);
      return pathname === "/healthz" ? Response.json({ status: "ok" }) : new Response("", { status: 403 });
    },
  });
  servers.push({ close: () => gateway.stop(true) });
  const path = "/api/llm/connect";
  const url = `ws://127.0.0.1:${gateway.port}${path}`;
  const headers = { "CF-Access-Client-Id": "me" };
  for await (const _ of reach({ ...broker({}, url), clientKey: "key", headers }));
  expect(seen).toEqual([
    ["/healthz", null, "me", null],
    [path, "websocket", "me", "Bearer key"],
    [path, null, "me", "Bearer key"],
  ]);
});
