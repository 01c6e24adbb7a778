import { Busboy, type BusboyInstance } from "@fastify/busboy";
import { NfrxError } from "../../../lib/errors.ts";
import { NAME_MAX } from "../../../protocol/limits.ts";
import type { RequestBody, Scanned } from "../../http/body/body.ts";
import { FormModel } from "./model-name.ts";
import { NO_USUAL_MODEL, type RoutingFields, type RoutingFieldsReader, requireModel } from "./routing-fields.ts";

/** Bytes of a form's `model` or `stream` that are read; UTF-8 takes up to four for a character. */
const FIELD_BYTES = 4 * (NAME_MAX + 1);

const WANTED = new Set(["model", "stream"]);

/** A form's content type with a boundary that is not empty. The parser would take other forms and other boundaries too. */
const FORM = /^multipart\/form-data\s*;(?:.*;)?\s*boundary\s*=\s*(?:"([^"]+)"|([^\s";]+))/i;

/** Reads the parts `model` and `stream` of a multipart form, wherever they stand; files pass by unread. */
export class FormRoutingFields implements RoutingFieldsReader {
  /** A recording passes through while it comes. */
  readonly readOn = false;
  readonly decode = true;
  readonly #parser: BusboyInstance;
  readonly #fields = new Map<string, string>();
  readonly #boundary: string;
  #broken = false;
  /** Bytes of the form that the parser has had. */
  #fed = 0;

  constructor(
    { headers }: Request,
    private readonly usual = NO_USUAL_MODEL,
  ) {
    const type = headers.get("content-type") ?? "";
    const form = FORM.exec(type);
    this.#boundary = form?.[1] ?? form?.[2] ?? "";
    try {
      if (form === null) throw new Error("not a form");
      // Every other part is treated as a file, and unread files are skipped.
      const isPartAFile = (name: string | undefined): boolean => name === undefined || !WANTED.has(name);
      this.#parser = new Busboy({ headers: { "content-type": type }, isPartAFile, limits: { fieldSize: FIELD_BYTES } });
    } catch {
      // It is another type or lacks a boundary.
      throw new NfrxError("invalid_request", "the content type must be multipart/form-data with a boundary", {
        param: "content-type",
      });
    }
    this.#parser.on("field", (name, value) => {
      if (!this.#fields.has(name)) this.#fields.set(name, value);
    });
    this.#parser.on("error", () => {
      this.#broken = true;
    });
  }

  async scan(chunk: Uint8Array): Promise<Scanned> {
    await this.#feed(chunk);
    return this.#fields.size === WANTED.size || (this.#fields.has("model") && "known");
  }

  async read(body: RequestBody): Promise<RoutingFields> {
    // Chunks must not be parsed twice.
    if (body.whole) await this.#feed(body.bytes.subarray(this.#fed));
    const known = this.#fields.has("model");
    await this.#finish();
    // A truncated form may end with half a name.
    if (this.#broken && !known) throw new NfrxError("invalid_request", "the multipart form lacks its closing boundary");
    const named = this.#fields.get("model");
    const model = requireModel(named, "part", this.usual);
    const name = new FormModel(this.#boundary, named);
    const unnamed = named === undefined;
    return {
      model,
      name,
      ...(unnamed && { unnamed }),
      stream: /^(?:1|t|true)$/i.test(this.#fields.get("stream")?.trim() ?? ""),
    };
  }

  /** Resolves when the parser has taken the bytes; they are not needed afterwards. */
  #feed(bytes: Uint8Array): Promise<void> {
    this.#fed += bytes.length;
    if (this.#broken || bytes.length === 0) return Promise.resolve();
    return new Promise(resolve => this.#parser.write(bytes, () => resolve()));
  }

  /** Ends the form: its last field may come only then. */
  #finish(): Promise<void> {
    if (this.#broken) return Promise.resolve();
    return new Promise(resolve => {
      this.#parser.once("finish", resolve);
      this.#parser.once("error", () => resolve());
      this.#parser.end();
    });
  }
}
