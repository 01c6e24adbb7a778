import { expect, test } from "bun:test";
import { HttpProvider } from "../../../src/agent/providers/http.ts";
import { silent, startBackend, status } from "../../kit/backend/backend.ts";

test("nothing that a broker may say leads out of the endpoint", async () => {
  const backend = await startBackend({ respond: status(200, "served") });
  try {
    for (const path of ["/mcp", "/mcp/", "/deep/er?key=1"]) {
      const provider = new HttpProvider({ url: backend.origin + path, timeoutMs: 1000, insecureSkipVerify: false });
      const ask = (rest: string): Promise<Response> =>
        provider.fetch({ method: "GET", rest, headers: [], body: null, signal: new AbortController().signal });
      const { length } = backend.requests;
      for (const rest of [
        "/..",
        "/../admin",
        "/../mcp-admin",
        "/a/../../admin",
        "/%2e%2e/admin",
        "/.%2E/admin",
        "/..\\admin",
        "\\..\\admin",
        "-admin",
        "@127.0.0.1:1/",
        ".evil.example/",
        ":1/",
        "/a/../b",
        "/a%2fb",
        "/%252e%252e/a",
        "/a\tb",
      ])
        await expect(ask(rest)).rejects.toMatchObject({ code: "not_found" });
      expect(backend.requests).toHaveLength(length);
      for (const rest of ["", "/", "/a", "/..a", "//a", "?x=/../y", "/a?x=#y"])
        expect(await (await ask(rest)).text()).toBe("served");
    }
  } finally {
    await backend.stop();
  }
});

test("a server that sends no head to a GET is asked by POST", async () => {
  const backend = await startBackend({
    respond: (request, recorded) =>
      request.method === "GET" ? silent()(request, recorded) : status(200, "{}")(request, recorded),
  });
  try {
    const provider = new HttpProvider({ url: backend.origin, timeoutMs: 100, insecureSkipVerify: false });
    await provider.probe(new AbortController().signal);
    expect(backend.requests.map(({ method }) => method)).toEqual(["GET", "POST"]);
  } finally {
    await backend.stop();
  }
});

test("an endpoint at the root has everything below it", async () => {
  const backend = await startBackend({ respond: status(200, "served") });
  try {
    for (const url of [backend.origin, `${backend.origin}/`]) {
      const provider = new HttpProvider({ url, timeoutMs: 1000, insecureSkipVerify: false });
      const ask = (rest: string): Promise<Response> =>
        provider.fetch({ method: "GET", rest, headers: [], body: null, signal: new AbortController().signal });
      for (const rest of ["", "/", "/a"]) expect(await (await ask(rest)).text()).toBe("served");
      for (const rest of ["@127.0.0.1:1/", ".evil.example/", ":1/", "/../a"])
        await expect(ask(rest)).rejects.toMatchObject({ code: "not_found" });
    }
  } finally {
    await backend.stop();
  }
});
