// The official MCP SDK for Python at a relay, as a client of both eras.
import { describe, expect, test } from "bun:test";
import { startHttpFixture } from "../conformance/fixtures/http.ts";
import { stdioFixture } from "../conformance/fixtures/stdio-command.ts";
import { throughTunnel } from "../kit/mcp/tunnel.ts";

const named = process.env["NFRX_PYTHON"];
const python = named ?? "python3";
const script = new URL("client.py", import.meta.url).pathname;
const LIMIT_MS = 60_000;

const installed = (): boolean =>
  Bun.spawnSync([python, "-c", "from mcp import Client"], { stdout: "ignore", stderr: "ignore" }).success;

// A named interpreter must do, and so must any on the machine that checks everything.
const hasSdk = named !== undefined || process.env["CI"] === "true" || installed();

/** What the client got, or how it failed. */
async function answersOf(url: string, mode: string): Promise<unknown> {
  const child = Bun.spawn([python, script, url, mode], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [output, complaint] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(complaint);
  return JSON.parse(output);
}

const expected = {
  tools: expect.arrayContaining(["test_simple_text", "test_sampling"]),
  text: "a plain answer",
  failed: [true, "this tool always fails"],
  unknown: -32602,
};

describe.skipIf(!hasSdk)("the official SDK for Python", () => {
  test.each(["legacy", "auto"])(
    "lists, calls and fails through the tunnel (%s)",
    async mode => {
      await using fixture = startHttpFixture();
      await using server = await throughTunnel({ http: fixture.url });
      expect(await answersOf(server.url, mode)).toEqual(expected);
    },
    LIMIT_MS,
  );

  test(
    "lists, calls and fails at a server that speaks stdio",
    async () => {
      await using server = await throughTunnel({ stdio: stdioFixture });
      expect(await answersOf(server.url, "legacy")).toEqual(expected);
    },
    LIMIT_MS,
  );

  test(
    "raises an error when the server behind the relay is gone",
    async () => {
      const fixture = startHttpFixture();
      await using server = await throughTunnel({ http: fixture.url });
      await fixture[Symbol.asyncDispose]();
      await expect(answersOf(server.url, "legacy")).rejects.toThrow(/MCPError|HTTPStatusError/);
    },
    LIMIT_MS,
  );
});
