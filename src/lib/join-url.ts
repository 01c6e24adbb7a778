import { NfrxError } from "./errors.ts";
import { isPlainPath } from "./plain-path.ts";

/** A path that can lead nowhere else: no dot begins a segment, and nothing is encoded. */
const SIMPLE = /^(?:\/[\w~-][\w.~:-]*)+$/;
/** Characters of a path that a URL parser reads as something else. */
const ODD = /[\\#]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: a URL parser strips some of these, and a broker must send none
const CONTROL = /[\u0000-\u0020\u007f]/;

/**
 * Builds a backend URL from `base` and `rest`, which is empty or begins with a slash or a question mark. Keeps a query
 * of `base`. An agent does not rely on its broker: throws `not_found` if `rest` leads to another server or out of the
 * path of `base`.
 */
export function joinUrl(base: string, rest: string): string {
  if (SIMPLE.test(rest) && !base.includes("?"))
    return base.endsWith("/") ? base.replace(/\/+$/, "") + rest : base + rest;
  const [address, own] = split(base);
  const [path, query] = split(rest);
  const root = address.replace(/\/+$/, "");
  const joined = path === "" ? address : root + path;
  const plain = (path === "" || path.startsWith("/")) && !ODD.test(path) && !CONTROL.test(rest) && isPlainPath(path);
  if (!plain || !URL.canParse(joined) || !isBelow(new URL(joined), new URL(root)))
    throw new NfrxError("not_found", "the path leads outside the backend's base URL");
  const queries = [own, query].filter(one => one !== undefined && one !== "");
  return queries.length === 0 ? joined : `${joined}?${queries.join("&")}`;
}

function isBelow({ origin, username, pathname }: URL, base: URL): boolean {
  const root = base.pathname.replace(/\/$/, "");
  return origin === base.origin && username === base.username && (pathname === root || pathname.startsWith(`${root}/`));
}

/** Splits at the first question mark. */
function split(url: string): [before: string, behind: string | undefined] {
  const at = url.indexOf("?");
  return at === -1 ? [url, undefined] : [url.slice(0, at), url.slice(at + 1)];
}
