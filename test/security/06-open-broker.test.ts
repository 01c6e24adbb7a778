// A broker without a key is this machine's alone, a misspelt option is named, and /metrics wants a key.

import { expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import { AUTHORIZED } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";

/** An address of this machine that others reach. */
const outward = Object.values(networkInterfaces())
  .flatMap(addresses => addresses ?? [])
  .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

async function answers(host: string, port: number): Promise<boolean> {
  return await fetch(`http://${host}:${port}/healthz`).then(
    ({ ok }) => ok,
    () => false,
  );
}

test.skipIf(outward === undefined)(
  "a broker without a key listens on 127.0.0.1 only, and says how to open it",
  async () => {
    await using processes = new Processes();
    const host = outward ?? "";
    for (const [env, open] of [
      [{ API_KEY: "", CLIENT_KEY: "" }, false],
      [{ API_KEY: "" }, false],
      [{ CLIENT_KEY: "" }, false],
      [{ API_KEY: "", API_HTTP_ROLES: "users" }, true],
      [{ API_KEY: "", CLIENT_KEY: "", ALLOW_OPEN: "true" }, true],
      [{}, true],
    ] as const)
      for (const HOST of ["", "0.0.0.0", host]) {
        const broker = await processes.broker({ HOST, ...env });
        expect([env, HOST, await answers(host, broker.port)]).toEqual([env, HOST, open]);
        if (!open) expect(await answers("127.0.0.1", broker.port)).toBe(true);
        const told = broker.lines.filter(
          ({ msg }) => msg.includes("127.0.0.1 only") && msg.includes("ALLOW_OPEN=true"),
        );
        expect(told.length).toBe(open ? 0 : 1);
      }
  },
);

test("a misspelt option is named with the right one, by the broker and by doctor", async () => {
  await using processes = new Processes();
  const env = { API_KEY: "", API_KYE: "secret-value" };
  const broker = await processes.broker(env);
  const told = broker.lines.find(({ msg }) => msg.includes("API_KYE"));
  expect([told?.level, told?.["meant"]]).toEqual(["warn", "API_KEY"]);
  expect(JSON.stringify(broker.lines)).not.toContain("secret-value");
  const doctor = processes.start("nfrx", { PORT: "0", ...env }, ["doctor"]);
  await doctor.ending();
  const text = doctor.strays.join("\n");
  expect(text).toMatch(/^warn {2}config +API_KYE is not an option; did you mean API_KEY\?$/m);
  expect(text).toMatch(/^warn {2}address +listening on 127\.0\.0\.1 only/m);
});

test("/metrics on the public port wants the API key or the admin key, at METRICS_PORT none", async () => {
  await using processes = new Processes();
  const ADMIN_KEY = "test-admin-key";
  const closed = await processes.broker({ METRICS_OPEN: "", ADMIN_KEY });
  const status = async (headers: Record<string, string> = {}) =>
    (await fetch(`${closed.origin}/metrics`, { headers })).status;
  expect(await status()).toBe(401);
  expect(await status({ authorization: "Bearer wrong" })).toBe(401);
  expect(await status(AUTHORIZED)).toBe(200);
  expect(await status({ authorization: `Bearer ${ADMIN_KEY}` })).toBe(200);
  const open = await processes.broker();
  expect((await fetch(`${open.origin}/metrics`)).status).toBe(200);
  const own = await processes.broker({ METRICS_OPEN: "", METRICS_PORT: "127.0.0.1:0" });
  const listening = own.lines.find(({ msg }) => msg === "listening");
  expect((await fetch(`http://127.0.0.1:${listening?.["metrics_port"]}/metrics`)).status).toBe(200);
  expect((await fetch(`${own.origin}/metrics`)).status).toBe(404);
});
