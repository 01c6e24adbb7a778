// Schemas as the API's document has them.
import { z } from "zod";
import type { JsonSchema, Schema } from "../../../modules/route.ts";

/** Takes schemas into a document; those with an id of their own are kept once, and named wherever they are needed. */
export class Schemas {
  /** By their ids. */
  readonly named: Record<string, JsonSchema> = {};

  /** The replacement of the schema. */
  add(schema: Schema): JsonSchema {
    const { $schema, $defs, ...json } = isZod(schema) ? convert(schema) : schema;
    for (const [id, definition] of Object.entries(definitionsOf($defs))) this.named[id] ??= definition;
    return json;
  }
}

/** A plugin may have a zod of its own. */
function isZod(schema: Schema): schema is z.ZodType {
  return "_zod" in schema;
}

/** Marks objects as open: unnamed fields are allowed. */
function convert(schema: z.ZodType): JsonSchema {
  const json = z.toJSONSchema(schema, {
    io: "input",
    unrepresentable: "any",
    override: ({ jsonSchema }) => {
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
    },
  });
  const text = JSON.stringify(json).replaceAll('"#/$defs/', '"#/components/schemas/');
  return asSchema(JSON.parse(text));
}

const anySchema = z.record(z.string(), z.unknown());
const asSchema = (value: unknown): JsonSchema => anySchema.parse(value);
const definitionsOf = (value: unknown): Record<string, JsonSchema> =>
  z.record(z.string(), anySchema).parse(value ?? {});
