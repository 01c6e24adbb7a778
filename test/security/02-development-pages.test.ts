// A request whose Host or URL cannot be read gets a 400 without a word about the program, at every server.
import { expect, test } from "bun:test";
import { RawClient } from "../kit/http/raw-client.ts";
import { Processes } from "../kit/processes.ts";

const UNREADABLE = [
  "GET /healthz HTTP/1.1\r\nHost: u@evil\r\n\r\n",
  "GET /healthz HTTP/1.1\r\nHost: a:99999\r\n\r\n",
  "GET /healthz HTTP/1.1\r\nHost: \r\n\r\n",
  "GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n",
  "GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n",
  "GET /1234567/metrics HTTP/1.1\r\nHost: a/1234567\r\n\r\n",
  "GET /healthz HTTP/1.1\r\nHost: a?x\r\n\r\n",
  "GET /healthz HTTP/1.1\r\nHost: 999.999.999.999\r\n\r\n",
  "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
  "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
  "GET /healthz HTTP/1.1\r\n\r\n",
];

async function send(port: number, text: string): Promise<{ status: number; text: string }> {
  const client = await RawClient.connect(port);
  await client.write(text);
  await client.settled();
  client.destroy();
  return { status: client.status, text: client.text };
}

/** A port that nothing listens on now. */
function freePort(): number {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const { port = 0 } = server;
  void server.stop(true);
  return port;
}

test("no server shows its inside to a request that cannot be read", async () => {
  await using processes = new Processes();
  const [metrics, status] = [freePort(), freePort()];
  const broker = await processes.broker({ METRICS_PORT: `127.0.0.1:${metrics}` });
  await processes.agent(broker, await processes.backend(), { STATUS_ADDR: `127.0.0.1:${status}` });
  for (const port of [broker.port, metrics, status]) {
    for (const request of UNREADABLE) {
      const answer = await send(port, request);
      expect([port, request, answer.status]).toEqual([port, request, 400]);
      expect(answer.text.length).toBeLessThan(300);
      expect(answer.text).not.toContain("bun");
    }
    const info = await send(port, "GET /bun:info HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
    expect([port, info.status]).toEqual([port, 404]);
  }
});

test("HTTP/1.0 without a Host is served", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  expect((await send(broker.port, "GET /healthz HTTP/1.0\r\n\r\n")).status).toBe(200);
  expect((await send(broker.port, "OPTIONS / HTTP/1.0\r\n\r\n")).status).toBe(404);
  expect((await send(broker.port, "GET /api/llm/v1/models HTTP/1.0\r\n\r\n")).status).toBe(401);
});
