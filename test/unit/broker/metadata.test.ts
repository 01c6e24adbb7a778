import { describe, expect, test } from "bun:test";
import { rewriteChallenge, rewriteMetadata } from "../../../src/broker/relay/metadata.ts";
import { NfrxError } from "../../../src/lib/errors.ts";

const PUBLIC = "https://nfrx.example/api/mcp/id/home";
const PLACE = "https://nfrx.example/.well-known/oauth-protected-resource/api/mcp/id/home";

describe("metadata", () => {
  const rewrite = (json: string | Uint8Array) =>
    JSON.parse(new TextDecoder().decode(rewriteMetadata(Buffer.from(json), PUBLIC)));

  test("names the public address; all else stays", () => {
    const rest = {
      authorization_servers: ["https://auth.example/ä"],
      scopes_supported: ["mcp"],
      bearer_methods_supported: ["header"],
      "x-own": { resource: "http://10.0.0.7/" },
    };
    expect(rewrite(JSON.stringify({ resource: "http://10.0.0.7/mcp", ...rest }))).toEqual({
      resource: PUBLIC,
      ...rest,
    });
    expect(rewrite("{}")).toEqual({ resource: PUBLIC });
    expect(rewrite(`\uFEFF${JSON.stringify(rest)}`)).toEqual({ resource: PUBLIC, ...rest });
    expect(Object.keys(rewrite('{"__proto__":{"a":1}}'))).toEqual(["__proto__", "resource"]);
  });

  test("loses a signature that vouches for the private address", () => {
    expect(rewrite('{"resource":"http://10.0.0.7/mcp","signed_metadata":"e30.e30.e30"}')).toEqual({ resource: PUBLIC });
  });

  test.each(["", "{", "[]", "null", '"text"', "7", "<html>"])("is none: %s", json => {
    expect(() => rewrite(json)).toThrow(NfrxError);
    expect(() => rewrite(json)).toThrow("not a JSON object");
  });

  test("is none: bytes that are no UTF-8", () => {
    expect(() => rewrite(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]))).toThrow("not a JSON object");
  });
});

describe("a challenge", () => {
  /** `@` stands for the private place on the way in, for the public one on the way out. */
  const OLD = "http://10.0.0.7/.well-known/oauth-protected-resource/mcp";
  test.each([
    ['Bearer resource_metadata="@"'],
    ['bearer realm="x", error="invalid_token",resource_metadata="@" , scope="a b"'],
    ['Bearer Resource_Metadata="@"'],
    ['Bearer resource_metadata = \t"@"'],
    ['Basic realm="r", Bearer resource_metadata="@", DPoP algs="ES256", resource_metadata="@"'],
    ['Negotiate dGVzdA==, Bearer resource_metadata="@"'],
    ['Bearer realm="it\'s \\"resource_metadata=\\"", resource_metadata="@"'],
    ['Bearer realm="back\\\\", resource_metadata="@"'],
    ['Bearer realm="", resource_metadata="@"'],
    ['Bearer\tresource_metadata="@"'],
    [',, Bearer resource_metadata="@",,'],
    ['Bearer realm="\u00e4", resource_metadata="@"'],
  ])("%s", written => {
    expect(rewriteChallenge(written.replaceAll("@", OLD), PLACE)).toBe(written.replaceAll("@", PLACE));
  });

  test.each([
    ["without quotes", `Bearer resource_metadata=${OLD}, scope=a`, `Bearer resource_metadata="${PLACE}", scope=a`],
    ["as a token", "Bearer resource_metadata=x", `Bearer resource_metadata="${PLACE}"`],
    ["with escapes", 'Bearer resource_metadata="a\\"b\\\\", x=y', `Bearer resource_metadata="${PLACE}", x=y`],
    ["empty", 'Bearer resource_metadata=""', `Bearer resource_metadata="${PLACE}"`],
  ])("with its value %s", (_, given, rewritten) => {
    expect(rewriteChallenge(given, PLACE)).toBe(rewritten);
  });

  test.each([
    "Bearer",
    "",
    'Basic realm="a"',
    'Bearer realm="resource_metadata=x"',
    'Bearer realm="a, resource_metadata=\\"x\\", b"',
    'Bearer x_resource_metadata="x", resource_metadata_y="z", x-resource_metadata="w"',
    "Negotiate resource_metadata=",
    "Negotiate resource_metadata==",
    "Negotiate abc/resource_metadata=x",
    'Bearer realm="never closed, resource_metadata="',
    'Bearer realm="never closed \\',
    'Bearer resource_metadata="never closed',
    "Bearer resource_metadata",
  ])("that has no such parameter stays: %s", given => {
    expect(rewriteChallenge(given, PLACE)).toBe(given);
  });

  test("cannot be broken by the place, nor by a pattern in it", () => {
    expect(rewriteChallenge('Bearer resource_metadata="x"', 'a"b\\c$&$1')).toBe(
      'Bearer resource_metadata="a\\"b\\\\c$&$1"',
    );
  });

  test("is read in one pass, whatever it holds", () => {
    const hostile = ['"\\', "a=", "a ", 'a="', "\\", '"\\"', "resource_metadata=", " \t"].map(part =>
      part.repeat(50_000),
    );
    const begun = performance.now();
    for (const part of hostile) rewriteChallenge(`Bearer ${part}`, PLACE);
    expect(performance.now() - begun).toBeLessThan(5000);
  });
});
