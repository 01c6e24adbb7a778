// Every field of the state is described, and what is described is there.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { z } from "zod";
import { moduleState, relaysState, serverState, workerStates } from "../../../../src/modules/state.ts";

const page = await Bun.file(join(import.meta.dir, "../../../../src/broker/observe/README.md")).text();
/** The words within code, there or in a block. */
const words = new Set([...page.matchAll(/`([^`]+)`/g)].flatMap(([, code = ""]) => code.match(/\w+/g) ?? []));

function fieldsOf(schema: z.ZodType): string[] {
  if (schema instanceof z.ZodObject)
    return Object.entries(schema.shape).flatMap(([name, type]) => [name, ...fieldsOf(type as z.ZodType)]);
  if (schema instanceof z.ZodArray) return fieldsOf(schema.element as z.ZodType);
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable) return fieldsOf(schema.unwrap() as z.ZodType);
  return [];
}

test.each([
  ["server", serverState, 10],
  ["a worker module", moduleState, 60],
  ["mcp", relaysState, 30],
])("of %s", (_, schema, least) => {
  const fields = fieldsOf(schema);
  expect(fields.length).toBeGreaterThanOrEqual(least);
  expect(fields.filter(field => !words.has(field))).toEqual([]);
});

test("and every state that a worker can be in", () => {
  expect(workerStates.options.filter(state => !words.has(state))).toEqual([]);
});
