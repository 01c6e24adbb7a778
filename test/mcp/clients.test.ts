// What people point at a relay: the README's FastMCP server behind it, the MCP Inspector and OpenAI's Responses API in front.
import { describe, expect, test } from "bun:test";
import { startHttpFixture } from "../conformance/fixtures/http.ts";
import { stdioFixture } from "../conformance/fixtures/stdio-command.ts";
import { type Reach, throughTunnel } from "../kit/mcp/tunnel.ts";
import { fastMcpStdio, hasFastMcp, startFastMcp } from "./fastmcp.ts";
import { callTool, hasInspector, toolsOf } from "./inspector.ts";
import { replaySession, replayStateless } from "./openai.ts";

/** A server at its own address, and at that of its relay. */
const ways: [string, (url: string) => Reach | Promise<Reach>][] = [
  ["directly", url => ({ url, [Symbol.asyncDispose]: async () => {} })],
  ["through the tunnel", url => throughTunnel({ http: url })],
];
const eras = ["legacy", "modern"] as const;
const LIMIT_MS = 60_000;

const call = { tool: "test_x_mcp_header", arguments: { level: 1 } };
const answer = { content: [{ type: "text", text: "region undefined" }] };
const tools = expect.arrayContaining(["test_simple_text", "test_sampling"]);

describe("OpenAI's Responses API", () => {
  describe.each(ways)("%s", (_way, reach) => {
    test(
      "calls a tool without a session, at a server that needs none",
      async () => {
        await using fixture = startHttpFixture({ sessions: false });
        await using server = await reach(fixture.url);
        expect(await replaySession(server.url, call)).toMatchObject({
          hello: { status: 200, session: null },
          list: { status: 200, result: { tools: expect.any(Array) } },
          call: { status: 200, result: answer },
        });
      },
      LIMIT_MS,
    );

    test(
      "is told so by a server that needs one",
      async () => {
        await using fixture = startHttpFixture();
        await using server = await reach(fixture.url);
        expect(await replaySession(server.url, call)).toMatchObject({
          hello: { status: 200, session: expect.any(String) },
          list: { status: 200, result: { tools: expect.any(Array) } },
          call: { status: 400, error: { message: "a session is needed" } },
        });
      },
      LIMIT_MS,
    );

    test(
      "discovers, lists and calls in the stateless era",
      async () => {
        await using fixture = startHttpFixture();
        await using server = await reach(fixture.url);
        expect(await replayStateless(server.url, call)).toMatchObject({
          hello: { status: 200, session: null, result: { supportedVersions: ["2026-07-28"] } },
          list: { status: 200, result: { tools: expect.any(Array) } },
          call: { status: 200, result: answer },
        });
      },
      LIMIT_MS,
    );
  });

  test(
    "calls a tool of a server that speaks stdio, without a session",
    async () => {
      await using server = await throughTunnel({ stdio: stdioFixture });
      expect(await replaySession(server.url, call)).toMatchObject({
        hello: { status: 200, session: expect.any(String) },
        list: { status: 200 },
        call: { status: 200, result: answer },
      });
      expect(await replayStateless(server.url, call)).toMatchObject({ call: { status: 200, result: answer } });
    },
    LIMIT_MS,
  );
});

describe.skipIf(!hasInspector)("the MCP Inspector", () => {
  const expectTools = async (url: string, era: (typeof eras)[number]) => {
    expect(await toolsOf(url, era)).toEqual(tools);
    expect(await callTool(url, era, call.tool, { region: "north" })).toEqual([{ type: "text", text: "region north" }]);
  };

  describe.each(ways)("%s", (_way, reach) => {
    test.each([...eras])(
      "lists and calls, as a client of the %s era",
      async era => {
        await using fixture = startHttpFixture();
        await using server = await reach(fixture.url);
        await expectTools(server.url, era);
      },
      LIMIT_MS,
    );
  });

  test(
    "lists and calls at a server that speaks stdio",
    async () => {
      await using server = await throughTunnel({ stdio: stdioFixture });
      for (const era of eras) await expectTools(server.url, era);
    },
    LIMIT_MS,
  );
});

describe.skipIf(!hasFastMcp)("the README's FastMCP server", () => {
  const forecast = { tool: "forecast", arguments: { city: "Bonn" } };
  const sunny = { content: [{ type: "text", text: "Tomorrow it will be sunny in Bonn." }] };

  test.each(ways)(
    "%s",
    async (_way, reach) => {
      await using fastMcp = await startFastMcp();
      await using server = await reach(fastMcp.url);
      expect(await replayStateless(server.url, forecast)).toMatchObject({ call: { status: 200, result: sunny } });
      const { hello, list } = await replaySession(server.url, forecast);
      expect([hello.status, list.status]).toEqual([200, 200]);
      expect(list.result).toMatchObject({ tools: [{ name: "forecast" }] });
    },
    LIMIT_MS,
  );

  test(
    "over stdio",
    async () => {
      await using server = await throughTunnel(fastMcpStdio);
      expect(await replaySession(server.url, forecast)).toMatchObject({
        list: { result: { tools: [{ name: "forecast" }] } },
        call: { status: 200, result: sunny },
      });
    },
    LIMIT_MS,
  );
});
