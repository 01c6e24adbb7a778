// An agent goes nowhere but to the endpoints of its module, whatever its broker sends.
import { expect, test } from "bun:test";
import { status } from "../kit/backend/backend.ts";
import { Processes } from "../kit/processes.ts";
import { HostileBroker } from "../kit/protocol/hostile-broker.ts";

const CONVERT = "/v1/convert/source";
const JSON_TYPE: [string, string] = ["content-type", "application/json"];

test("a worker's agent", async () => {
  await using processes = new Processes();
  await using broker = new HostileBroker();
  const backend = await processes.backend({ respond: status(200, "{}") });
  const other = await processes.backend({ respond: status(200, "other") });
  processes.start("nfrx-docling", {
    SERVER_URL: broker.url,
    DOC_BASE_URL: backend.origin,
    DOC_API_KEY: "of-the-backend",
    BACKEND_HEADERS: "X-Own=of-the-agent",
  });
  await broker.registered();
  expect(await broker.ask("POST", CONVERT, [JSON_TYPE], "{}")).toBe(200);
  expect(backend.requests).toHaveLength(1);
  const place = other.origin.replace("http://", "");
  for (const path of [
    `@${place}/x`,
    `@${place}${CONVERT}`,
    `.${place}/x`,
    `//${place}/x`,
    `http://${place}${CONVERT}`,
    `\\\\${place}\\x`,
    "v1/convert/source",
    "/admin",
    "/healthz",
    `${CONVERT}/../../../admin`,
    `${CONVERT}/..%2f..%2fadmin`,
    "/v1/chunk/..%2f..%2fadmin/source",
    "/v1/chunk/%2e%2e/source",
    "/v1/chunk/..;/source",
    "/v1/chunk/a%5cb/source",
    "/v1/result/%252e%252e",
    `${CONVERT}\r\nX-Injected: 1`,
    "",
  ])
    for (const method of ["POST", "GET"])
      expect([method, path, await broker.ask(method, path)]).toEqual([method, path, "not_found"]);
  for (const method of ["GET", "DELETE", "CONNECT", "TRACE"])
    expect([method, await broker.ask(method, CONVERT)]).toEqual([method, "not_found"]);
  expect([backend.requests.length, other.requests.length]).toEqual([1, 0]);

  // Headers that no caller may set, or that HTTP does not allow, stay here.
  expect(
    await broker.ask(
      "POST",
      CONVERT,
      [
        JSON_TYPE,
        ["Host", "other"],
        ["Authorization", "Bearer of-the-broker"],
        ["X-Api-Key", "of-the-broker"],
        ["X-OWN", "of-the-broker"],
        ["Cookie", "a=1"],
        ["Proxy-Authorization", "Basic eDp5"],
        ["X-Forwarded-For", "127.0.0.1"],
        ["Transfer-Encoding", "chunked"],
        ["X-Split", "a\r\nX-Injected: 1"],
        ["X Space", "1"],
        ["X-Tenant-Id", "t"],
      ],
      "{}",
    ),
  ).toBe(200);
  const headers = backend.requests.at(-1)?.headers ?? new Headers();
  expect(headers.get("host")).toBe(backend.origin.replace("http://", ""));
  expect(headers.get("authorization")).toBe("Bearer of-the-backend");
  expect(headers.get("x-api-key")).toBe("of-the-backend");
  expect(headers.get("x-own")).toBe("of-the-agent");
  expect(headers.get("x-tenant-id")).toBe("t");
  for (const name of ["cookie", "proxy-authorization", "x-forwarded-for", "x-split", "x-injected"])
    expect([name, headers.get(name)]).toEqual([name, null]);
});

test("a relay", async () => {
  await using processes = new Processes();
  await using broker = new HostileBroker();
  const backend = await processes.backend({ respond: status(200, "{}") });
  processes.start("nfrx-mcp", {
    SERVER_URL: broker.url,
    CLIENT_ID: "r",
    AUTH_TOKEN: "of-the-relay",
    MCP_TRANSPORT_ORDER: "http",
    PROVIDER_URL: `${backend.origin}/deep/mcp`,
    PROVIDER_HEADERS: "X-Provider-Key=of-the-provider",
  });
  await broker.registered();
  const token: [string, string] = ["authorization", "Bearer of-the-relay"];
  const calls = (): number => backend.requests.filter(({ path }) => path !== "/deep/mcp").length;
  expect(await broker.ask("POST", "/mcp/below", [token, ["x-provider-key", "mine"]], "{}")).toBe(200);
  const seen = backend.requests.find(({ path }) => path === "/deep/mcp/below");
  expect(seen?.headers.get("x-provider-key")).toBe("of-the-provider");
  for (const path of [
    "/mcp@other/",
    "/mcpx",
    "/admin",
    "@other/",
    "/mcp/../admin",
    "/mcp/..%2fadmin",
    "/mcp/%2e%2e/admin",
    "/mcp/..;/admin",
    "/mcp/a%5c..",
  ])
    expect([path, await broker.ask("POST", path, [token], "{}")]).toEqual([path, "not_found"]);
  // It judges its token itself too.
  expect(await broker.ask("POST", "/mcp/below", [], "{}")).toBe(401);
  expect(await broker.ask("POST", "/mcp/below", [["authorization", "Bearer wrong"]], "{}")).toBe(401);
  expect(calls()).toBe(1);
});
