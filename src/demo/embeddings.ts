import { z } from "zod";
import { parseBody } from "./body.ts";
import { EMBED_MODEL, requireModel } from "./models.ts";

/** The length of a whole demo vector; a client may ask for fewer dimensions. */
const DIMENSIONS = 64;

const token = z.int().nonnegative();

const embeddingsSchema = z.looseObject({
  model: z.string(),
  input: z.union([
    z.string(),
    z.array(z.string()).min(1).max(2048),
    z.array(token).min(1),
    z.array(z.array(token).min(1)).min(1).max(2048),
  ]),
  encoding_format: z.enum(["float", "base64"]).nullish(),
  dimensions: z.int().min(1).max(DIMENSIONS).nullish(),
});

type Input = z.infer<typeof embeddingsSchema>["input"];

/** POST /v1/embeddings */
export async function embed(request: Request): Promise<Response> {
  const { model, input, encoding_format, dimensions } = await parseBody(request, embeddingsSchema);
  requireModel(model, EMBED_MODEL);
  const texts = wordsOf(input);
  const data = texts.map((words, index) => {
    const vector = vectorOf(words, dimensions ?? DIMENSIONS);
    const embedding = encoding_format === "base64" ? toBase64(vector) : [...vector];
    return { object: "embedding", index, embedding };
  });
  const tokens = texts.reduce((sum, words) => sum + words.length, 0);
  return Response.json({ object: "list", data, model, usage: { prompt_tokens: tokens, total_tokens: tokens } });
}

/** The words of each input text; a token counts as a word. */
function wordsOf(input: Input): string[][] {
  if (typeof input === "string") return [splitText(input)];
  const tokens = input.filter(entry => typeof entry === "number");
  if (tokens.length > 0) return [tokens.map(String)];
  return input.map(entry => (typeof entry === "string" ? splitText(entry) : [entry].flat().map(String)));
}

function splitText(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

/** The unit vector of a bag of words: the sum of one pseudo-random direction a word, so texts that share words point the same way. */
function vectorOf(words: readonly string[], dimensions: number): Float32Array {
  const sum = new Float64Array(dimensions);
  for (const word of words.length > 0 ? words : [""]) {
    const random = mulberry32(Bun.hash.xxHash32(word));
    for (let i = 0; i < dimensions; i++) sum[i] = (sum[i] ?? 0) + random() - 0.5;
  }
  const length = Math.hypot(...sum);
  return Float32Array.from(sum, value => value / length);
}

/** A small seeded random source (Tommy Ettinger's mulberry32): the same word must give the same direction everywhere. */
function mulberry32(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function toBase64(vector: Float32Array): string {
  const bytes = new DataView(new ArrayBuffer(vector.length * 4));
  vector.forEach((value, i) => {
    bytes.setFloat32(i * 4, value, true);
  });
  return Buffer.from(bytes.buffer).toString("base64");
}
