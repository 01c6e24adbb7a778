// The protected resource metadata of a provider (RFC 9728).
import { bytesUpTo } from "../../lib/bytes.ts";
import { NfrxError } from "../../lib/errors.ts";
import { RESOURCE_METADATA_PATH, resourceMetadataUrl } from "../../lib/well-known.ts";

/** Maximum protected resource metadata of a provider, in bytes. */
const METADATA_BYTES = 256 * 1024;

export interface MetadataOptions {
  /** Time for the provider's response, in milliseconds. */
  timeoutMs: number;
  /** Aborts when the caller has disconnected. */
  signal: AbortSignal;
  /** Further settings of the requests, for TLS. */
  init?: BunFetchRequestInit;
}

/**
 * The metadata of the provider at `url`, as it gives it: from the address made of its own path, else from the one at the
 * root. Answers 200 with the provider's bytes, or 404 without any when it has none at either place. It is asked for
 * without credentials, as the metadata is what says where to get them. Rejects with an NfrxError when the provider is not
 * well, too slow, or says too much, and as `fetch` does when it cannot be reached.
 */
export async function fetchMetadata(url: string, { timeoutMs, signal, init }: MetadataOptions): Promise<Response> {
  const timeout = AbortSignal.timeout(timeoutMs);
  const places = new Set([resourceMetadataUrl(url), new URL(url).origin + RESOURCE_METADATA_PATH]);
  try {
    for (const place of places) {
      const bytes = await ask(place, { ...init, signal: AbortSignal.any([signal, timeout]) });
      if (bytes !== undefined) return new Response(bytes, { headers: { "content-type": "application/json" } });
    }
  } catch (error) {
    if (timeout.aborted && !signal.aborted)
      throw new NfrxError("timeout", "the provider took too long to return its metadata", { cause: error });
    throw error;
  }
  return new Response(null, { status: 404 });
}

/** The metadata at this address, or undefined if there is none. */
async function ask(place: string, init: BunFetchRequestInit): Promise<Uint8Array<ArrayBuffer> | undefined> {
  // A redirect is not followed: it would let the provider send this agent anywhere on its network.
  const response = await fetch(place, { ...init, headers: { accept: "application/json" }, redirect: "manual" });
  if (response.status !== 200) {
    await response.body?.cancel();
    if (response.status < 500) return undefined;
    throw new NfrxError(
      "upstream_error",
      `the provider responded to the metadata request with status ${response.status}`,
    );
  }
  const bytes = await bytesUpTo(METADATA_BYTES, response.body);
  if (bytes === undefined)
    throw new NfrxError("upstream_error", `the provider's metadata exceeds ${METADATA_BYTES} bytes`);
  return bytes;
}
