// Requests whose end two parsers may see in different places. Each is followed by a second request; a server that
// disagrees with the proxy before it would take a part of the body for a request of its own.

/** One ambiguous request, with what may come back for it. */
export interface Shape {
  readonly name: string;
  /** What is written on the connection. */
  readonly bytes: string;
  /** The most responses that may come back on the connection. More means that the body was read as a request. */
  readonly responses: 1 | 2;
  /** The first status may be any of these; 0 stands for a connection that is closed without a response. */
  readonly statuses: readonly number[];
}

/** The smuggled request. Its path must never be served. */
export const SMUGGLED = "/api/llm/v1/models/smuggled";

const refused = [0, 400, 411, 431, 501, 505] as const;

/** A shape that must be refused, or answered once at most. */
export function shapesOf(authorization: string): readonly Shape[] {
  const inner = `GET ${SMUGGLED} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n\r\n`;
  const post = (headers: string, body: string, line = "POST /api/llm/v1/chat/completions HTTP/1.1"): string =>
    `${line}\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Type: application/json\r\n${headers}\r\n${body}`;
  const bad = (name: string, bytes: string): Shape => ({ name, bytes, responses: 1, statuses: refused });
  const chunked = `0\r\n\r\n${inner}`;
  const length = `Content-Length: ${inner.length}\r\n`;
  return [
    bad("a length and chunks", post(`${length}Transfer-Encoding: chunked\r\n`, chunked)),
    bad("chunks and a length", post(`Transfer-Encoding: chunked\r\n${length}`, chunked)),
    bad("a space before the colon of Transfer-Encoding", post(`${length}Transfer-Encoding : chunked\r\n`, chunked)),
    bad("a tab before the colon of Transfer-Encoding", post(`${length}Transfer-Encoding\t: chunked\r\n`, chunked)),
    bad("a vertical tab before chunked", post(`${length}Transfer-Encoding:\vchunked\r\n`, chunked)),
    bad("a folded Transfer-Encoding", post(`${length}Transfer-Encoding:\r\n chunked\r\n`, chunked)),
    bad(
      "a folded header with Transfer-Encoding in it",
      post(`${length}X: y\r\n Transfer-Encoding: chunked\r\n`, chunked),
    ),
    bad("an unknown coding", post(`${length}Transfer-Encoding: xchunked\r\n`, chunked)),
    bad("identity and a length", post(`${length}Transfer-Encoding: identity\r\n`, chunked)),
    bad("chunked, then identity", post(`${length}Transfer-Encoding: chunked, identity\r\n`, chunked)),
    bad("chunked twice", post(`${length}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n`, chunked)),
    bad(
      "two codings in two lines",
      post(`${length}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n`, chunked),
    ),
    bad("quoted chunked", post(`${length}Transfer-Encoding: "chunked"\r\n`, chunked)),
    bad("an unknown coding alone", post("Transfer-Encoding: gzip\r\n", chunked)),
    bad("two lengths that differ", post(`Content-Length: 0\r\n${length}`, inner)),
    bad("two lengths in one line", post(`Content-Length: 0, ${inner.length}\r\n`, inner)),
    bad("a length with a sign", post("Content-Length: +0\r\n", inner)),
    bad("a negative length", post("Content-Length: -1\r\n", inner)),
    bad("a length in hexadecimal", post("Content-Length: 0x0\r\n", inner)),
    bad("a length with a word after it", post("Content-Length: 0 x\r\n", inner)),
    bad("a length with an underscore", post("Content-Length: 0_0\r\n", inner)),
    bad("a length past 64 bits", post("Content-Length: 18446744073709551616\r\n", inner)),
    bad("an empty length", post("Content-Length:\r\n", inner)),
    bad("a space before the colon of Content-Length", post("Content-Length : 0\r\n", inner)),
    bad("a NUL in a header", post(`${length}X: a\0b\r\n`, inner)),
    bad("a bare CR in a header", post(`${length}X: a\rTransfer-Encoding: chunked\r\n`, inner)),
    bad("a bare LF in a header", post(`${length}X: a\nTransfer-Encoding: chunked\r\n`, chunked)),
    bad("a header without a colon", post(`${length}Transfer-Encoding chunked\r\n`, inner)),
    bad("a header without a name", post(`${length}: chunked\r\n`, inner)),
    bad("a chunk size that is no number", post("Transfer-Encoding: chunked\r\n", `g\r\n${inner}`)),
    bad("a chunk size with a sign", post("Transfer-Encoding: chunked\r\n", `+0\r\n\r\n${inner}`)),
    bad("a chunk size in a prefix", post("Transfer-Encoding: chunked\r\n", `0x0\r\n\r\n${inner}`)),
    bad("a chunk size past 64 bits", post("Transfer-Encoding: chunked\r\n", `10000000000000000\r\n\r\n${inner}`)),
    bad("a chunk without its line break", post("Transfer-Encoding: chunked\r\n", `1\r\n{0\r\n\r\n${inner}`)),
    bad("a chunk that ends with a bare LF", post("Transfer-Encoding: chunked\r\n", `1\n{\n0\n\n${inner}`)),
    bad(
      "a chunk extension with a bare LF",
      post("Transfer-Encoding: chunked\r\n", `2;\nxx\r\n4c\r\n0\r\n\r\n${inner}`),
    ),
    // Bun answers the request as soon as its body has ended, and refuses the trailer after that.
    {
      ...bad("a NUL in a trailer", post("Transfer-Encoding: chunked\r\n", `0\r\nX: \0\r\n\r\n${inner}`)),
      responses: 2,
    },
    bad("two hosts", `GET ${SMUGGLED} HTTP/1.1\r\nHost: x\r\nHost: y\r\nAuthorization: ${authorization}\r\n\r\n`),
    bad(
      "two spaces in the request line",
      `GET  ${SMUGGLED} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n\r\n`,
    ),
    bad(
      "a tab in the request line",
      `GET\t${SMUGGLED}\tHTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\n\r\n`,
    ),
    bad("an unknown version", `GET ${SMUGGLED} HTTP/3.7\r\nHost: x\r\nAuthorization: ${authorization}\r\n\r\n`),
    bad("lines that end with a bare LF", `GET ${SMUGGLED} HTTP/1.1\nHost: x\nAuthorization: ${authorization}\n\n`),
  ];
}
