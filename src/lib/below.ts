/** The address of `path`, with its query, below `base`, whose own query is kept and comes first. */
export function below(base: string, path: string): string {
  const at = base.indexOf("?");
  if (at === -1) return base + path;
  const [place = "", query] = path.split(/\?(.*)/s);
  const more = query === undefined || query === "" ? "" : `&${query}`;
  return base.slice(0, at).replace(/\/+$/, "") + place + base.slice(at) + more;
}
