import { HEADER_MISMATCH, type Message } from "../channels/message.ts";
import { refuse } from "./http-rules.ts";

/** The answer to a request whose headers say something else than its body. */
export function mismatch(message: Message, header: string, body: string): Response {
  const data = { mismatch: { header, body } };
  const text = `Bad Request: the request headers and body disagree: ${body}`;
  return refuse(400, HEADER_MISMATCH, text, { id: message.id, data });
}

const ENCODED = /^=\?base64\?((?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?)\?=$/;

/** A header value as the text that it stands for; undefined when it claims to be encoded, and is not. */
export function decodedHeader(value: string): string | undefined {
  if (!value.startsWith("=?base64?") || !value.endsWith("?=")) return value;
  const [, encoded] = ENCODED.exec(value) ?? [];
  if (encoded === undefined) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(encoded, "base64"));
  } catch {
    return undefined;
  }
}
