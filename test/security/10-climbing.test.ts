// No path climbs out of a relay's or a plugin's place at its backend, however it is written.
import { expect, test } from "bun:test";
import { status } from "../kit/backend/backend.ts";
import { RawClient } from "../kit/http/raw-client.ts";
import { AUTHORIZED } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";

const CLIMBS = [
  "/..%2f..%2fadmin",
  "/..%2F..%2Fadmin",
  "/x/..%5c..%5cadmin",
  "/%2e%2e%2fadmin",
  "/..;/..;/admin",
  "/%2e%2e;x=1/admin",
  "/..%3b/admin",
  "/..%252f..%252fadmin",
  "/%252e%252e/admin",
  "/a%2fb",
  "/a%5cb",
  "/%c0%ae%c0%ae/admin",
];

async function ask(port: number, path: string): Promise<number> {
  const client = await RawClient.connect(port);
  const head = `Host: 127.0.0.1\r\nAuthorization: ${AUTHORIZED["authorization"]}\r\nContent-Length: 2\r\nConnection: close`;
  await client.write(`POST ${path} HTTP/1.1\r\n${head}\r\n\r\n{}`);
  await client.settled();
  client.destroy();
  return client.status;
}

test("encoded climbing is 404 and reaches nobody", async () => {
  await using processes = new Processes();
  const broker = await processes.broker();
  const backend = await processes.backend({ respond: status(200, "{}") });
  await processes.relay(broker, { http: `${backend.origin}/mcp` }, { CLIENT_ID: "x" });
  const calls = (): string[] => backend.requests.filter(({ method }) => method === "POST").map(({ path }) => path);
  const before = calls().length;
  for (const path of CLIMBS) expect([path, await ask(broker.port, `/api/mcp/id/x${path}`)]).toEqual([path, 404]);
  // What a URL parser takes for `..` leads to another address of the broker, where nothing is.
  for (const path of ["/%2e%2e/admin", "/.%2e/admin", "/../admin"])
    expect([404, 503]).toContain(await ask(broker.port, `/api/mcp/id/x${path}`));
  expect(calls()).toHaveLength(before);
  for (const path of ["/a%20b", "/..a/b", "/a;v=1", "/c%C3%A9"])
    expect([path, await ask(broker.port, `/api/mcp/id/x${path}`)]).toEqual([path, 200]);
  expect(calls().slice(before)).toEqual(["/mcp/a%20b", "/mcp/..a/b", "/mcp/a;v=1", "/mcp/c%C3%A9"]);
});
