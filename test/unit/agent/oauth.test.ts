// Tokens for a provider, from a real token server.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nfrxMcp } from "../../../cmd/programs.ts";
import { HttpProvider } from "../../../src/agent/providers/http.ts";
import type { OAuthOptions } from "../../../src/agent/providers/oauth.ts";
import { Client, inTurn, SECRETS } from "../../kit/oauth/client.ts";
import { CLIENT, ProtectedProvider, refusal, TokenServer } from "../../kit/oauth/server.ts";
import { mistakesOf, valuesOf } from "../config/host.ts";

let folder = "";
let file = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "nfrx-oauth-"));
  file = join(folder, "kept", "token.json");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("a token", () => {
  test("is asked for with the client's credentials, and brought until it is nearly over", async () => {
    using server = new TokenServer({ lifetimeS: 3600 });
    const client = new Client(server, { scopes: ["mcp:read", "mcp:call"] });
    expect(await client.token()).toBe("token-1");
    expect(server.requests).toMatchObject([
      {
        basic: { id: CLIENT.clientId, secret: CLIENT.clientSecret },
        form: { grant_type: "client_credentials", scope: "mcp:read mcp:call" },
      },
    ]);
    client.clock.advance(3_569_999);
    expect(await client.token()).toBe("token-1");
    client.clock.advance(1);
    expect(await client.token()).toBe("token-2");
    expect(server.requests).toHaveLength(2);
    expect(client.log.text).not.toMatch(SECRETS);
    expect(client.clock.armed).toBe(0);
  });

  test("of a short life is renewed at nine tenths of it; one of unknown life when it is refused", async () => {
    using server = new TokenServer({ lifetimeS: 60 });
    const client = new Client(server);
    await client.token();
    client.clock.advance(53_999);
    expect(await client.token()).toBe("token-1");
    client.clock.advance(1);
    server.options.lifetimeS = undefined;
    expect(await client.token()).toBe("token-2");
    client.clock.advance(1_000_000_000);
    expect(await client.token()).toBe("token-2");
    expect(await client.token(true)).toBe("token-3");
  });

  test("is asked for once, however many want it at the same time", async () => {
    using server = new TokenServer();
    const client = new Client(server);
    const tokens = await Promise.all(Array.from({ length: 50 }, () => client.token()));
    expect(new Set(tokens)).toEqual(new Set(["token-1"]));
    client.clock.advance(5000);
    await Promise.all(Array.from({ length: 50 }, () => client.token(true)));
    expect(server.requests).toHaveLength(2);
  });

  test("comes from a client without a secret, too", async () => {
    using server = new TokenServer();
    server.answer = ({ basic, form }) =>
      Response.json({ access_token: `${basic?.id}-${form["client_id"]}`, token_type: "bearer" });
    const client = new Client(server, { clientSecret: undefined });
    expect(await client.token()).toBe(`undefined-${CLIENT.clientId}`);
  });

  test("is renewed with the refresh token, and with the credentials when that is refused", async () => {
    using server = new TokenServer({ lifetimeS: 60, refresh: true });
    const client = new Client(server);
    await client.token();
    client.clock.advance(60_000);
    expect(await client.token()).toBe("token-2");
    client.clock.advance(60_000);
    inTurn(server, () => refusal("invalid_grant", "no more of refresh-2"));
    expect(await client.token()).toBe("token-3");
    expect(server.requests.map(({ form }) => form["refresh_token"] ?? form["grant_type"])).toEqual([
      "client_credentials",
      "refresh-1",
      "refresh-2",
      "client_credentials",
    ]);
    expect(client.log.at("warn")).toEqual(["the token server rejected the refresh token"]);
    expect(client.log.text).not.toMatch(SECRETS);
  });

  test("comes from servers that bend the rules: nulls, a number as text, an id token", async () => {
    using server = new TokenServer();
    const answer = { access_token: "bent", token_type: "BEARER", expires_in: "60" };
    server.answer = () => Response.json({ ...answer, refresh_token: null, scope: null, id_token: "a.b.c" });
    const client = new Client(server);
    expect(await client.token()).toBe("bent");
    client.clock.advance(60_000);
    await client.token();
    expect(server.requests.map(({ form }) => form["grant_type"])).toEqual(["client_credentials", "client_credentials"]);
  });
});

describe("a provider that answers 401", () => {
  const call = (provider: HttpProvider) =>
    provider.fetch({
      method: "POST",
      rest: "",
      headers: [["content-type", "application/json"]],
      body: new TextEncoder().encode('{"jsonrpc":"2.0","id":7,"method":"ping"}'),
      signal: new AbortController().signal,
    });

  test("is asked once more with a fresh token; what it says to that is the answer", async () => {
    using server = new TokenServer();
    using target = new ProtectedProvider();
    const { credentials, clock } = new Client(server);
    const provider = new HttpProvider({ url: target.url, timeoutMs: 5000, insecureSkipVerify: false, credentials });
    target.takes.add("token-1");
    expect(await (await call(provider)).json()).toEqual({ jsonrpc: "2.0", id: 7, result: {} });
    target.takes.delete("token-1");
    target.takes.add("token-2");
    clock.advance(5000);
    expect((await call(provider)).status).toBe(200);
    expect(target.brought).toEqual(["token-1", "token-1", "token-2"]);
    target.takes.clear();
    // As long as it refuses everything: twice at each call, and the token server is asked every few seconds only.
    expect((await call(provider)).status).toBe(401);
    expect((await call(provider)).status).toBe(401);
    expect(server.requests).toHaveLength(2);
    clock.advance(5000);
    expect((await call(provider)).status).toBe(401);
    expect((await call(provider)).status).toBe(401);
    expect(server.requests).toHaveLength(3);
    expect(target.brought).toHaveLength(11);
  });
});

