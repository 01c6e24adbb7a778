// The status server of an agent: pages of other origins, rebound names and strangers on the network read nothing.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { RawClient } from "../kit/http/raw-client.ts";
import type { Env, Program } from "../kit/process/program.ts";
import { Processes } from "../kit/processes.ts";
import { freePort } from "../peer/old.ts";

/** An agent with a status server at `host`; its port and its token. */
async function withStatus(
  processes: Processes,
  host: string,
): Promise<{ agent: Program; port: number; token: string }> {
  const port = freePort();
  const broker = await processes.broker();
  const agent = await processes.agent(broker, await processes.backend(), { STATUS_ADDR: `${host}:${port}` });
  return { agent, port, token: readFileSync(join(processes.folder, "llm.token"), "utf8").trim() };
}

async function ask(port: number, line: string, headers: Env): Promise<number> {
  const client = await RawClient.connect(port);
  const lines = Object.entries({ "Content-Length": "0", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  await client.write(`${line} HTTP/1.1\r\n${lines.join("")}\r\n`);
  await client.settled();
  client.destroy();
  return client.status;
}

const READS = ["GET /status", "GET /version"];
const CONTROL = ["POST /control/drain", "POST /control/undrain", "POST /control/shutdown"];

test("on loopback a foreign page or a rebound name is refused, with the token too", async () => {
  await using processes = new Processes();
  const { agent, port, token } = await withStatus(processes, "127.0.0.1");
  const own = `127.0.0.1:${port}`;
  for (const line of [...READS, ...CONTROL]) {
    for (const foreign of [
      { Host: `evil.example:${port}` },
      { Host: own, Origin: "https://evil.example" },
      { Host: own, Origin: "null" },
      { Host: `evil.example:${port}`, Origin: `http://evil.example:${port}` },
    ])
      expect([line, await ask(port, line, { ...foreign, "X-Auth-Token": token })]).toEqual([line, 403]);
  }
  for (const line of READS) expect([line, await ask(port, line, { Host: own })]).toEqual([line, 200]);
  for (const line of CONTROL) expect([line, await ask(port, line, { Host: own })]).toEqual([line, 401]);
  expect(agent.running).toBeTrue();
});

test("beyond loopback every request needs the token", async () => {
  await using processes = new Processes();
  const { port, token } = await withStatus(processes, "0.0.0.0");
  const Host = `127.0.0.1:${port}`;
  for (const line of READS) {
    expect([line, await ask(port, line, { Host })]).toEqual([line, 401]);
    expect([line, await ask(port, line, { Host, "X-Auth-Token": `${token}x` })]).toEqual([line, 401]);
    expect([line, await ask(port, line, { Host, "X-Auth-Token": token })]).toEqual([line, 200]);
  }
});
