// What a provider says of itself as a protected resource, from a real server.
import { expect, test } from "bun:test";
import { HttpProvider } from "../../../src/agent/providers/http.ts";
import { NfrxError } from "../../../src/lib/errors.ts";
import { resourceMetadataUrl } from "../../../src/lib/well-known.ts";
import { until } from "../../kit/time/until.ts";

const WELL_KNOWN = "/.well-known/oauth-protected-resource";
const METADATA = '{ "resource":"http://10.0.0.7/mcp",\r\n "scopes_supported":["a"] }';

type Place = (request: Request) => Response | Promise<Response>;

/** A provider with something at these places, and 404 at all others. */
class Host implements Disposable {
  readonly asked: string[] = [];
  readonly headers: Headers[] = [];
  readonly #server;

  constructor(places: Record<string, Place>) {
    this.#server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: request => {
        const { pathname, search } = new URL(request.url);
        this.asked.push(pathname + search);
        this.headers.push(request.headers);
        return places[pathname + search]?.(request) ?? new Response("nothing here", { status: 404 });
      },
    });
  }

  /** Asks the provider at this path of the host. */
  metadata(path: string, { timeoutMs = 10_000, signal = new AbortController().signal } = {}): Promise<Response> {
    const url = `http://127.0.0.1:${this.#server.port}${path}`;
    const credentials = () => Promise.reject(new Error("asked for credentials"));
    const provider = new HttpProvider({ url, timeoutMs, insecureSkipVerify: false, credentials });
    return until(provider.metadata(signal), "the metadata");
  }

  [Symbol.dispose](): void {
    this.#server.stop(true);
  }
}

async function failure(asked: Promise<Response>): Promise<NfrxError> {
  const error = await asked.then(
    () => new Error("it was answered"),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof NfrxError)) throw error;
  return error;
}

test("comes from the place of its path, byte for byte, and is asked for without credentials", async () => {
  using host = new Host({
    [`${WELL_KNOWN}/mcp`]: () => new Response(METADATA, { headers: { "content-type": "text/plain" } }),
    [WELL_KNOWN]: () => new Response("{}"),
  });
  const response = await host.metadata("/mcp");
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/json"]);
  expect(await response.text()).toBe(METADATA);
  expect(host.asked).toEqual([`${WELL_KNOWN}/mcp`]);
  expect(host.headers[0]?.get("authorization")).toBeNull();
  expect(host.headers[0]?.get("accept")).toBe("application/json");
});

test("comes from the root where the path has none; a redirect is none", async () => {
  using host = new Host({
    [`${WELL_KNOWN}/mcp`]: () => Response.redirect("http://127.0.0.1:1/", 302),
    [WELL_KNOWN]: () => new Response(METADATA),
  });
  expect(await (await host.metadata("/mcp")).text()).toBe(METADATA);
  expect(host.asked).toEqual([`${WELL_KNOWN}/mcp`, WELL_KNOWN]);
});

test("is 404 where there is none; a provider at the root is asked once", async () => {
  using host = new Host({});
  for (const path of ["/mcp", "/", ""]) {
    const response = await host.metadata(path);
    expect([response.status, await response.text()]).toEqual([404, ""]);
  }
  expect(host.asked).toEqual([`${WELL_KNOWN}/mcp`, WELL_KNOWN, WELL_KNOWN, WELL_KNOWN]);
});

test("fails when the provider is not well, and asks no further", async () => {
  using host = new Host({ [`${WELL_KNOWN}/mcp`]: () => new Response(null, { status: 503 }) });
  const { code, message } = await failure(host.metadata("/mcp"));
  expect([code, message]).toEqual(["upstream_error", "the provider responded to the metadata request with status 503"]);
  expect(host.asked).toHaveLength(1);
});

test("fails when it does not end, and lets go of the connection", async () => {
  const cut = Promise.withResolvers<void>();
  using host = new Host({
    [`${WELL_KNOWN}/mcp`]: ({ signal }) => {
      signal.addEventListener("abort", () => cut.resolve());
      const chunk = new Uint8Array(65_536).fill(32);
      return new Response(new ReadableStream({ pull: controller => controller.enqueue(chunk) }));
    },
  });
  expect((await failure(host.metadata("/mcp"))).message).toContain("exceeds 262144 bytes");
  await until(cut.promise, "the end of the connection");
});

test("fails when the provider is silent, and ends when whoever asked has gone", async () => {
  const silent = () => new Promise<Response>(() => {});
  using host = new Host({ [`${WELL_KNOWN}/mcp`]: silent });
  expect((await failure(host.metadata("/mcp", { timeoutMs: 50 }))).code).toBe("timeout");
  const gone = new AbortController();
  const asked = host.metadata("/mcp", { signal: gone.signal });
  const reason = new NfrxError("canceled", "gone");
  gone.abort(reason);
  expect(await failure(asked)).toBe(reason);
});

test("the place of the metadata lies between host and path", () => {
  for (const [resource, place] of [
    ["https://h.example", `https://h.example${WELL_KNOWN}`],
    ["https://h.example/", `https://h.example${WELL_KNOWN}`],
    ["https://h.example:8443/a/b", `https://h.example:8443${WELL_KNOWN}/a/b`],
    ["https://h.example/a/", `https://h.example${WELL_KNOWN}/a/`],
    ["https://h.example/a?b=c#d", `https://h.example${WELL_KNOWN}/a?b=c`],
    ["https://h.example/?b=c", `https://h.example${WELL_KNOWN}?b=c`],
  ] as const)
    expect(resourceMetadataUrl(resource)).toBe(place);
});
