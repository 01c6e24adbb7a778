import { NfrxError } from "../../../lib/errors.ts";

/** The headers of a request, and those that stand in its query: a header of the request comes first. */
export function withQueryHeaders(request: Request, named: Readonly<Record<string, string>>): Headers {
  const headers = new Headers(request.headers);
  const { searchParams } = new URL(request.url);
  for (const [query, header] of Object.entries(named)) {
    const value = searchParams.get(query);
    if (value && !headers.has(header)) setHeader(headers, header, value);
  }
  return headers;
}

function setHeader(headers: Headers, name: string, value: string): void {
  try {
    headers.set(name, value);
  } catch {
    throw new NfrxError("invalid_request", `${name}: the query contains a character that a header cannot contain`);
  }
}
