// What becomes of a provider's token when the token server gives none.
import { describe, expect, test } from "bun:test";
import { Client, inTurn } from "../../kit/oauth/client.ts";
import { CLIENT, refusal, TokenServer } from "../../kit/oauth/server.ts";
import { until } from "../../kit/time/until.ts";

describe("a token server that gives none", () => {
  test("may want the secret in the form; what it took is what it gets first from then on", async () => {
    using server = new TokenServer({ takes: ["post"], lifetimeS: 60 });
    const client = new Client(server);
    expect(await client.token()).toBe("token-1");
    client.clock.advance(60_000);
    expect(await client.token()).toBe("token-2");
    expect(server.requests.map(({ basic, form }) => [basic?.secret, form["client_secret"]])).toEqual([
      [CLIENT.clientSecret, undefined],
      [undefined, CLIENT.clientSecret],
      [undefined, CLIENT.clientSecret],
    ]);
  });

  test("is quoted by its word, and logged with its reason", async () => {
    using server = new TokenServer();
    const client = new Client(server, { clientSecret: "wrong" });
    const { code, message } = await client.failure();
    expect([code, message]).toEqual([
      "upstream_error",
      "the provider's token server refused to issue a token: invalid_client",
    ]);
    expect(client.log.lines).toMatchObject([
      { level: "warn", fields: { status: 401, oauth_error: "invalid_client", explanation: "who is that?" } },
      { level: "warn", fields: { url: server.url, again_ms: 5000 } },
    ]);
  });

  test("is not asked with another proof when the first was good enough", async () => {
    using server = new TokenServer();
    server.answer = () => refusal("invalid_scope");
    expect((await new Client(server).failure()).message).toEndWith("invalid_scope");
    expect(server.requests).toHaveLength(1);
  });

  test("cannot have secrets repeated", async () => {
    using server = new TokenServer();
    const { clientId, clientSecret } = CLIENT;
    const echoes = [
      `the secret ${clientSecret} is wrong`,
      `client_secret=${encodeURIComponent(clientSecret).replace("~", "%7E")}`,
      `Authorization: Basic ${btoa(`${clientId}:${clientSecret}`)}`,
    ];
    for (const echo of echoes) {
      server.answer = () => refusal(echo, echo);
      const client = new Client(server);
      expect((await client.failure()).message).toEndWith("refused to issue a token: status 400");
      expect(client.log.text).toContain("redacted");
      expect(client.log.text).not.toContain(btoa(`${clientId}:`).slice(0, 12));
    }
    const client = new Client({ url: server.url.replace("//", "//user:s3cret@").concat("?key=s3cret") });
    await client.failure();
  });

  test("is left alone for some seconds, longer each time, and then tried again", async () => {
    using server = new TokenServer();
    const client = new Client(server);
    server.answer = () => new Response("down", { status: 503 });
    const waits = [5, 5, 5, 5, 5, 5, 15, 15, 15, 30, 30];
    for (const [at, wait] of waits.entries()) {
      const first = await client.failure();
      expect([first.code, first.message]).toEqual([
        "provider_unavailable",
        "the provider's token server responded with status 503",
      ]);
      expect(first.detail.retryAfterSeconds).toBe(wait);
      client.clock.advance(wait * 1000 - 1);
      expect((await client.failure(true)).detail.retryAfterSeconds).toBe(1);
      expect(server.requests).toHaveLength(at + 1);
      client.clock.advance(1);
    }
    server.answer = undefined;
    expect(await client.token()).toBe("token-1");
    // A success starts the schedule over.
    server.answer = () => new Response("down", { status: 503 });
    client.clock.advance(5000);
    expect((await client.failure(true)).detail.retryAfterSeconds).toBe(5);
    // What was not refused is still brought.
    expect(await client.token()).toBe("token-1");
  });

  test("may say how long it wants to be left alone, within reason", async () => {
    using server = new TokenServer();
    const client = new Client(server);
    inTurn(
      server,
      () => new Response(null, { status: 429, headers: { "retry-after": "120" } }),
      () => new Response(null, { status: 429, headers: { "retry-after": "99999999" } }),
    );
    expect((await client.failure()).detail.retryAfterSeconds).toBe(120);
    client.clock.advance(120_000);
    expect((await client.failure()).detail.retryAfterSeconds).toBe(300);
  });

  test("does not end a token early: it is brought to its last second", async () => {
    using server = new TokenServer({ lifetimeS: 600, refresh: true });
    const client = new Client(server);
    await client.token();
    inTurn(server, () => new Response(null, { status: 500 }));
    client.clock.advance(575_000);
    expect(await client.token()).toBe("token-1");
    expect((await client.failure(true)).code).toBe("provider_unavailable");
    client.clock.advance(25_000);
    expect(await client.token()).toBe("token-2");
    // A refresh token that the server may have stumbled over is not tried again.
    expect(server.requests.map(({ form }) => form["grant_type"])).toEqual([
      "client_credentials",
      "refresh_token",
      "client_credentials",
    ]);
  });

  test.each([
    ["a page", () => new Response("<html>", { headers: { "content-type": "text/html" } })],
    ["a list", () => Response.json(["token-1"])],
    ["no token", () => Response.json({ token_type: "bearer" })],
    ["a token that is no bearer's", () => Response.json({ access_token: "token-1", token_type: "mac" })],
    ["a token that fits no header", () => Response.json({ access_token: "token-1\r\nx: y", token_type: "bearer" })],
    ["a time that is none", () => Response.json({ access_token: "token-1", token_type: "bearer", expires_in: "soon" })],
    ["an error as success", () => Response.json({ error: "invalid_client" })],
    ["another address", () => Response.redirect("http://127.0.0.1:1/elsewhere", 307)],
  ])("but %s is of no use", async (_, answer) => {
    using server = new TokenServer();
    server.answer = answer;
    const { code, message } = await new Client(server).failure();
    expect(code).toBe("upstream_error");
    expect(message).toMatch(/responded with status \d+, without a usable token$/);
    expect(server.requests).toHaveLength(1);
  });

  test("and answers without end is cut off", async () => {
    using server = new TokenServer();
    const cut = Promise.withResolvers<void>();
    server.answer = (_, signal) => {
      signal.addEventListener("abort", () => cut.resolve());
      const chunk = new Uint8Array(16_384).fill(32);
      return new Response(new ReadableStream({ pull: controller => controller.enqueue(chunk) }));
    };
    expect((await new Client(server).failure()).message).toContain("exceeds 65536 bytes");
    await until(cut.promise, "the end of the connection");
  });

  test("and is silent is given up", async () => {
    using server = new TokenServer();
    const cut = Promise.withResolvers<void>();
    server.answer = (_, signal) => {
      signal.addEventListener("abort", () => cut.resolve());
      return new Promise(() => {});
    };
    const client = new Client(server);
    const failed = client.failure();
    await server.asked(1);
    client.clock.advance(15_000);
    const { code, message } = await failed;
    expect([code, message]).toEqual(["provider_unavailable", "the provider's token server took too long to respond"]);
    await until(cut.promise, "the end of the connection");
  });

  test("and is away", async () => {
    const server = new TokenServer();
    const { url } = server;
    server[Symbol.dispose]();
    const { code, message } = await new Client({ url }).failure();
    expect(code).toBe("provider_unavailable");
    expect(message).toMatch(/^the provider's token server cannot be reached \(\w+\)$/);
  });
});
