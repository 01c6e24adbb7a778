// Multipart forms, byte for byte as a test wants them.

export interface FormPart {
  name: string;
  content: string | Uint8Array;
  filename?: string;
  /** The part's own content type. */
  type?: string;
  /** Instead of the header lines made from the fields above. */
  head?: string;
}

export interface Form {
  type: string;
  body: Buffer;
}

export const BOUNDARY = "a-boundary-of-the-tests";

/** A whole form of these parts, in their order. */
export function form(parts: readonly FormPart[], boundary = BOUNDARY): Form {
  const pieces = parts.flatMap(part => [
    Buffer.from(`--${boundary}\r\n${headOf(part)}\r\n\r\n`),
    Buffer.from(part.content),
    Buffer.from("\r\n"),
  ]);
  return {
    type: `multipart/form-data; boundary=${boundary}`,
    body: Buffer.concat([...pieces, Buffer.from(`--${boundary}--\r\n`)]),
  };
}

function headOf({ name, filename, type, head }: FormPart): string {
  if (head !== undefined) return head;
  const file = filename === undefined ? "" : `; filename="${filename}"`;
  return `Content-Disposition: form-data; name="${name}"${file}${type === undefined ? "" : `\r\nContent-Type: ${type}`}`;
}

/** A form's part `model`. */
export const model = (name = "test-model"): FormPart => ({ name: "model", content: name });

/** A form's part `file`: so many bytes that are no text and no two KiB of which are alike. */
export function recording(bytes: number): FormPart {
  const content = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; at++) content[at] = (at * 31 + (at >> 10)) & 0xff;
  return { name: "file", content, filename: "speech.wav", type: "audio/wav" };
}

export const MIB = 1024 * 1024;
