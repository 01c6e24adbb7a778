// What the stories need of a client of the public API, in whatever language.

/** One question to the broker. */
export interface Question {
  /** The base URL of the module, without `/v1`. */
  readonly url: string;
  readonly key: string;
  readonly model: string;
  readonly stream: boolean;
  /** How often the client itself may try again. */
  readonly retries: number;
}

/** The exception that a client raises. */
export interface Failure {
  /** The classes of the exception, the most specific one first. */
  readonly kinds: readonly string[];
  readonly status: number | null;
  readonly code: string | null;
  readonly message: string;
}

/** The API that a client speaks; the backend answers in its words. */
export type Api = "openai" | "anthropic" | "ollama";

/** What is known of a client. */
export interface Traits {
  readonly api: Api;
  /** The exception for a request that a backend rejects with 400. */
  readonly rejected: string;
  /** The exception for an error on a stream that is open. */
  readonly broken: string;
  /** The exception for a stream that ends before its last chunk. */
  readonly cut: string;
  /** It repeats a request after 503. */
  readonly retries: boolean;
  /** It does not repeat a request whose answer says `x-should-retry: false`. */
  readonly obeys: boolean;
}

export interface Client extends Traits {
  readonly name: string;
  /** The pieces of the answer; one piece without `stream`. Throws a `ClientFailure`. */
  ask(question: Question): AsyncIterable<string>;
}

/** The official SDKs of OpenAI, and clients that stand on them. */
export const openaiTraits: Traits = {
  api: "openai",
  rejected: "BadRequestError",
  broken: "APIError",
  cut: "APIError",
  retries: true,
  obeys: true,
};

export const anthropicTraits: Traits = { ...openaiTraits, api: "anthropic" };

export const ollamaTraits: Traits = {
  api: "ollama",
  rejected: "ResponseError",
  broken: "ResponseError",
  cut: "ResponseError",
  retries: false,
  obeys: true,
};

/** What a client raised, as the stories compare it. */
export class ClientFailure extends Error {
  constructor(readonly failure: Failure) {
    super(`${failure.kinds[0]}: ${failure.message}`);
  }
}

/** The whole answer. */
export async function answerOf(client: Client, question: Question): Promise<string> {
  let text = "";
  for await (const piece of client.ask(question)) text += piece;
  return text;
}

/** The exception that a client raises instead of its answer. */
export async function failureOf(client: Client, question: Question): Promise<Failure> {
  try {
    const text = await answerOf(client, question);
    throw new Error(`${client.name} did not fail: ${JSON.stringify(text)}`);
  } catch (thrown) {
    if (thrown instanceof ClientFailure) return thrown.failure;
    throw thrown;
  }
}
