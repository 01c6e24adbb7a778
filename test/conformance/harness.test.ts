// The harness itself: a plain proxy makes no difference, and one that breaks something does.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Reach } from "../kit/mcp/tunnel.ts";
import { compare, type Explained, explanations, unexplained } from "./compare.ts";
import { startHttpFixture } from "./fixtures/http.ts";
import { throughProxy } from "./proxy.ts";
import { type Row, runSuite } from "./run.ts";
import { type Suite, suiteNames } from "./suites.ts";

let fixture: Reach;
const direct = new Map<Suite, Row[]>();

beforeAll(async () => {
  fixture = startHttpFixture();
  for (const suite of suiteNames) direct.set(suite, await runSuite(suite, fixture.url));
}, 120_000);
afterAll(() => fixture[Symbol.asyncDispose]());

const directly = (suite: Suite): Row[] => direct.get(suite) ?? [];
const failures = (rows: readonly Row[]): Row[] => rows.filter(({ status }) => status.includes("FAILURE"));

describe("directly", () => {
  test.each(["0.1-all", "0.2-2025-11-25"] as const)("the fixture passes %s", suite => {
    expect(failures(directly(suite))).toEqual([]);
    expect(directly(suite).length).toBeGreaterThan(45);
  });

  test("the fixture passes 0.2-2026-07-28 but for tasks, an extension that it has not", () => {
    const rows = directly("0.2-2026-07-28");
    expect(failures(rows).filter(({ scenario }) => !scenario.startsWith("tasks-"))).toEqual([]);
    expect(rows.length).toBeGreaterThan(150);
  });
});

test.each([...suiteNames])("a plain proxy makes no difference to %s", async suite => {
  await using proxy = throughProxy(fixture.url);
  expect(compare(directly(suite), await runSuite(suite, proxy.url))).toEqual([]);
});

describe("a difference is seen", () => {
  test("a lost session id", async () => {
    await using proxy = throughProxy(fixture.url, answer => {
      const headers = new Headers(answer.headers);
      headers.delete("mcp-session-id");
      return new Response(answer.body, { status: answer.status, headers });
    });
    const differences = compare(directly("0.2-2025-11-25"), await runSuite("0.2-2025-11-25", proxy.url));
    expect(differences).toContainEqual({
      scenario: "tools-list",
      check: "tools-list",
      direct: "SUCCESS",
      tunnelled: "FAILURE",
    });
  });

  test("a changed status", async () => {
    await using proxy = throughProxy(fixture.url, ({ status, headers, body }) => {
      return new Response(body, { status: status === 404 ? 400 : status, headers });
    });
    const lines = unexplained(compare(directly("0.2-2026-07-28"), await runSuite("0.2-2026-07-28", proxy.url)), [], {
      suite: "0.2-2026-07-28",
      provider: "http",
    });
    expect(lines.join("\n")).toContain("server-stateless");
  });

  test("a server that is gone", async () => {
    const proxy = throughProxy(fixture.url);
    await proxy[Symbol.asyncDispose]();
    const rows = await runSuite("0.1-all", proxy.url);
    expect(compare(directly("0.1-all"), rows).length).toBeGreaterThan(30);
  });
});

describe("the list of explained differences", () => {
  const where = { suite: "0.1-all", provider: "stdio" } as const;
  const difference = { scenario: "ping", check: "ping", direct: "SUCCESS", tunnelled: undefined };
  const entry: Explained = { suites: ["0.1-all"], providers: ["stdio"], ...difference, why: "because it is a sample" };

  test("can be read", async () => {
    expect(await explanations()).toBeArray();
  });

  test("excuses what it names, there only", () => {
    expect(unexplained([difference], [entry], where)).toEqual([]);
    expect(unexplained([difference], [entry], { ...where, provider: "http" })).toEqual([
      "ping ping: direct SUCCESS, tunnelled none",
    ]);
    expect(unexplained([{ ...difference, tunnelled: "FAILURE" }], [entry], where)).toHaveLength(2);
  });

  test("must hold", () => {
    expect(unexplained([], [entry], where)).toEqual([
      "explained, but not so: ping ping: direct SUCCESS, tunnelled none",
    ]);
  });
});
