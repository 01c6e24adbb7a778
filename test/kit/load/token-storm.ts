// Clients that stay or go away at moments of their own, and a backend that counts what it reports to them.
import { bytes, json, type RecordedRequest, type Respond } from "../backend/backend.ts";
import { Call } from "../http/call.ts";
import { AUTHORIZED, type BrokerProgram, chatBody } from "../process/broker.ts";
import { Gate } from "../time/gate.ts";
import { eventually } from "../time/until.ts";

/** What one client does, and what the backend answers it. */
const PLANS = {
  /** Takes a whole answer. */
  json: 15,
  stream: 15,
  /** The same, with the tokens so far in each event. */
  continuous: 10,
  /** Takes a whole answer, and cuts the connection after its last byte. */
  "after the end": 10,
  /** Goes away while it waits in the queue, or while the backend thinks. */
  "before the head": 10,
  /** Goes away in mid-stream: the backend would report at the end. */
  "mid-stream": 12,
  /** The same, where the backend reports with each event. */
  "mid-continuous": 10,
  /** Goes away between the report and the end. */
  "after the report": 8,
  /** Takes the vector of one text, those of some at one worker, those of many at several. */
  text: 4,
  pinned: 3,
  split: 5,
  /** Goes away while workers embed. */
  "before the vectors": 3,
} as const;
type Plan = keyof typeof PLANS;

const EVENTS = { "content-type": "text/event-stream" };
const CANCELED: readonly Plan[] = [
  "before the head",
  "mid-stream",
  "mid-continuous",
  "after the report",
  "before the vectors",
];

/** What has been reported, or seen. */
class Tally {
  in = 0;
  out = 0;
  embeddings = 0;
  requests = 0;
  canceled = 0;

  add(tokensIn: number, tokensOut: number): void {
    this.in += tokensIn;
    this.out += tokensOut;
  }
}

interface Client {
  plan: Plan;
  tokensIn: number;
  tokensOut: number;
  /** Events of its stream before the report at the end. */
  words: number;
  /** Events after which the backend waits for it to go. */
  until: number;
  inputs: string[];
  /** How many of its requests, or of their parts, the backend has had. */
  arrived: number;
}

export class TokenStorm {
  /** What the backend has reported of all that clients were to see. */
  readonly reported = new Tally();
  /** All that ever came: one that has gone away from the queue may yet reach the backend. */
  readonly #clients = new Map<string, Client>();
  #count = 0;

  constructor(
    private readonly broker: BrokerProgram,
    private readonly random: () => number,
    private readonly workers: readonly string[],
  ) {}

  /** What the backend does. */
  readonly respond: Respond = (request, recorded) => {
    const client = this.#clients.get(userOf(recorded));
    if (client === undefined) throw new Error("a request of no client");
    client.arrived++;
    if (recorded.path.endsWith("/embeddings")) return this.#embed(client, recorded)(request, recorded);
    const { plan, tokensIn, tokensOut, words, until } = client;
    if (plan === "before the head") return held()(request, recorded);
    if (plan === "json") {
      this.reported.add(tokensIn, tokensOut);
      return json({ choices: [], usage: usage(tokensIn, tokensOut) });
    }
    const continuous = plan.includes("continuous");
    const events = Array.from({ length: words }, (_, at) =>
      event({ choices: [], word: at + 1, ...(continuous && { usage: usage(tokensIn, at + 1) }) }),
    );
    const out = continuous ? words : tokensOut;
    const report = event({ choices: [], report: true, usage: usage(tokensIn, out) });
    const gate = new Gate();
    if (plan === "mid-stream" || plan === "mid-continuous") {
      gate.release(until);
      if (continuous) this.reported.add(tokensIn, until);
    } else {
      this.reported.add(tokensIn, out);
      if (plan === "after the report") gate.release(words + 1);
      else gate.open();
    }
    return bytes([...events, report, "data: [DONE]\n\n"], EVENTS, 200, gate)(request, recorded);
  };

