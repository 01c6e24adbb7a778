// The clients for JavaScript, each used as its own examples do.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import Anthropic from "@anthropic-ai/sdk";
import { ChatOpenAI } from "@langchain/openai";
import { generateText, type LanguageModel, streamText } from "ai";
import { Ollama } from "ollama";
import OpenAI from "openai";
import { z } from "zod";
import {
  anthropicTraits,
  type Client,
  ClientFailure,
  type Failure,
  ollamaTraits,
  openaiTraits,
  type Question,
  type Traits,
} from "./client.ts";

const content = "Will it rain?";
const messages = [{ role: "user" as const, content }];

const v1 = ({ url }: Question): string => `${url}/v1`;
const openai = (question: Question): OpenAI =>
  new OpenAI({ baseURL: v1(question), apiKey: question.key, maxRetries: question.retries });

async function* openaiChat(question: Question): AsyncGenerator<string> {
  const { completions } = openai(question).chat;
  const { model } = question;
  if (!question.stream) {
    yield (await completions.create({ model, messages })).choices[0]?.message.content ?? "";
    return;
  }
  for await (const { choices } of await completions.create({ model, messages, stream: true })) {
    // The plain loop of OpenAI's own examples: every chunk has a choice.
    const [choice] = choices;
    if (choice === undefined) throw new TypeError("a chunk without a choice");
    yield choice.delta.content ?? "";
  }
}

async function* openaiResponses(question: Question): AsyncGenerator<string> {
  const { responses } = openai(question);
  const asked = { model: question.model, input: content };
  if (!question.stream) {
    yield (await responses.create(asked)).output_text;
    return;
  }
  const stream = responses.stream(asked);
  for await (const event of stream) if (event.type === "response.output_text.delta") yield event.delta;
  if ((await stream.finalResponse()).status !== "completed") throw new Error("the response is not complete");
}

async function* anthropicMessages({ url, key, model, stream, retries }: Question): AsyncGenerator<string> {
  const sdk = new Anthropic({ baseURL: url, apiKey: key, maxRetries: retries });
  const asked = { model, max_tokens: 50, messages };
  if (!stream) {
    for (const block of (await sdk.messages.create(asked)).content) if (block.type === "text") yield block.text;
    return;
  }
  for await (const event of sdk.messages.stream(asked))
    if (event.type === "content_block_delta" && event.delta.type === "text_delta") yield event.delta.text;
}

async function* ollamaChat({ url, key, model, stream }: Question): AsyncGenerator<string> {
  const sdk = new Ollama({ host: `${url}/ollama`, headers: { Authorization: `Bearer ${key}` } });
  if (!stream) {
    yield (await sdk.chat({ model, messages })).message.content;
    return;
  }
  for await (const part of await sdk.chat({ model, messages, stream: true })) yield part.message.content;
}

async function* langchain(question: Question): AsyncGenerator<string> {
  const chat = new ChatOpenAI({
    model: question.model,
    apiKey: question.key,
    maxRetries: question.retries,
    configuration: { baseURL: v1(question) },
  });
  if (!question.stream) {
    yield (await chat.invoke(content)).text;
    return;
  }
  for await (const chunk of await chat.stream(content)) yield chunk.text;
}

async function* vercel(model: LanguageModel, question: Question): AsyncGenerator<string> {
  const asked = { model, prompt: content, maxRetries: question.retries };
  if (!question.stream) {
    yield (await generateText(asked)).text;
    return;
  }
  for await (const part of streamText({ ...asked, onError: () => {} }).fullStream) {
    if (part.type === "text-delta") yield part.text;
    if (part.type === "error") throw part.error;
  }
}

const compatible = (question: Question): LanguageModel =>
  createOpenAICompatible({ name: "nfrx", baseURL: v1(question), apiKey: question.key })(question.model);
const vercelOpenai = (question: Question) => createOpenAI({ baseURL: v1(question), apiKey: question.key });

const thrownShape = z.looseObject({
  message: z.string().catch(""),
  status: z.number().optional().catch(undefined),
  status_code: z.number().optional().catch(undefined),
  statusCode: z.number().optional().catch(undefined),
  code: z.string().nullish().catch(null),
});

function failureOf(thrown: unknown): Failure {
  const kinds: string[] = [];
  if (thrown instanceof Error) kinds.push(thrown.name);
  for (let at: unknown = thrown; typeof at === "object" && at !== null; at = Object.getPrototypeOf(at))
    kinds.push(at.constructor.name);
  const { message, status, status_code, statusCode, code } = thrownShape.parse(thrown);
  return {
    kinds: [...new Set(kinds)],
    status: status ?? status_code ?? statusCode ?? null,
    code: code ?? null,
    message,
  };
}

const client = (name: string, traits: Traits, run: (question: Question) => AsyncIterable<string>): Client => ({
  ...traits,
  name: `JavaScript ${name}`,
  async *ask(question) {
    try {
      yield* run(question);
    } catch (thrown) {
      throw new ClientFailure(failureOf(thrown));
    }
  },
});

/** LangChain repeats requests itself, and Vercel's SDK does too; neither reads `x-should-retry`. */
const langchainTraits: Traits = { ...openaiTraits, obeys: false };
const vercelTraits: Traits = {
  ...openaiTraits,
  rejected: "APICallError",
  broken: "AISDKError",
  cut: "AISDKError",
  obeys: false,
};

export const javascriptClients: readonly Client[] = [
  client("openai", openaiTraits, openaiChat),
  client("openai responses", openaiTraits, openaiResponses),
  client("anthropic", anthropicTraits, anthropicMessages),
  // It raises a plain Error for the error line of a stream that has begun.
  client("ollama", { ...ollamaTraits, cut: "Error" }, ollamaChat),
  client("langchain", langchainTraits, langchain),
  client("ai openai-compatible", vercelTraits, question => vercel(compatible(question), question)),
  client("ai openai chat", vercelTraits, question => vercel(vercelOpenai(question).chat(question.model), question)),
  client("ai openai responses", vercelTraits, question =>
    vercel(vercelOpenai(question).responses(question.model), question),
  ),
];