describe("the file", () => {
  const kept = () => JSON.parse(readFileSync(file, "utf8"));

  test("keeps the token between runs, for its owner only", async () => {
    using server = new TokenServer({ lifetimeS: 3600, refresh: true });
    const first = new Client(server, { tokenFile: file });
    await first.token();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    first.clock.advance(3_600_000);
    await first.token();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(folder, "kept"))).toEqual(["token.json"]);
    expect(kept()).toMatchObject({ access_token: "token-2", refresh_token: "refresh-2" });
    const { clock } = first;
    const second = new Client(server, { tokenFile: file }, clock);
    expect(await second.token()).toBe("token-2");
    expect(server.requests).toHaveLength(2);
    // A token that was withdrawn meanwhile is replaced at once.
    expect(await second.token(true)).toBe("token-3");
    clock.advance(4_000_000);
    expect(await new Client(server, { tokenFile: file }, clock).token()).toBe("token-4");
    expect(server.requests.map(({ form }) => form["grant_type"]).slice(1)).toEqual(Array(3).fill("refresh_token"));
    expect(second.log.at("warn")).toEqual([]);
  });

  test("of another client, server or scope is ignored, and replaced", async () => {
    using server = new TokenServer();
    const others: Partial<OAuthOptions>[] = [
      { clientId: "another" },
      { tokenUrl: "http://127.0.0.1:1/" },
      { scopes: ["x"] },
    ];
    for (const other of others) {
      await new Client(server, { tokenFile: file }).token();
      const client = new Client(server, { tokenFile: file, ...other });
      expect(client.log.lines).toMatchObject([
        { level: "warn", fields: { file, reason: "it contains another client's token" } },
      ]);
    }
    const { client: owner } = kept();
    expect(await new Client(server, { tokenFile: file, scopes: ["x"] }).token()).toBe("token-2");
    expect(kept().client).not.toBe(owner);
    expect(readFileSync(file, "utf8")).not.toContain("s3cret");
  });

  test.each([
    ["empty", () => ""],
    ["broken", (text: string) => text.slice(0, -20)],
    ["of another shape", () => '{"access_token":7}'],
    ["with a token that fits no header", (text: string) => text.replace("token-1", "token\\n1")],
    ["large", (text: string) => text + " ".repeat(65_536)],
  ])("that is %s is ignored", async (_, spoil) => {
    using server = new TokenServer();
    await new Client(server, { tokenFile: file }).token();
    writeFileSync(file, spoil(readFileSync(file, "utf8")));
    const client = new Client(server, { tokenFile: file });
    expect(client.log.at("warn")).toEqual(["ignoring the token file"]);
    expect(client.log.text).not.toMatch(SECRETS);
    expect(await client.token()).toBe("token-2");
    expect(kept().access_token).toBe("token-2");
  });

  test("that others can read is closed to them", async () => {
    using server = new TokenServer();
    await new Client(server, { tokenFile: file }).token();
    chmodSync(file, 0o644);
    const client = new Client(server, { tokenFile: file });
    expect(await client.token()).toBe("token-1");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(client.log.at("warn")).toHaveLength(1);
  });

  test("that cannot be had is no more than a warning", async () => {
    using server = new TokenServer();
    await new Client(server, { tokenFile: file }).token();
    for (const path of [join(file, "below-a-file"), join(folder, "kept")]) {
      const client = new Client(server, { tokenFile: path });
      expect(await client.token()).toMatch(/^token-/);
      expect(client.log.at("warn")).toEqual(["ignoring the token file", "cannot store the token in its file"]);
    }
    expect(readdirSync(folder)).toEqual(["kept"]);
  });
});

test("a provider's certificate may go unchecked, the token server's never does", async () => {
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const args = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=x"];
  const made = Bun.spawnSync(["openssl", "req", ...args, "-keyout", key, "-out", cert]);
  expect(made.exitCode).toBe(0);
  const tls = { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  using server = new TokenServer({ tls });
  const { credentials } = new Client(server);
  const provider = new HttpProvider({ url: server.url, timeoutMs: 5000, insecureSkipVerify: true, credentials });
  await expect(provider.probe(new AbortController().signal)).rejects.toThrow(/cannot be reached \(\w*CERT\w*\)/);
  const bare = new HttpProvider({ url: server.url, timeoutMs: 5000, insecureSkipVerify: true });
  await bare.probe(new AbortController().signal);
});

test("secrets go over TLS, or stay on this machine", () => {
  const given = (url: string) => ({ env: { MCP_OAUTH_TOKEN_URL: url } });
  const good = [
    "http://localhost:9",
    "http://127.0.0.1",
    "http://127.9.8.7:80",
    "http://[::1]:9",
    "https://auth.example",
  ];
  for (const url of good) expect(valuesOf(nfrxMcp, given(url)).provider.oauthTokenUrl).toBe(url);
  for (const host of ["auth.example", "localhost.example", "127.0.0.1.example", "10.0.0.1", "[::2]", "127.0.0.1@x.y"])
    expect(mistakesOf(nfrxMcp, given(`http://${host}/`))).toEqual([
      expect.stringContaining("must begin with https://"),
    ]);
});
