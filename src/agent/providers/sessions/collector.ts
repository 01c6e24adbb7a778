/** The responses to a POST whose client accepts only JSON: they are sent together when the last one is complete. */
export class Collector {
  readonly #answers: string[] = [];
  readonly #done = Promise.withResolvers<Response>();

  constructor(
    private readonly headers: Record<string, string>,
    private readonly signal: AbortSignal,
  ) {}

  get connected(): boolean {
    return !this.signal.aborted;
  }

  get response(): Promise<Response> {
    return this.#done.promise;
  }

  publish(text: string): void {
    this.#answers.push(text);
  }

  finish(): void {
    const [first = ""] = this.#answers;
    const body = this.#answers.length === 1 ? first : `[${this.#answers.join(",")}]`;
    this.#done.resolve(new Response(body, { headers: { ...this.headers, "content-type": "application/json" } }));
  }
}
