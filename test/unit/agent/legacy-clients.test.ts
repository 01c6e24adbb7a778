// Clients of the HTTP+SSE transport of 2024 in front of a provider of Streamable HTTP.
import { expect, test } from "bun:test";
import { LegacyClients } from "../../../src/agent/providers/legacy-clients.ts";
import type { Provider, ProviderRequest } from "../../../src/agent/providers/provider.ts";
import { SSE_HIGH_WATER } from "../../../src/agent/providers/sessions/sse-body.ts";
import { turns } from "../../kit/load/storm.ts";
import { TestClock } from "../../kit/time/clock.ts";

const EVENT = `data: ${"x".repeat(64 * 1024)}\n\n`;
const EVENTS = 200;

const request = (method: string, rest: string): ProviderRequest => ({
  method,
  rest,
  headers: [["accept", "text/event-stream"]],
  body: method === "POST" ? Buffer.from('{"jsonrpc":"2.0","id":1,"method":"x"}') : null,
  signal: new AbortController().signal,
});

test("a client that does not read holds the server's stream back, and gets all of it in the end", async () => {
  let sent = 0;
  const inner: Provider = {
    sessions: 0,
    fetch: async () =>
      new Response(
        new ReadableStream(
          {
            pull(controller) {
              if (sent++ < EVENTS) controller.enqueue(Buffer.from(EVENT));
              else controller.close();
            },
          },
          { highWaterMark: 0 },
        ),
        { headers: { "content-type": "text/event-stream" } },
      ),
    probe: async () => {},
    close: async () => {},
  };
  const clients = new LegacyClients(inner, 1024 * 1024, new TestClock());
  const reader = (await clients.fetch(request("GET", ""))).body!.getReader();
  const first = await reader.read();
  const endpoint = /data: (\S+)/.exec(Buffer.from(first.value ?? []).toString())?.[1] ?? "";
  expect((await clients.fetch(request("POST", endpoint))).status).toBe(202);
  await turns(500);
  // What has been read of the server is what may wait for the client, and one event more.
  expect(sent * EVENT.length).toBeGreaterThan(SSE_HIGH_WATER);
  expect(sent * EVENT.length).toBeLessThan(SSE_HIGH_WATER + 3 * EVENT.length);
  let bytes = 0;
  while (bytes < EVENTS * (EVENT.length - 2)) {
    const { value, done } = await reader.read();
    if (done) break;
    bytes += value.length;
  }
  expect(sent).toBeGreaterThan(EVENTS - 1);
  await reader.cancel();
});
