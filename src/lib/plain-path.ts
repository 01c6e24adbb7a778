// Paths that every server interprets alike.

/** Nothing in a path without these can be read in two ways. */
const SUSPECT = /%|\\|;|(?:^|\/)\.{1,2}(?:\/|$)/;
/** Number of times that a path may be decoded on its way: by a proxy, and by the backend. */
const DECODINGS = 2;

/**
 * True if no segment of `path`, decoded once or twice, is `.` or `..` or contains a slash or backslash. Servers
 * interpret such segments differently: a name for the broker could traverse directories at the backend. `path` has no
 * query.
 */
export function isPlainPath(path: string): boolean {
  if (!SUSPECT.test(path)) return true;
  return path.split("/").every(isPlainSegment);
}

function isPlainSegment(segment: string): boolean {
  let text = segment;
  for (let decodings = 0; ; decodings++) {
    // Segment parameters, which Java servers remove: they read `..;x` as `..`.
    const name = text.split(";", 1)[0] ?? "";
    if (name === "." || name === ".." || /[/\\]/.test(text) || text.includes("\0")) return false;
    const decoded = decode(text);
    if (decoded === undefined) return false;
    if (decodings === DECODINGS || decoded === text) return true;
    text = decoded;
  }
}

/** Each escaped byte as the character of its number; undefined for the first byte of an overlong form of ASCII. */
function decode(text: string): string | undefined {
  if (/%c[01]/i.test(text)) return undefined;
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}
