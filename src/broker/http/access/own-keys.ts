// Which headers hold a key of the broker's own.
import { matchesDigest, sha256 } from "../../../lib/digest.ts";
import { CREDENTIAL_HEADERS, splitList } from "../../../lib/http.ts";

/** The broker's own keys, for checking whether a header contains one of them. */
export class OwnKeys {
  readonly #digests: readonly Uint8Array[];

  constructor(
    /** Those of the configuration, each a list with commas. */
    keys: readonly (string | undefined)[],
    /** Those that operators made. */
    private readonly made: { find(digest: Buffer): object | undefined } | undefined,
  ) {
    this.#digests = keys.flatMap(key => splitList(key ?? "")).map(sha256);
  }

  /** The names of the headers that hold one of the keys. Those headers go no further than the broker. */
  carriers(headers: Headers): string[] {
    return CREDENTIAL_HEADERS.filter(name => {
      const value = headers.get(name);
      return value !== null && tokensOf(value).some(token => this.#isOwn(token));
    });
  }

  #isOwn(token: string): boolean {
    return this.#digests.some(own => matchesDigest(token, own)) || this.made?.find(sha256(token)) !== undefined;
  }
}

/** All that a header's value could be read as: whole, without its scheme, and its parts where it was sent twice. */
function tokensOf(value: string): string[] {
  return [value, ...value.split(",")].flatMap(part => {
    const trimmed = part.trim();
    const space = trimmed.indexOf(" ");
    return space === -1 ? [trimmed] : [trimmed, trimmed.slice(space).trim()];
  });
}
