// The bar for the relay: every check of the official suites gives the same result through broker and nfrx-mcp as it gives
// at the server itself. A server that speaks stdio is compared with the same server over HTTP.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type McpProvider, type Reach, throughTunnel } from "../kit/mcp/tunnel.ts";
import { compare, explanations, unexplained } from "./compare.ts";
import { startHttpFixture } from "./fixtures/http.ts";
import { stdioFixture } from "./fixtures/stdio-command.ts";
import { type Row, runSuite } from "./run.ts";
import { type Provider, providerNames, type Suite, suiteNames } from "./suites.ts";

let fixture: Reach;
const direct = new Map<Suite, Row[]>();

beforeAll(async () => {
  fixture = startHttpFixture();
  for (const suite of suiteNames) direct.set(suite, await runSuite(suite, fixture.url));
}, 120_000);
afterAll(() => fixture[Symbol.asyncDispose]());

const providers: Record<Provider, () => McpProvider> = {
  http: () => ({ http: fixture.url }),
  stdio: () => ({ stdio: stdioFixture }),
};

describe.each([...providerNames])("a server that speaks %s", provider => {
  test.each([...suiteNames])(
    "%s: the same through the tunnel",
    async suite => {
      await using tunnel = await throughTunnel(providers[provider]());
      const rows = await runSuite(suite, tunnel.url);
      const differences = compare(direct.get(suite) ?? [], rows);
      expect(unexplained(differences, await explanations(), { suite, provider })).toEqual([]);
    },
    120_000,
  );
});
