// What happens in the fleet of the pictures: five minutes of traffic, the same each time.
import { chatJson, cut, embeddings, json, type Respond, silent } from "../../test/kit/backend/backend.ts";
import { McpSession } from "../../test/kit/mcp/session.ts";
import { Gate } from "../../test/kit/time/gate.ts";
import { eventually } from "../../test/kit/time/until.ts";
import { API_KEY } from "../../test/kit/world.ts";
import type { Fleet, Machine } from "./fleet.ts";

const STEP_MS = 5000;
const DAY_MS = 86_400_000;

const MACHINES: Machine[] = [
  {
    name: "atelier",
    os: ["Linux", "6.12"],
    family: "ollama",
    version: "0.12.6",
    models: ["llama3.3:70b", "qwen3:32b", "nomic-embed-text"],
    seats: 6,
    batch: 64,
  },
  {
    name: "studio",
    os: ["Darwin", "25.1"],
    family: "llama.cpp",
    version: "b6780",
    models: [
      "gpt-oss:120b",
      "llama3.3:70b",
      "mistral-small3.2:24b",
      "nomic-embed-text",
      "qwen3-coder:30b",
      "qwen3:32b",
    ],
    seats: 4,
    batch: 32,
  },
  {
    name: "attic",
    os: ["Linux", "6.8"],
    family: "vllm",
    version: "0.11.0",
    models: ["qwen3:32b"],
    seats: 2,
  },
];

const SPEECH: Machine = {
  name: "listener",
  os: ["Linux", "6.12"],
  family: "speaches",
  version: "0.8.3",
  models: ["whisper-large-v3", "whisper-large-v3-turbo"],
  seats: 2,
};

/** Numbers from 0 to 1, the same in every run (mulberry32). */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Brings the fleet to the moment of the picture: work behind it, work under way, work that waits. */
export async function liveThrough(fleet: Fleet): Promise<void> {
  await fleet.pass(3.2 * DAY_MS);
  for (const machine of MACHINES) await fleet.worker("llm", machine);
  await fleet.worker("asr", SPEECH);
  await fleet.relay("calendar");
  const weather = await fleet.relay("weather");
  const session = await McpSession.open(`${fleet.origin}/api/mcp/id/weather`, { authorization: `Bearer ${API_KEY}` });
  for (let call = 0; call < 14; call++) await session.call("echo", { text: "hello" }).answer();
  await traffic(fleet, 58);
  await jobs(fleet);
  await traffic(fleet, 2);
  session.call("silent");
  await weather.called("silent", 1);
  await standing(fleet);
}

/** Requests in waves, for so many intervals. */
async function traffic(fleet: Fleet, steps: number): Promise<void> {
  const random = dice(steps);
  for (let step = 0; step < steps; step++) {
    const gate = new Gate();
    for (const [name, backend] of fleet.backends) {
      backend.respond = async (request, recorded) => {
        const answer = answerOf(name, random);
        await gate.wait(request.signal);
        return answer(request, recorded);
      };
    }
    const before = arrived(fleet);
    const wave = Math.round(2 + 2 * (1 + Math.sin(step / 6)) * (0.5 + random()));
    const sent: Promise<Response>[] = [];
    while (sent.length < wave) {
      sent.push(ask(fleet, random()));
      // One after the other, so that each goes the same way every time.
      await eventually(() => arrived(fleet) - before + waiting(fleet) >= sent.length, "a request to arrive");
    }
    const answers = Promise.all(sent.map(async answer => (await answer).arrayBuffer()));
    const firstByte = Math.round(160 + 240 * random() + 40 * wave);
    await fleet.pass(firstByte);
    gate.open();
    await answers;
    await fleet.pass(STEP_MS - firstByte);
  }
}

/** A request of one kind or another. */
function ask(fleet: Fleet, kind: number): Promise<Response> {
  if (kind < 0.12) {
    const input = Array.from({ length: 24 }, (_, at) => `a passage of text, the ${at}th`);
    return fleet.post("/api/llm/v1/embeddings", { model: "nomic-embed-text", input });
  }
  if (kind < 0.2) return fleet.transcribe("whisper-large-v3");
  const model = kind < 0.5 ? "qwen3:32b" : kind < 0.8 ? "llama3.3:70b" : "gpt-oss:120b";
  return fleet.chat(model);
}

/** What a machine answers next; the old one fails now and then. */
function answerOf(name: string, random: () => number): Respond {
  const fails = name === "attic" && random() < 0.15;
  const prompt = Math.round(300 + 2400 * random());
  const completion = Math.round(80 + 700 * random());
  const usage = { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
  return (request, recorded) => {
    if (recorded.path.endsWith("/embeddings")) return embeddings()(request, recorded);
    if (recorded.path.includes("/audio/")) return json({ text: "hello" });
    return (fails ? cut("{") : chatJson("Hello", usage))(request, recorded);
  };
}

/** Jobs in every state, within one interval. */
async function jobs(fleet: Fleet): Promise<void> {
  const { jobs: api } = fleet;
  const claim = { types: ["asr.transcribe", "document.ocr"], worker_id: "scanner-1", worker_group: "back-office" };
  for (let at = 0; at < 3; at++) {
    await api.created({ type: "asr.transcribe", metadata: { filename: `meeting-${at + 1}.wav` } });
    await fleet.pass(400);
    const { job_id: id, claim_id } = await api.claimed(claim);
    await api.status(id, "running", { claim_id, progress: { percent: 40 } });
    await fleet.pass(1000 + 200 * at);
    if (at === 1)
      await api.status(id, "failed", {
        claim_id,
        error: { code: "bad_audio", message: "the file ends in the middle of a frame" },
      });
    else await api.status(id, "completed", { claim_id });
  }
  await api.created({ type: "document.ocr" });
  const { job_id: running, claim_id } = await api.claimed(claim);
  await api.status(running, "running", { claim_id, progress: { percent: 62, page: 31 } });
  await api.created({ type: "asr.transcribe" });
  await api.created({ type: "asr.transcribe" });
  await fleet.pass(200);
}

/** Requests that are under way and that wait when the picture is taken; a machine that was drained. */
async function standing(fleet: Fleet): Promise<void> {
  for (const backend of fleet.backends.values()) backend.respond = silent();
  const before = arrived(fleet);
  const models = [...many(7, "qwen3:32b"), ...many(3, "llama3.3:70b"), ...many(5, "gpt-oss:120b")];
  for (const model of models) {
    void fleet.chat(model).catch(() => {});
    await fleet.pass(40);
  }
  void fleet.transcribe("whisper-large-v3-turbo").catch(() => {});
  await eventually(() => arrived(fleet) - before + waiting(fleet) >= models.length + 1, "requests under way");
  await fleet.drain("attic");
  await fleet.pass(2600);
}

const many = (amount: number, model: string): string[] => Array.from({ length: amount }, () => model);
const arrived = (fleet: Fleet): number =>
  [...fleet.backends.values()].reduce((sum, backend) => sum + backend.requests.length, 0);
const waiting = (fleet: Fleet): number => fleet.broker.mounted.reduce((sum, { pool }) => sum + pool.waiting, 0);