  /** Lets so many clients come and go, `lanes` at once. */
  async run(count: number, lanes: number): Promise<void> {
    let left = count;
    const lane = async (): Promise<void> => {
      while (left-- > 0) await this.#one();
    };
    await Promise.all(Array.from({ length: lanes }, lane));
  }

  async #one(): Promise<void> {
    const plan = this.#pick();
    const some = (most: number): number => 1 + Math.floor(this.random() * most);
    const words = some(8);
    const inputs = Array.from({ length: plan === "text" ? 1 : 2 + some(20) }, () => "x".repeat(some(9)));
    const client = { plan, tokensIn: some(500), tokensOut: some(200), words, until: some(words), inputs, arrived: 0 };
    const user = `client ${++this.#count}`;
    this.#clients.set(user, client);
    this.reported.requests++;
    if (CANCELED.includes(plan)) this.reported.canceled++;
    await this.#go(this.#call(user, client), client);
  }

  #call(user: string, { plan, inputs }: Client): Call {
    const { origin } = this.broker;
    const embeds = plan === "text" || plan === "pinned" || plan === "split" || plan === "before the vectors";
    const at = plan === "pinned" ? `/id/${this.workers[0]}` : "";
    const input = plan === "text" ? inputs[0] : inputs;
    const body = embeds ? { model: "test-model", input, user } : chatBody({ user, stream: plan !== "json" });
    return new Call(`${origin}/api/llm${at}/v1/${embeds ? "embeddings" : "chat/completions"}`, {
      headers: { ...AUTHORIZED, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  }

  /** Takes the answer, or what the plan wants of it. */
  async #go(call: Call, client: Client): Promise<void> {
    const { plan, until } = client;
    if (!CANCELED.includes(plan)) {
      const { status, complete } = await call.answer(60_000);
      if (status !== 200 || !complete) throw new Error(`${plan}: ${status} ${call.text.slice(-200)}`);
      return;
    }
    if (plan === "mid-stream" || plan === "mid-continuous")
      await call.when(() => call.text.includes(`"word":${until}`), `word ${until}`, 60_000);
    else if (plan === "after the report") await call.when(() => call.text.includes('"report"'), "a report", 60_000);
    // Who hears that it waits in the queue goes away from there.
    else
      await eventually(
        () => client.arrived > 0 || call.text.includes("nfrx.queue"),
        "a request at the backend",
        60_000,
      );
    call.abort(this.random() < 0.5 ? "rst" : "fin");
    await call.closed();
  }

  #embed({ plan, inputs }: Client, recorded: RecordedRequest): Respond {
    if (plan === "before the vectors") return held();
    const { input } = recorded.json() as { input: string | string[] };
    const texts = typeof input === "string" ? [input] : input;
    const tokens = texts.join("").length;
    if (texts.length > inputs.length) throw new Error("more texts than were sent");
    this.reported.add(tokens, 0);
    this.reported.embeddings += texts.length;
    const data = texts.map((_, index) => ({ object: "embedding", index, embedding: [index] }));
    return () => json({ object: "list", data, usage: { prompt_tokens: tokens, total_tokens: tokens } });
  }

  #pick(): Plan {
    const plans = Object.entries(PLANS) as [Plan, number][];
    let at = this.random() * plans.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [plan, weight] of plans) {
      at -= weight;
      if (at < 0) return plan;
    }
    return "json";
  }
}

const held = (): Respond => bytes(["never"], {}, 200, new Gate());

const event = (data: object): string => `data: ${JSON.stringify(data)}\n\n`;

function usage(tokensIn: number, tokensOut: number): object {
  return { prompt_tokens: tokensIn, completion_tokens: tokensOut, total_tokens: tokensIn + tokensOut };
}

function userOf(recorded: RecordedRequest): string {
  const { user } = recorded.json() as { user?: string };
  return user ?? "";
}
