// The same requests to the jobs and transfer APIs of a broker of the 0.9 series and of ours: what that one says, ours says.
import { expect } from "bun:test";
import { Call } from "../kit/http/call.ts";
import { API_KEY, CLIENT_KEY, World } from "../kit/world.ts";
import { freePort, startOldBroker, withPeer } from "./old.ts";

type Json = Record<string, unknown>;

interface Said {
  status: number;
  type: string;
  body: Json;
}

/** A line of talk with a broker. Ids and times are its own. */
class Talk {
  readonly said: Record<string, Said> = {};

  constructor(readonly origin: string) {}

  async say(what: string, key: string, method: string, path: string, body?: unknown): Promise<Json> {
    const [content, sent] =
      typeof body === "string" ? ["application/octet-stream", body] : ["application/json", JSON.stringify(body)];
    const response = await fetch(`${this.origin}/api${path}`, {
      method,
      headers: { authorization: `Bearer ${key}`, "content-type": content },
      ...(body !== undefined && { body: sent }),
    });
    const text = await response.text();
    const type = response.headers.get("content-type")?.split(";")[0] ?? "";
    const json: Json = type === "application/json" ? JSON.parse(text) : { text };
    this.said[what] = { status: response.status, type, body: JSON.parse(anonymous(JSON.stringify(json))) };
    return json;
  }

  /** The first event of a stream. */
  async hear(
    what: string,
    key: string,
    path: string,
    first: string,
    meanwhile: () => Promise<unknown> = () => Promise.resolve(),
  ): Promise<void> {
    const stream = new Call(`${this.origin}/api${path}`, { headers: { Authorization: `Bearer ${key}` } });
    await stream.shows(`event: ${first}\n`);
    await stream.when(() => stream.text.endsWith("\n\n"), "the end of an event");
    const { status } = await stream.head();
    const data = stream.text.split("\n").find(line => line.startsWith("data: "));
    const event = stream.text.split("\n").find(line => line.startsWith("event: ")) ?? "";
    await meanwhile();
    stream.abort();
    this.said[what] = { status, type: event, body: JSON.parse(anonymous(data?.slice("data: ".length) ?? "{}")) };
  }
}

const anonymous = (text: string): string =>
  text.replace(/[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/g, "<id>").replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>");

/** Everything that a client and a worker of those days said. */
async function walk(talk: Talk): Promise<Record<string, Said>> {
  const client = (what: string, method: string, path: string, body?: unknown) =>
    talk.say(what, API_KEY, method, path, body);
  const worker = (what: string, path: string, body?: unknown) => talk.say(what, CLIENT_KEY, "POST", path, body);

  await talk.say("a stranger", "nobody", "POST", "/jobs", { type: "t" });
  await client("no JSON", "POST", "/jobs", "{");
  await client("a list", "POST", "/jobs", []);
  await client("no type", "POST", "/jobs", {});
  await client("a number as type", "POST", "/jobs", { type: 5 });
  await client("a text as metadata", "POST", "/jobs", { type: "t", metadata: "x" });
  await client("nobody's job", "GET", "/jobs/nobody");
  await client("nobody's events", "GET", "/jobs/nobody/events");
  await client("nobody's cancel", "POST", "/jobs/nobody/cancel");
  await worker("nobody's status", "/jobs/nobody/status", { state: "running" });
  await worker("nothing to claim", "/jobs/claim", { types: ["none"] });

  const fields = { type: "asr.transcribe", metadata: { filename: "sample.wav" }, worker_group: "g" };
  await client("created", "POST", "/jobs", fields);
  const { job_id: second } = await client("created again", "POST", "/jobs", fields);
  await client("second in line", "GET", `/jobs/${second}`);
  await talk.hear("the events of one that is queued", API_KEY, `/jobs/${second}/events`, "status");
  await worker("a claim of another group", "/jobs/claim", { worker_group: "h" });
  const who = { worker_id: "w", worker_group: "g" };
  const { job_id: id } = await worker("a claim", "/jobs/claim", { types: ["asr.transcribe"], ...who });
  await client("claimed", "GET", `/jobs/${id}`);
  await worker("no state", `/jobs/${id}/status`, {});
  await worker("a payload's channel", `/jobs/${id}/payload`, { ...who, properties: { protocol: "demo-v1" } });
  await worker("a channel with a key", `/jobs/${id}/payload`, { ...who, key: "more" });
  await worker("running", `/jobs/${id}/status`, { ...who, state: "running", progress: { percent: 42 } });
  await worker("a result's channel", `/jobs/${id}/result`, who);
  await client("awaiting the result", "GET", `/jobs/${id}`);
  await worker("completed", `/jobs/${id}/status`, { ...who, state: "completed" });
  await worker("completed again", `/jobs/${id}/status`, { ...who, state: "completed" });
  await worker("a channel after the end", `/jobs/${id}/payload`, {});
  await client("canceled after the end", "POST", `/jobs/${id}/cancel`);
  await client("at its end", "GET", `/jobs/${id}`);
  await worker("claimed by the same", "/jobs/claim", who);
  await worker("failed", `/jobs/${second}/status`, { ...who, state: "failed", error: { code: "c", message: "m" } });
  await client("at its other end", "GET", `/jobs/${second}`);
  const { job_id: third } = await client("created for a stream", "POST", "/jobs", { type: "streamed" });
  const running = () => worker("running from a stream", `/jobs/${third}/status`, { worker_id: "s", state: "running" });
  await talk.hear("a worker's stream", CLIENT_KEY, "/jobs/stream?types=streamed&worker_id=s", "job", running);
  await client("canceled", "POST", `/jobs/${third}/cancel`);
  await client("after the cancel", "GET", `/jobs/${third}`);

  const { channel_id: channel } = await client("a channel", "POST", "/transfer");
  await client("nobody's channel", "GET", "/transfer/nobody");
  const read = talk.say("a reader", CLIENT_KEY, "GET", `/transfer/${channel}`);
  await talk.say("a writer", API_KEY, "POST", `/transfer/${channel}`, "some bytes");
  await read;
  return talk.said;
}

withPeer("a client and a worker hear from our broker what they heard from the old one", async () => {
  const port = freePort();
  await using _old = await startOldBroker(port);
  await using world = new World();
  const theirs = await walk(new Talk(`http://127.0.0.1:${port}`));
  const ours = await walk(new Talk(world.origin));
  expect(Object.keys(ours).sort()).toEqual(Object.keys(theirs).sort());
  for (const [what, said] of Object.entries(theirs)) expect([what, ours[what]]).toMatchObject([what, said]);
});
