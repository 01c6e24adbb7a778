// A path has one spelling: any other is a 404, so that a proxy's rule for a path holds.
import { expect, test } from "bun:test";
import { RawClient } from "../kit/http/raw-client.ts";
import { AUTHORIZED } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";

async function status(port: number, path: string, host = "broker.example"): Promise<number> {
  const client = await RawClient.connect(port);
  const headers = `Host: ${host}\r\nAuthorization: ${AUTHORIZED["authorization"]}\r\nConnection: close`;
  await client.write(`GET ${path} HTTP/1.1\r\n${headers}\r\n\r\n`);
  await client.settled();
  client.destroy();
  return client.status;
}

test("every other spelling of a path is a 404", async () => {
  await using processes = new Processes();
  const { port } = await processes.broker({ METRICS_OPEN: "true" });
  for (const path of ["/metrics", "/healthz", "/api/state", "/api/jobs"]) {
    expect([path, await status(port, path)]).toEqual([path, 200]);
    const [first = "", rest = ""] = [path.slice(1, 2), path.slice(2)];
    for (const other of [
      `${path}/`,
      `${path}//`,
      `/${path}`,
      `//x${path}`,
      `${path}%2f`,
      `${path}%5c`,
      `/%2f${path}`,
      `/x%2f..${path}`,
      `/x/..%2f${path.slice(1)}`,
      `/x%5c..%5c${path.slice(1)}`,
      `/%${first.charCodeAt(0).toString(16)}${rest}`,
      `/${path.slice(1).toUpperCase()}`,
      `${path};x`,
      `/.;${path}`,
      `${path}%00`,
      `${path}%20`,
      `${path}.`,
      `${path}#x`,
      `/1234567${path}`,
    ])
      for (const host of ["broker.example", "a", "ai"])
        expect([other, host, await status(port, other, host)]).toEqual([other, host, 404]);
  }
});

test("the list of models may have a slash at its end, as some SDKs write it", async () => {
  await using processes = new Processes();
  const { port } = await processes.broker();
  expect(await status(port, "/api/llm/v1/models/")).toBe(200);
  expect(await status(port, "/api/llm/v1/models//")).toBe(404);
});
