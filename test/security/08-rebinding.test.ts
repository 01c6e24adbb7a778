// A broker without keys on this machine: foreign pages, and names that were rebound to it, reach nothing.
import { expect, test } from "bun:test";
import { RawClient } from "../kit/http/raw-client.ts";
import { Processes } from "../kit/processes.ts";

const UPGRADE = {
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
};

const PLACES: readonly [line: string, headers: Record<string, string>][] = [
  ["GET /", {}],
  ["GET /state", {}],
  ["GET /metrics", {}],
  ["GET /healthz", {}],
  ["GET /api/state", {}],
  ["GET /api/state/stream", {}],
  ["GET /api/jobs", {}],
  ["POST /api/jobs", { "Content-Length": "0" }],
  ["POST /api/transfer", { "Content-Length": "0" }],
  ["GET /api/llm/v1/models", {}],
  ["POST /api/llm/v1/chat/completions", { "Content-Length": "0" }],
  ["GET /api/llm/connect", UPGRADE],
  ["GET /api/mcp/connect", UPGRADE],
  ["POST /api/mcp/id/x", { "Content-Length": "0" }],
];

async function ask(port: number, line: string, headers: Record<string, string>): Promise<number> {
  const client = await RawClient.connect(port);
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  await client.write(`${line} HTTP/1.1\r\n${lines.join("")}\r\n`);
  await client.when(() => client.status !== 0 || client.closed, "a head");
  client.destroy();
  return client.status;
}

test("an open broker refuses foreign pages and rebound names on every route and upgrade", async () => {
  await using processes = new Processes();
  const { port } = await processes.broker({ API_KEY: "", CLIENT_KEY: "" });
  const own = `127.0.0.1:${port}`;
  for (const [line, headers] of PLACES) {
    const at = (host: string, more: Record<string, string> = {}) =>
      ask(port, line, { Host: host, ...headers, ...more });
    const known = line !== "GET /";
    for (const status of [
      await at(`evil.example:${port}`),
      await at(`evil.example:${port}`, { Origin: `http://evil.example:${port}` }),
      await at(own, { Origin: "https://evil.example" }),
      await at(own, { Origin: "null" }),
      await at(own, { Origin: "file://" }),
    ])
      expect([line, status]).toEqual([line, known ? 403 : 404]);
    for (const more of [{}, { Origin: `http://${own}` }, { Origin: `http://localhost:${port}` }])
      expect([line, await at(own, more)]).not.toEqual([line, 403]);
  }
});

test("behind a proxy the public name is allowed by PUBLIC_URL or ALLOWED_HOSTS", async () => {
  await using processes = new Processes();
  const open = { API_KEY: "", CLIENT_KEY: "" };
  const byUrl = await processes.broker({ ...open, PUBLIC_URL: "https://ai.example" });
  const byHost = await processes.broker({ ...open, ALLOWED_HOSTS: "ai.example" });
  for (const { port } of [byUrl, byHost]) {
    const at = (host: string, origin?: string) =>
      ask(port, "GET /api/state", { Host: host, ...(origin !== undefined && { Origin: origin }) });
    expect(await at("ai.example")).toBe(200);
    expect(await at("ai.example", "https://ai.example")).toBe(200);
    expect(await at("ai.example", "https://evil.example")).toBe(403);
    expect(await at("x.ai.example")).toBe(403);
  }
  const files = await processes.broker({ ...open, ALLOWED_ORIGINS: "null,file://" });
  for (const Origin of ["null", "file://"])
    expect(await ask(files.port, "GET /api/state", { Host: "localhost", Origin })).toBe(200);
});
