// Files for browsers.
import { promisify } from "node:util";
import { gzip } from "node:zlib";

const compress = promisify(gzip);

/** Content security policy of our pages: scripts, styles and connections only from this broker. */
export const PAGE_POLICY: readonly string[] = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
];

/** A static file, read and compressed on first use, then cached. */
export class Asset {
  #loaded: Promise<LoadedAsset> | undefined;
  #small: Promise<Uint8Array<ArrayBuffer>> | undefined;

  /** `read` gives its bytes, `headers` go with every answer. */
  constructor(
    private readonly type: string,
    private readonly read: () => Promise<Uint8Array<ArrayBuffer>>,
    private readonly headers: Readonly<Record<string, string>> = {},
  ) {}

  /** Names this very content; an address that carries it as `v` may be kept for good. */
  async version(): Promise<string> {
    return (await this.#load()).version;
  }

  /** The file, or 304 when the browser has it. */
  async answer(request: Request): Promise<Response> {
    const { bytes, version } = await this.#load();
    const etag = `"${version}"`;
    const headers: Record<string, string> = {
      "content-type": this.type,
      "cache-control": request.url.endsWith(`?v=${version}`) ? "public, max-age=31536000, immutable" : "no-cache",
      etag,
      vary: "accept-encoding",
      "x-content-type-options": "nosniff",
      ...this.headers,
    };
    if (knows(request.headers, etag)) return new Response(null, { status: 304, headers });
    if (!/\bgzip\b/.test(request.headers.get("accept-encoding") ?? "")) return new Response(bytes, { headers });
    this.#small ??= compress(bytes).then(small => new Uint8Array(small));
    return new Response(await this.#small, { headers: { ...headers, "content-encoding": "gzip" } });
  }

  #load(): Promise<LoadedAsset> {
    this.#loaded ??= this.read().then(bytes => ({ bytes, version: Bun.SHA256.hash(bytes, "hex").slice(0, 16) }));
    return this.#loaded;
  }
}

interface LoadedAsset {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly version: string;
}

function knows(headers: Headers, etag: string): boolean {
  const known = (headers.get("if-none-match") ?? "").split(",").map(tag => tag.trim().replace(/^W\//, ""));
  return known.includes(etag) || known.includes("*");
}
