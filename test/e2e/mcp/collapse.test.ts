// A relay that is not to stream: each call has one answer in JSON, whatever the provider made of it.
import { expect, test } from "bun:test";
import { brotliCompressSync, gzipSync, zstdCompressSync } from "node:zlib";
import { headerOf, jsonOf, McpWorld, rpc } from "../../kit/mcp/world.ts";

const events = 'event: message\ndata: {"jsonrpc":"2.0","method":"n"}\n\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\n\n';

for (const [encoding, encode] of [
  ["gzip", gzipSync],
  ["br", brotliCompressSync],
  ["zstd", zstdCompressSync],
] as const)
  test(`events in ${encoding} are read, and others asked for`, async () => {
    await using world = new McpWorld();
    const { provider } = await world.pair({ provider: { httpAllowStreaming: false } });
    provider.respond = () =>
      new Response(new Uint8Array(encode(events)), {
        headers: { "content-type": "text/event-stream", "content-encoding": encoding },
      });
    const answer = await world.call(rpc(1, "tools/call"), { headers: { "Accept-Encoding": "gzip, br, zstd" } });
    expect([answer.status, jsonOf(answer)]).toEqual([200, { jsonrpc: "2.0", id: 1, result: {} }]);
    expect(headerOf(answer, "content-encoding")).toBeUndefined();
    expect(provider.requests[0]?.headers.get("accept-encoding")).toBe("identity");
  });
