import { expect, test } from "bun:test";
import { serve, serveMetrics } from "../../../src/lib/listen.ts";

const here = (port: number) => ({ host: "127.0.0.1", port });
const answer = (): Promise<Response> => Promise.resolve(new Response("text"));

test("metrics have an address of their own, with nothing else on it", async () => {
  const server = serveMetrics(here(0), answer);
  const at = (path: string) => fetch(`http://127.0.0.1:${server.port}${path}`);
  expect(await (await at("/metrics")).text()).toBe("text");
  for (const path of ["/", "/state", "/metrics/"]) expect((await at(path)).status).toBe(404);
  await server.stop(true);
});

test("an address that is taken, or is not this machine's, is told by its option", async () => {
  const server = serveMetrics(here(0), answer);
  const port = server.port ?? 0;
  expect(() => serveMetrics(here(port), answer)).toThrow(
    `METRICS_PORT: cannot listen on 127.0.0.1:${port}: another program uses this port`,
  );
  expect(() => serveMetrics({ host: "", port }, answer)).toThrow(
    `METRICS_PORT: cannot listen on ${port}: another program uses this port`,
  );
  expect(() => serveMetrics({ host: "203.0.113.9", port: 0 }, answer)).toThrow(
    "METRICS_PORT: cannot listen on 203.0.113.9:0: no interface of this machine has this address",
  );
  await server.stop(true);
});

test("any other reason is told as it is", () => {
  const tls = { cert: "no certificate", key: "no key" };
  expect(() => serve({ option: "PORT", address: here(0), tls, answer: () => answer() })).toThrow(
    /^PORT: cannot listen on 127\.0\.0\.1:0: /,
  );
});
