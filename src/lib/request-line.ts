// Checks that a request's Host and URL are unambiguous.

/**
 * Creates the request check of a server. It returns the request with an absolute URL, or a 400 if its Host or URL
 * cannot be parsed. With an invalid Host, Bun leaves the bare path in `url`, which later code could not parse.
 */
export function requestReader(): (request: Request) => Request | Response {
  // Nearly all requests name the same host, and a URL below a good host can be parsed.
  let good: string | undefined;
  return request => {
    const host = request.headers.get("host");
    if (host !== null && host === good) return request;
    const { url } = request;
    if (host === null) return withoutHost(request, url);
    // Bun joins several Host headers with commas.
    if (host.includes(",")) return unreadable("the request has more than one Host header");
    if (url.startsWith("/") || !URL.canParse(url)) return unreadable("invalid Host header");
    good = host;
    return request;
  };
}

/** HTTP/1.0 does not require a Host. */
function withoutHost(request: Request, url: string): Request | Response {
  if (!url.startsWith("/")) return URL.canParse(url) ? request : unreadable("invalid URL");
  const whole = `http://localhost${url}`;
  if (!URL.canParse(whole)) return unreadable("invalid URL");
  return Object.defineProperty(request, "url", { value: new URL(whole).href });
}

function unreadable(message: string): Response {
  return Response.json(
    { error: "invalid_request", message },
    { status: 400, headers: { connection: "close", "cache-control": "no-store" } },
  );
}
