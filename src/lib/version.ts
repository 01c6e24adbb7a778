// Set at build time with `bun build --define NFRX_VERSION='"…"'`; undefined when run from source.
declare const NFRX_VERSION: string | undefined;
declare const NFRX_SHA: string | undefined;
declare const NFRX_DATE: string | undefined;

/** Version of this build. */
export const VERSION: string = typeof NFRX_VERSION === "undefined" ? "0.1.0-dev" : NFRX_VERSION;
/** Commit of this build. */
export const SHA: string = typeof NFRX_SHA === "undefined" ? "unknown" : NFRX_SHA;
/** Date of this build. */
export const DATE: string = typeof NFRX_DATE === "undefined" ? "unknown" : NFRX_DATE;
