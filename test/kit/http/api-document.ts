// The API's document as a judge of what a broker answers.
import Ajv from "ajv/dist/2020.js";
import { z } from "zod";

const json = z.record(z.string(), z.unknown());
const media = z.record(
  z.string(),
  z.object({
    schema: json.optional(),
    example: z.unknown().optional(),
    examples: z.record(z.string(), z.object({ value: z.unknown() })).optional(),
  }),
);
const operation = z.object({
  operationId: z.string(),
  summary: z.string().min(1),
  tags: z.array(z.string()).length(1),
  security: z.array(json),
  parameters: z
    .array(z.object({ name: z.string(), in: z.string(), schema: json, example: z.unknown().optional() }))
    .default([]),
  requestBody: z.object({ content: media }).optional(),
  responses: z.record(z.string(), z.object({ description: z.string().min(1), content: media.optional() })),
});
const document = z.object({
  openapi: z.literal("3.1.0"),
  tags: z.array(z.object({ name: z.string() })),
  paths: z.record(z.string(), z.record(z.string(), operation)),
  components: z.object({ schemas: z.record(z.string(), json), securitySchemes: z.record(z.string(), json) }),
});

export type ApiOperation = z.infer<typeof operation> & { method: string; path: string; place: string };

/** As much of a response as it takes to judge it. */
type Answer = Pick<Response, "status" | "body" | "text"> & { headers: { get(name: string): string | null } };

export class ApiDocument {
  readonly raw: Record<string, unknown>;
  readonly document: z.infer<typeof document>;
  readonly operations: readonly ApiOperation[];
  readonly #ajv = new Ajv({ strict: false, validateFormats: false });
  readonly #compiled = new Map<string, ReturnType<Ajv["compile"]>>();

  /** The document of the broker at `origin`. */
  static async of(origin: string): Promise<ApiDocument> {
    return new ApiDocument(await (await fetch(`${origin}/api/client/openapi.json`)).json());
  }

  private constructor(raw: unknown) {
    this.raw = json.parse(raw);
    this.document = document.parse(raw);
    this.operations = Object.entries(this.document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([lower, about]) => {
        const method = lower.toUpperCase();
        return { ...about, method, path, place: `${method} ${path}` };
      }),
    );
    this.#ajv.addSchema({ $id: "api", components: { schemas: this.document.components.schemas } });
  }

  /** The operation at a place such as `GET /healthz`. */
  at(place: string): ApiOperation {
    const found = this.operations.find(one => one.place === place);
    if (found === undefined) throw new Error(`the document has no ${place}`);
    return found;
  }

  /** What is wrong with a value by one of the document's schemas; undefined when nothing is. */
  objection(schema: Record<string, unknown> | undefined, value: unknown): string | undefined {
    if (schema === undefined) return undefined;
    const text = JSON.stringify(schema).replaceAll('"#/components', '"api#/components');
    const holds = this.#compiled.get(text) ?? this.#ajv.compile(json.parse(JSON.parse(text)));
    this.#compiled.set(text, holds);
    return holds(value) ? undefined : this.#ajv.errorsText(holds.errors);
  }

  /** What of an answer is not as the document says; undefined when all of it is. Streams of events are not read. */
  async complaint(operation: ApiOperation, response: Answer): Promise<string | undefined> {
    const { place, responses } = operation;
    const said = responses[response.status];
    if (said === undefined) return `${place}: ${response.status} is not documented: ${await response.text()}`;
    const type = (response.headers.get("content-type") ?? "").split(";")[0] ?? "";
    if (type === "text/event-stream") {
      await response.body?.cancel();
      return said.content?.[type] === undefined ? `${place}: ${response.status} has events` : undefined;
    }
    const text = await response.text();
    if (said.content === undefined) return text === "" ? undefined : `${place}: ${response.status} has a body: ${text}`;
    const content = said.content[type];
    if (content === undefined) return text === "" ? undefined : `${place}: ${response.status} has the type ${type}`;
    const problem = this.objection(content.schema, type === "application/json" ? JSON.parse(text) : text);
    return problem === undefined ? undefined : `${place}: ${response.status} ${problem}: ${text}`;
  }
}
