// The protected resource metadata of a provider, with the relay's public address; see agent/providers/metadata.ts.
import { NfrxError } from "../../lib/errors.ts";

/**
 * A provider's metadata as a protected resource (RFC 9728) as that of the relay at `publicUrl`: `resource` is the public
 * address, and all else stays. Signed metadata goes, since it vouches for the private address and would count for more.
 * Throws `upstream_error` when it is not a JSON object.
 */
export function rewriteMetadata(json: Uint8Array, publicUrl: string): Uint8Array<ArrayBuffer> {
  const { signed_metadata: _, ...metadata } = parse(json);
  return new TextEncoder().encode(JSON.stringify({ ...metadata, resource: publicUrl }));
}

function parse(json: Uint8Array): Record<string, unknown> {
  const failure = "the provider's metadata is not a JSON object";
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch (cause) {
    throw new NfrxError("upstream_error", failure, { cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new NfrxError("upstream_error", failure);
  return { ...value };
}

/**
 * A parameter with its value, or a quoted string by itself, which is taken whole so that nothing inside it is mistaken for
 * a parameter. A value without quotes is taken up to a space or comma, as some servers forget the quotes of an address.
 */
const PARAMETER =
  /(?<![^\s,])([\w!#$%&'*+.^`|~-]+)([ \t]*=[ \t]*)(?:"(?:[^"\\]|\\[\s\S])*"|[^\s,"=][^\s,"]*)|"(?:[^"\\]|\\[\s\S]?)*(?:"|$)/g;

/**
 * A `WWW-Authenticate` value, with one or more challenges, whose `resource_metadata` (RFC 9728, section 5.1) is
 * `metadataUrl`. Everything else stays as it is, byte for byte; a challenge without that parameter gets none.
 */
export function rewriteChallenge(value: string, metadataUrl: string): string {
  const quoted = `"${metadataUrl.replace(/["\\]/g, "\\$&")}"`;
  return value.replace(PARAMETER, (whole, name: string | undefined, equals: string | undefined) =>
    name?.toLowerCase() === "resource_metadata" ? name + equals + quoted : whole,
  );
}
